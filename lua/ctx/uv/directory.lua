-- SPDX-License-Identifier: MIT
--- Directories that are read piece by piece.
---
--- Of one such, libuv has one buffer for what is read, and frees it with the directory, though a
--- read that has begun cannot be stopped. So there is one read at a time, in a task of its own, and
--- whoever closes waits for it, also when its caller has left. What is closed is nobody's any more:
--- libuv would read it, and free it once more.
local ctx = require "ctx"
local failure = require "ctx.uv.failure"
local want = require "ctx.want"
local mutex = require "ctx.mutex"

local directory = {}

---@class ctx.uv.Directory
---@field lock ctx.Mutex  who reads or closes it has this
---@field closed boolean
---@type table<userdata, ctx.uv.Directory>
local directories = setmetatable({}, { __mode = "k" })

--- What we know of luv's directory; raises at the caller's caller if it is none.
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
function directory.guard(fs)
  local read, close = fs.fs_readdir, fs.fs_closedir

  local function read_alone(self, c, dir)
    local lock <close>, err = self.lock:hold(c)
    if not lock then
      return nil, err
    elseif self.closed then
      return nil, closed("fs_readdir")
    end
    local entries
    entries, err = read(ctx.without_cancel(c), dir)
    return entries, err
  end

  function fs.fs_readdir(c, dir)
    want.context(c, "fs_readdir")
    local task = ctx.go(read_alone, of(dir, "fs_readdir"), c, dir)
    local entries, err = task:wait(c)
    return entries, err
  end

  function fs.fs_closedir(c, dir)
    want.context(c, "fs_closedir")
    local self = of(dir, "fs_closedir")
    local _ <close> = self.lock:hold(ctx.without_cancel(c))
    if self.closed then
      return nil, closed("fs_closedir")
    end
    self.closed = true
    local ok, err = close(c, dir)
    return ok, err
  end
end

return directory
