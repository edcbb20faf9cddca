-- SPDX-License-Identifier: MIT
--- Load on an HTTP server that tells what was lost from what never began: a connection that was
--- refused has lost nothing; one that was established and got no answer to its request has.
local ctx = require "ctx"
local uv = require "ctx.uv"
local web = require "spec.support.web"

local load = {}

-- A server that stops waits a tenth of a second for the next request on a connection. Clients that
-- the system lets wait for half of that may be too late.
local LATE_MS = 50

---@class spec.Load
---@field answered integer
---@field refused integer
---@field lost string[]     why each request that was accepted got no answer
---@field late boolean      this process was kept from running, so that clients were too late
---@field _tasks ctx.Task[]
local Load = {}
Load.__index = Load

local REQUEST = "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n"

--- One request on the connection; whether there may be another.
local function ask(self, c, stream, text)
  local ok, status, why, headers = pcall(function()
    assert(stream:write(c, text))
    return web.response(c, stream)
  end)
  if ok and status == 200 then
    self.answered = self.answered + 1
    return headers.connection ~= "close"
  end
  self.lost[#self.lost + 1] = ("after %d answers: %s, %s"):format(self.answered, tostring(status),
    tostring(why))
  return false
end

local function client(self, c, port, path, keep_alive)
  local text = REQUEST:format(path, keep_alive and "" or "Connection: close\r\n")
  while not c:done() do
    local stream, err = uv.connect(c, "127.0.0.1", port)
    if not stream then
      self.refused = self.refused + 1
      self.last = err
      return
    end
    repeat until not ask(self, c, stream, text) or c:done()
    stream:close()
  end
end

--- Watches how late this process is.
local function watch(self, c)
  repeat
    local due = ctx.now() + 1
    local ok = ctx.sleep(c, 1)
    self.late = self.late or ctx.now() - due > LATE_MS
  until not ok
end

--- Starts clients that ask, one request after the other, until they are refused.
---@param c ctx.Context
---@param port integer
---@param clients { n: integer, path: string, keep_alive: boolean }[]
---@return spec.Load
function load.start(c, port, clients)
  local self = setmetatable({ answered = 0, refused = 0, lost = {}, late = false, _tasks = {} },
    Load)
  local watched, stop = ctx.with_cancel(c)
  self._stop = stop
  ctx.go(watch, self, watched)
  for _, kind in ipairs(clients) do
    for _ = 1, kind.n do
      self._tasks[#self._tasks + 1] = ctx.go(client, self, c, port, kind.path, kind.keep_alive)
    end
  end
  return self
end

--- Waits until so many requests have been answered.
function Load:wait_for(c, n)
  local goal = self.answered + n
  web.wait_for(c, function() return self.answered >= goal end)
end

--- Waits until all clients have been refused.
function Load:wait(c)
  for _, task in ipairs(self._tasks) do
    assert(task:wait(c) == nil)
  end
  self._stop()
end

return load
