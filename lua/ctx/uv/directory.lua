-- SPDX-License-Identifier: MIT
--- Directories that are read piece by piece.
---
--- Of one such, libuv has one buffer for what is read, and frees it with the directory, though a
--- read that has begun cannot be stopped. So there is one read at a time, in a task of its own, and
--- a close waits for it, also when the reader's caller has left. A directory that was closed is
--- refused: libuv would read it, and free it once more.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local want = require "ctx.want"
local mutex = require "ctx.mutex"

local directory = {}

---@class ctx.uv.Directory
---@field lock ctx.mutex.Mutex  held while it is read or closed
---@field closed boolean
---@type table<userdata, ctx.uv.Directory>
local directories = setmetatable({}, { __mode = "k" })

--- What we know of luv's directory; raises at the caller's caller if it is something else.
local function of(dir, name)
  want.argument(want.kind(dir) == "uv_dir", name, 2, "dir", "a directory", dir, 1)
  local self = directories[dir]
  if not self then
    self = { lock = mutex.new(), closed = false }
    directories[dir] = self
  end
  return self
end

local function closed(name)
  return failure.new("EBADF", name, "the directory was closed")
end

--- Makes these of fs safe.
---@param fs { fs_readdir: function, fs_closedir: function }
---@param read fun(c: ctx.Context, caller: ctx.Context, dir: userdata): table|nil, any
function directory.guard(fs, read)
  local close = fs.fs_closedir

  local function read_alone(self, c, dir)
    local lock <close>, err = self.lock:hold(c)
    if not lock then
      return nil, err
    elseif self.closed then
      return core.refused(nil, closed("fs_readdir"))
    end
    local entries
    entries, err = read(core.without_cancel(c), c, dir)
    return entries, err
  end

  function fs.fs_readdir(c, dir)
    want.context(c, "fs_readdir")
    local self = of(dir, "fs_readdir")
    core.check_wait(c, "uv.fs_readdir")
    local caller, cancel <close> = core.with_cancel(c)
    local entries, err = core.go(read_alone, self, caller, dir):wait(c)
    return entries, err
  end

  function fs.fs_closedir(c, dir)
    want.context(c, "fs_closedir")
    local self = of(dir, "fs_closedir")
    core.check_wait(c, "uv.fs_closedir")
    local _ <close> = self.lock:hold(core.without_cancel(c))
    if self.closed then
      return core.refused(nil, closed("fs_closedir"))
    end
    self.closed = true
    local ok, err = close(c, dir)
    return ok, err
  end
end

return directory
