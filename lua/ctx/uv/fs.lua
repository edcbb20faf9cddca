-- SPDX-License-Identifier: MIT
--- luv's fs_* functions with a context first: all of them, made from one list.
---
--- A call that has not begun when its context ends is taken from the queue. One that runs is let
--- run; what it brings then is given back: a file is closed, a temporary one removed, too (L15).
--- What it did to the file system stays done. Closing is done in any case, and waited for.
local core = require "ctx.core"
local ctx = require "ctx"
local directory = require "ctx.uv.directory"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local want = require "ctx.want"
local paths = require "ctx.uv.path"

local uv = host.uv

-- The arguments of each before its callback. fs_opendir takes one more after it.
local ARGUMENTS = {
  fs_access = 2, fs_chmod = 2, fs_chown = 3, fs_close = 1, fs_closedir = 1, fs_copyfile = 3,
  fs_fchmod = 2, fs_fchown = 3, fs_fdatasync = 1, fs_fstat = 1, fs_fsync = 1, fs_ftruncate = 2,
  fs_futime = 3, fs_lchown = 3, fs_link = 2, fs_lstat = 1, fs_lutime = 3, fs_mkdir = 2,
  fs_mkdtemp = 1, fs_mkstemp = 1, fs_open = 3, fs_opendir = 1, fs_read = 3, fs_readdir = 1,
  fs_readlink = 1, fs_realpath = 1, fs_rename = 2, fs_rmdir = 1, fs_scandir = 1, fs_sendfile = 4,
  fs_stat = 1, fs_statfs = 1, fs_symlink = 3, fs_unlink = 1, fs_utime = 3, fs_write = 3,
}

-- What luv insists on, where everybody means the same.
local DEFAULTS = { fs_open = { [2] = "r", [3] = tonumber("644", 8) },
  fs_mkdir = { [2] = tonumber("755", 8) }, fs_access = { [2] = "r" } }

--- The error, if one of the paths among the arguments is none: luv would take a shorter one.
local function fault(name, n, given)
  for i = 1, name ~= "fs_write" and n or 0 do
    local wrong = type(given[i]) == "string" and paths.fault(given[i], name)
    if wrong then
      return wrong
    end
  end
end

-- Undoes what came too late. A descriptor that is closed here costs no thread: it is local.
local FREE = {
  fs_open = function(fd)
    uv.fs_close(fd)
  end,
  fs_mkstemp = function(fd, path)
    uv.fs_close(fd)
    uv.fs_unlink(path)
  end,
  fs_mkdtemp = function(path)
    uv.fs_rmdir(path)
  end,
  fs_opendir = function(dir)
    uv.fs_closedir(dir)
  end,
}

--- Lays the arguments out as luv wants them, the callback in its place.
local function arrange(name, n, given, callback)
  local defaults = DEFAULTS[name] or {}
  local arguments = {}
  for i = 1, n do
    arguments[i] = given[i] == nil and defaults[i] or given[i]
  end
  arguments[n + 1] = callback
  if name == "fs_opendir" then
    arguments[n + 2] = given[n + 1] or 64
    return arguments, n + 2
  end
  return arguments, n + 1
end

--- Raises what luv raised, for its caller and in his terms: c was none of luv's arguments.
local function misused(name, said, level)
  if said == "not enough memory" then
    error(said, 0)
  end
  local position, what = said:match("bad argument #(%d+) to '.-' %((.*)%)$")
  if position then
    error(("bad argument #%d to '%s' (%s)"):format(position + 1, name, what), level + 1)
  end
  error(("bad argument to '%s' (%s)"):format(name, said), level + 1)
end

--- One of them. For a function that another calls for the user, `deeper` is 1.
local function wrap(name, n, deeper)
  local call, free, what = uv[name], FREE[name], "uv." .. name
  local function late(ok, ...)
    if ok and free then
      free(...)
    end
  end
  local function finish(c, ok, ...)
    if ok and free and c:err() then
      free(...)
      return nil, failure.ended(c)
    elseif ok then
      return ...
    end
    local err = ...
    return nil, ok == false and failure.of(c, err, name) or err
  end
  return function(c, ...)
    want.context(c, name)
    core.check_wait(c, what)
    local given = table.pack(...)
    local wrong = fault(name, n, given)
    if wrong then
      return nil, wrong
    end
    return finish(c, ctx.await(c, function(resolve)
      local arguments, count = arrange(name, n, given, host.guarded(function(said, ...)
        if said then
          resolve(false, said)
        else
          resolve(true, ...)
        end
      end))
      local ok, request, refused = pcall(call, table.unpack(arguments, 1, count))
      if not ok then
        misused(name, request, 4 + deeper) -- in here, in await, in our function, and the caller
      elseif request == nil then
        resolve(false, refused)
      end
      return request
    end, late))
  end
end

local fs = {}

for name, n in pairs(ARGUMENTS) do
  if uv[name] then
    fs[name] = wrap(name, n, 0)
  end
end

-- Whoever closes is often at the end of its time; a descriptor must not be lost for that.
local function close_anyway(name)
  local wait = wrap(name, 1, 1)
  fs[name] = function(c, thing)
    want.context(c, name)
    if not c:err() then
      local closed, err = wait(ctx.without_cancel(c), thing)
      return closed, err
    end
    local ok, done, said = pcall(uv[name], thing)
    if not ok then
      misused(name, done, 2)
    elseif not done then
      return nil, failure.of(nil, said, name)
    end
    return true
  end
end

close_anyway("fs_close")
if fs.fs_closedir then
  close_anyway("fs_closedir")
  directory.guard(fs)
end

local scandir = fs.fs_scandir

--- The names in a directory, with their types: a list of `{ name, type }`, unsorted.
---@async
---@param c ctx.Context
---@param path string
---@return { name: string, type: string? }[]|nil
---@return any? err
function fs.fs_scandir(c, path)
  want.context(c, "fs_scandir")
  want.argument(type(path) == "string", "fs_scandir", 2, "path", "a string", path)
  local request, err = scandir(c, path)
  if not request then
    return nil, err
  end
  local entries = {}
  for name, kind in uv.fs_scandir_next, request do
    entries[#entries + 1] = { name = name, type = kind }
  end
  return entries
end

return fs
