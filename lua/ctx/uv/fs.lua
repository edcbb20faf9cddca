-- SPDX-License-Identifier: MIT
--- luv's fs_* functions with a context first: all of them, made from one list.
---
--- A call that has not begun when its context ends is taken from the queue. One that runs is let
--- run; what it brings then is given back: a file is closed, a temporary one removed, too.
--- What it did to the file system stays done. Closing is done in any case, and waited for.
local core = require "ctx.core"
local directory = require "ctx.uv.directory"
local failure = require "ctx.uv.failure"
local host = require "ctx.uv.host"
local paths = require "ctx.uv.path"
local threads = require "ctx.uv.threads"
local want = require "ctx.want"

local uv = host.uv

-- What luv insists on, where everybody means the same.
local DEFAULTS = { fs_open = { [2] = "r", [3] = tonumber("644", 8) },
  fs_mkdir = { [2] = tonumber("755", 8) }, fs_access = { [2] = "r" }, fs_opendir = { [2] = 64 } }

local function named(argument, rule)
  return want.rule(rule[1], rule[2], argument)
end

local function pieces(value)
  local fits, list = want.list(want.string)[2](value)
  if fits then
    return true, table.concat(list)
  end
  return false
end

-- Checks of arguments that luv would misunderstand: it cuts numbers to the system's size, takes a
-- number for a path, and ignores an unknown flag.
local FD, PATH, NEW_PATH = want.descriptor, named("path", want.string),
  named("new_path", want.string)
local TEMPLATE, OFFSET = named("template", want.string), named("offset", want.whole(-1))
local ID, MODE = named("id", want.whole(-1, 0xfffffffe)), named("mode", want.whole(0, 4095))
local SIZE, LENGTH = named("size", want.whole(0, 0x7fffffff)), named("size", want.whole(0))
local DIRECTORY = want.rule("a directory", function(value)
  return want.kind(value) == "uv_dir"
end, "dir")
local ENTRIES = named("entries", want.whole(1, 0xffff))
local TIME = want.rule("a time in s", function(value)
  return type(value) == "number" and math.abs(value) < 1e12
end, "time")
local DATA = named("data", want.either("a string or a list of strings", want.string,
  want.rule("a list of strings", pieces)))
local ACCESS = named("mode", want.either('"r", "w", "x" or several of them', want.whole(0, 7),
  want.rule("letters", function(value)
    return type(value) == "string" and not value:find("[^rwxRWX]")
  end)))
local OPEN = named("flags", want.either('flags such as "r"', want.string,
  want.whole(0, 0x7fffffff)))
local COPY = named("flags", want.either("a table of flags", want.whole(0, 7),
  want.options_of { excl = want.flag, ficlone = want.flag, ficlone_force = want.flag }))
local LINK = named("flags", want.either("a table of flags", want.whole(0, 3),
  want.options_of { dir = want.flag, junction = want.flag }))
-- The arguments of each. Its callback is the last, but fs_opendir takes one more behind that.
local RULES = {
  fs_access = { PATH, ACCESS }, fs_chmod = { PATH, MODE }, fs_chown = { PATH, ID, ID },
  fs_close = { FD }, fs_closedir = { DIRECTORY }, fs_copyfile = { PATH, NEW_PATH, COPY },
  fs_fchmod = { FD, MODE }, fs_readdir = { DIRECTORY },
  fs_fchown = { FD, ID, ID }, fs_fdatasync = { FD }, fs_fstat = { FD }, fs_fsync = { FD },
  fs_ftruncate = { FD, LENGTH }, fs_futime = { FD, TIME, TIME }, fs_lchown = { PATH, ID, ID },
  fs_link = { PATH, NEW_PATH }, fs_lstat = { PATH }, fs_lutime = { PATH, TIME, TIME },
  fs_mkdir = { PATH, MODE }, fs_mkdtemp = { TEMPLATE }, fs_mkstemp = { TEMPLATE },
  fs_open = { PATH, OPEN, MODE }, fs_opendir = { PATH, ENTRIES }, fs_read = { FD, SIZE, OFFSET },
  fs_readlink = { PATH }, fs_realpath = { PATH }, fs_rename = { PATH, NEW_PATH },
  fs_rmdir = { PATH }, fs_scandir = { PATH }, fs_sendfile = { FD, FD, OFFSET, SIZE },
  fs_stat = { PATH }, fs_statfs = { PATH }, fs_symlink = { PATH, NEW_PATH, LINK },
  fs_unlink = { PATH }, fs_utime = { PATH, TIME, TIME }, fs_write = { FD, DATA, OFFSET },
}
-- The first that may be left out.
local OPTIONAL = { fs_access = 2, fs_copyfile = 3, fs_mkdir = 2, fs_open = 2, fs_opendir = 2,
  fs_read = 3, fs_symlink = 3, fs_write = 3 }

--- Puts what is to be used into `given`, or raises at the line of the caller's caller.
local function check(name, given, deeper)
  for i, rule in ipairs(RULES[name]) do
    if given[i] ~= nil or i < (OPTIONAL[name] or math.huge) then
      given[i] = rule(given[i], name, i + 1, nil, 1 + deeper)
    end
  end
end

--- The error, if one of the paths among the arguments is cut short at a zero byte by luv.
local function fault(name, given)
  for i = 1, name ~= "fs_write" and #RULES[name] or 0 do
    local wrong = type(given[i]) == "string" and paths.fault(given[i], name)
    if wrong then
      return wrong
    end
  end
end

-- What is done in any case.
local CERTAIN = { fs_close = true, fs_closedir = true }

-- Undoes what came too late. A descriptor that is closed here costs no thread: it is local.
local FREE = {
  fs_open = function(fd) uv.fs_close(fd) end,
  fs_mkstemp = function(fd, path)
    uv.fs_close(fd)
    uv.fs_unlink(path)
  end,
  fs_mkdtemp = function(path) uv.fs_rmdir(path) end,
  fs_opendir = function(dir) uv.fs_closedir(dir) end,
}

--- Lays the arguments out as luv wants them, the callback in its place.
local function arrange(name, given, callback)
  local defaults, arguments, n = DEFAULTS[name] or {}, {}, #RULES[name]
  for i = 1, n do
    arguments[i] = given[i] == nil and defaults[i] or given[i]
  end
  arguments[n + 1] = callback
  if name == "fs_opendir" then
    arguments[n], arguments[n + 1] = callback, arguments[n]
  end
  return arguments, n + 1
end

--- Raises what luv raised, at the line of the caller and in its terms: c was none of luv's
--- arguments.
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

--- Begins it; false if luv raised, with what it said in `raised`.
local function begin(name, given, callback, raised)
  local arguments, count = arrange(name, given, callback)
  local ok, request, refused = pcall(uv[name], table.unpack(arguments, 1, count))
  if not ok then
    raised.said = request
    return nil, request
  end
  return request, refused
end

--- What is to be done with one of them: what frees a late result, and the caller if that is another
--- than c.
local function operation_of(name, caller)
  local free = FREE[name]
  return { caller = caller, certain = CERTAIN[name], free = free and function(ok, ...)
    if ok then
      free(...)
    end
  end }
end

--- Turns what threads.await gave into results.
local function finish(c, name, ok, ...)
  if ok and FREE[name] and c:err() then
    FREE[name](...)
    return nil, c:ended()
  elseif ok then
    return ...
  end
  local err = ...
  return core.refused(nil, ok == false and failure.of(c, err, name) or err)
end

--- One of them. For a function that another calls for the user, `deeper` is 1.
local function wrap(name, deeper)
  local what, operation = "uv." .. name, operation_of(name)
  return function(c, ...)
    want.context(c, name, 1, nil, deeper)
    core.check_wait(c, what)
    local given, raised = table.pack(...), {}
    check(name, given, deeper)
    local wrong = fault(name, given)
    if wrong then
      return core.refused(nil, wrong)
    end
    local results = table.pack(threads.await(c, function(callback)
      return begin(name, given, callback, raised)
    end, operation))
    if raised.said then
      misused(name, raised.said, 2 + deeper)
    end
    return finish(c, name, table.unpack(results, 1, results.n))
  end
end

--- The functions for files. Each is luv's, with a context first and without a callback.
---@class ctx.uv.Files
--- Opens a file.
---@field fs_open async fun(c: ctx.Context, path, flags?, mode?): integer?, any
--- Closes a descriptor, also when c has ended.
---@field fs_close async fun(c: ctx.Context, fd: integer): true?, any
--- Reads at most `size` bytes.
---@field fs_read async fun(c: ctx.Context, fd, size, offset?): string?, any
--- Writes a string or a list of strings.
---@field fs_write async fun(c: ctx.Context, fd, data, offset?): integer?, any
--- Returns the attributes of a file.
---@field fs_stat async fun(c: ctx.Context, path: string): table?, any
--- Returns the attributes of an open file.
---@field fs_fstat async fun(c: ctx.Context, fd: integer): table?, any
--- Returns the attributes of a file, or of a symbolic link itself.
---@field fs_lstat async fun(c: ctx.Context, path: string): table?, any
--- Returns the attributes of a file system.
---@field fs_statfs async fun(c: ctx.Context, path: string): table?, any
--- Lists a directory, unsorted.
---@field fs_scandir async fun(c: ctx.Context, path: string): table?, any
--- Opens a directory.
---@field fs_opendir async fun(c: ctx.Context, path: string, entries?: integer): userdata?, any
--- Reads the next entries of a directory.
---@field fs_readdir async fun(c: ctx.Context, dir: userdata): table?, any
--- Closes a directory, also when c has ended.
---@field fs_closedir async fun(c: ctx.Context, dir: userdata): true?, any
--- Returns whether a file may be accessed.
---@field fs_access async fun(c: ctx.Context, path: string, mode?: string|integer): boolean?, any
--- Makes a directory.
---@field fs_mkdir async fun(c: ctx.Context, path: string, mode?: string|integer): true?, any
--- Removes an empty directory.
---@field fs_rmdir async fun(c: ctx.Context, path: string): true?, any
--- Makes a directory with a name of its own.
---@field fs_mkdtemp async fun(c: ctx.Context, template: string): string?, any
--- Makes and opens a file with a name of its own.
---@field fs_mkstemp async fun(c: ctx.Context, template: string): integer?, any
--- Removes a file.
---@field fs_unlink async fun(c: ctx.Context, path: string): true?, any
--- Renames a file.
---@field fs_rename async fun(c: ctx.Context, path: string, new_path: string): true?, any
--- Makes a hard link.
---@field fs_link async fun(c: ctx.Context, path: string, new_path: string): true?, any
--- Makes a symbolic link.
---@field fs_symlink async fun(c: ctx.Context, path, new_path, flags?): true?, any
--- Copies a file.
---@field fs_copyfile async fun(c: ctx.Context, path, new_path, flags?): true?, any
--- Reads a symbolic link.
---@field fs_readlink async fun(c: ctx.Context, path: string): string?, any
--- Returns a path without links and dots.
---@field fs_realpath async fun(c: ctx.Context, path: string): string?, any
--- Changes the mode of a file.
---@field fs_chmod async fun(c: ctx.Context, path: string, mode: string|integer): true?, any
--- Changes the mode of an open file.
---@field fs_fchmod async fun(c: ctx.Context, fd: integer, mode: string|integer): true?, any
--- Changes the owner of a file.
---@field fs_chown async fun(c: ctx.Context, path: string, uid: integer, gid: integer): true?, any
--- Changes the owner of an open file.
---@field fs_fchown async fun(c: ctx.Context, fd: integer, uid: integer, gid: integer): true?, any
--- Changes the owner of a symbolic link itself.
---@field fs_lchown async fun(c: ctx.Context, path: string, uid: integer, gid: integer): true?, any
--- Sets the times of a file, in seconds.
---@field fs_utime async fun(c: ctx.Context, path: string, atime: number, mtime: number): true?, any
--- Sets the times of an open file.
---@field fs_futime async fun(c: ctx.Context, fd: integer, atime: number, mtime: number): true?, any
--- Sets the times of a symbolic link itself.
---@field fs_lutime async fun(c: ctx.Context, path, atime, mtime): true?, any
--- Flushes a file to the disk.
---@field fs_fsync async fun(c: ctx.Context, fd: integer): true?, any
--- Flushes the data of a file to the disk.
---@field fs_fdatasync async fun(c: ctx.Context, fd: integer): true?, any
--- Sets the size of an open file.
---@field fs_ftruncate async fun(c: ctx.Context, fd: integer, size: integer): true?, any
--- Copies bytes from one descriptor to another.
---@field fs_sendfile async fun(c: ctx.Context, out_fd, in_fd, offset, size): integer?, any
local fs = {}

for name in pairs(RULES) do
  if uv[name] then
    fs[name] = wrap(name, 0)
  end
end

-- A close often comes at the end of the caller's time, or when no thread is left; a descriptor must
-- not be lost for that.
local function close_anyway(name)
  local wait = wrap(name, 1)
  fs[name] = function(c, thing)
    want.context(c, name)
    if not c:err() and not threads.are_taken() then
      local closed, err = wait(core.without_cancel(c), thing)
      return closed, err
    end
    local given = { thing }
    check(name, given, 0)
    local ok, done, said = pcall(uv[name], given[1])
    if not ok then
      misused(name, done, 2)
    elseif not done then
      return nil, failure.of(nil, said, name)
    end
    return true
  end
end

--- Reads a directory to its end, though the caller's context ends before.
local function read(c, caller, dir)
  local results = table.pack(threads.await(c, function(callback)
    return uv.fs_readdir(dir, callback)
  end, operation_of("fs_readdir", caller)))
  return finish(c, "fs_readdir", table.unpack(results, 1, results.n))
end

close_anyway("fs_close")
if fs.fs_closedir then
  close_anyway("fs_closedir")
  directory.guard(fs, read)
end

local scandir = fs.fs_scandir

--- The names in a directory, with their types: a list of `{ name, type }`, unsorted.
---@async
---@param c ctx.Context
---@param path string
---@return { name: string, type: string? }[]|nil
---@return any? err  of the system, with a `code`; or that of c
function fs.fs_scandir(c, path)
  want.context(c, "fs_scandir")
  want.string(path, "fs_scandir", 2, "path")
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
