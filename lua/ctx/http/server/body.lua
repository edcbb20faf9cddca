-- SPDX-License-Identifier: MIT
--- The body of a request, on its way from the connection to the handler.
---
--- The connection pushes what it reads, and stops reading while more than HIGH_WATER bytes wait
--- here.
local core = require "ctx.core"
local line = require "ctx.line"

local READ = line.name("req:read")
local HIGH_WATER = 65536

---@class ctx.http.Body
---@field _parts table<integer, string>  from _first to _last, what nobody has taken
---@field _first integer
---@field _last integer
---@field _size integer           bytes that wait here
---@field _over boolean           all of it has come
---@field _failed any?            why the rest will not come
---@field _readers ctx.line.Gate  opens when there is more
---@field _wanted fun()           tells the connection to read on
---@field trailers ctx.fields.Fields?
local Body = { __name = "ctx.http.Body" }
Body.__index = Body

local body = {}

--- wanted() is called before a wait, and whenever there is room again.
---@param wanted fun()
---@return ctx.http.Body
function body.new(wanted)
  return setmetatable({ _parts = {}, _first = 1, _last = 0, _size = 0, _wanted = wanted,
    _over = false, _readers = line.gate("outside") }, Body)
end

--- Adds bytes; false: no more for now.
---@param bytes string
---@return boolean
function Body:push(bytes)
  self._last = self._last + 1
  self._parts[self._last] = bytes
  self._size = self._size + #bytes
  self._readers:open()
  return self._size <= HIGH_WATER
end

--- That was all.
---@param trailers ctx.fields.Fields?
function Body:finish(trailers)
  self._over = true
  self.trailers = trailers
  self._readers:open()
end

--- The rest will not come. What has come can still be read.
---@param err any
function Body:fail(err)
  if not self._over and not self._failed then
    self._failed = err
    self._readers:open()
  end
end

local function take(self)
  local first = self._first
  local part = self._parts[first]
  if part then
    self._parts[first] = nil
    self._first = first + 1
    self._size = self._size - #part
  end
  return part
end

--- Takes back what was taken last, in order.
local function put_back(self, parts)
  for i = #parts, 1, -1 do
    self._first = self._first - 1
    self._parts[self._first] = parts[i]
    self._size = self._size + #parts[i]
  end
end

--- The next bytes; nil alone at the end.
---@async
---@param c ctx.Context
---@return string|nil bytes
---@return any? err
function Body:read(c)
  while true do
    if c:err() then
      return nil, c:ended()
    end
    local part = take(self)
    if not self._over and not self._failed and self._size <= HIGH_WATER then
      self._wanted()
    end
    if part then
      return part
    elseif self._over then
      return core.refused(nil)
    elseif self._failed then
      return core.refused(nil, self._failed)
    end
    local ok, err = self._readers:wait(c, READ)
    if not ok then
      return nil, err
    end
  end
end

--- All the rest, as one string. After an error nothing of it is lost.
---@async
---@param c ctx.Context
---@return string|nil bytes
---@return any? err
function Body:read_all(c)
  local parts = {}
  while true do
    local part, err = self:read(c)
    if err then
      put_back(self, parts)
      return nil, err
    elseif not part then
      return table.concat(parts)
    end
    parts[#parts + 1] = part
  end
end

--- The body of a request that has none.
body.empty = body.new(function() end)
body.empty:finish()

return body
