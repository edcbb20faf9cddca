-- SPDX-License-Identifier: MIT
--- How a stream is read.
---
--- Luv reads on for as long as somebody waits for data, and one chunk further; then it stops, and
--- the kernel's buffer makes the peer wait. What has come and was not taken stays for the next.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local metatable = require "ctx.uv.stream_class"
local want = require "ctx.want"

local check, check_context = want.argument, want.context

---@class ctx.uv.Stream
local Stream = metatable.__index

local reading = {}

--- What luv calls back.
function reading.on_read(self, err, chunk)
  if chunk then
    self._parts[#self._parts + 1] = chunk
    self._size = self._size + #chunk
  else
    self._end = err and failure.of(nil, err, "read") or false
  end
  if not self._readers:open() or not chunk then
    self._reading = false
    self._handle:read_stop()
  end
end

--- Waits until there is more to read than before. nil alone: there will be no more.
local function more(self, c)
  core.check_wait(c, "stream:read")
  local handle = self._handle
  if not self._reading then
    local ok, said = handle:read_start(self._on_read)
    if not ok then
      return nil, failure.of(c, said, "read")
    end
    self._reading = true
  end
  handle:ref()
  local ok, err = self:_wait(self._readers, c)
  if #self._readers == 0 and not handle:is_closing() then
    handle:unref()
  end
  return ok, err
end

--- Why a read cannot go on: false, there is more to come; true, that is the end; or an error.
local function stopped(self)
  if self._closed then
    return failure.closed("read", self._closed)
  elseif self._end == false then
    return true
  end
  return self._end or false
end

--- Waits until enough(self) gives a result: that, or nil at the end of the stream, or nil, err.
local function read_until(self, c, enough, argument)
  if c:err() then
    return nil, failure.ended(c)
  elseif self._closed then
    return nil, failure.closed("read", self._closed)
  end
  local result, err = enough(self, argument)
  while not result and not err do
    local why = stopped(self)
    if why then
      return nil, why ~= true and why or nil
    end
    local ok, ended = more(self, c)
    if not ok then
      return nil, ended
    end
    result, err = enough(self, argument)
  end
  if result then
    return result
  end
  return nil, err
end

--- What is left of the first part, and how many bytes that is. Short lines are taken from one long
--- part by moving along it: to cut each off would copy the rest every time.
local function first_part(self)
  local first = self._parts[1]
  return first, #first - self._taken
end

--- Takes the first n bytes, which are there.
local function take(self, n)
  local first, left = first_part(self)
  self._size = self._size - n
  if n < left then
    local from = self._taken + 1
    self._taken = self._taken + n
    return first:sub(from, self._taken)
  end
  local parts, pieces, missing = self._parts, { first:sub(self._taken + 1) }, n - left
  local used = 1
  self._taken = 0
  while missing > 0 do
    local part = parts[used + 1]
    pieces[used + 1] = missing < #part and part:sub(1, missing) or part
    if missing < #part then
      self._taken = missing
      break
    end
    missing = missing - #part
    used = used + 1
  end
  self._parts = table.move(parts, used + 1, #parts, 1, {})
  return #pieces == 1 and pieces[1] or table.concat(pieces)
end

local function any(self)
  if self._parts[1] then
    local _, left = first_part(self)
    return take(self, left)
  end
end

--- The next bytes, as many as have come. nil alone is the end of the stream; it comes again when
--- asked again. After an error from the context the stream is as it was.
---@async
---@param c ctx.Context
---@return string|nil chunk
---@return any? err
function Stream:read(c)
  want.self(self, metatable, "read")
  check_context(c, "read")
  return read_until(self, c, any)
end

local function exactly(self, n)
  if self._size < n then
    return nil
  end
  return n == 0 and "" or take(self, n)
end

--- n bytes. nil alone: the stream ended before the first; with an error of code EOF: in between.
--- What has come stays for the next read when it was not enough.
---@async
---@param c ctx.Context
---@param n integer
---@return string|nil bytes
---@return any? err
function Stream:read_exactly(c, n)
  want.self(self, metatable, "read_exactly")
  check_context(c, "read_exactly")
  check(math.type(n) == "integer" and n >= 0, "read_exactly", 2, "n", "a whole number", n)
  local bytes, err = read_until(self, c, exactly, n)
  if bytes then
    return bytes
  elseif not err and self._size > 0 then
    err = failure.new("EOF", "read_exactly",
      ("end of file after %d of %d bytes"):format(self._size, n))
  end
  return nil, err
end

local function line_of(self, max)
  local before = -self._taken
  for i, part in ipairs(self._parts) do
    local at = part:find("\n", i == 1 and self._taken + 1 or 1, true)
    if before + (at or #part + 1) - 1 > max then
      return nil, failure.new("EMSGSIZE", "read_line", ("line longer than %d bytes"):format(max))
    elseif at then
      -- By sub: gsub would try "\r?\n$" at every byte of a long line.
      local line = take(self, before + at)
      return line:sub(1, line:sub(-2, -2) == "\r" and -3 or -2)
    end
    before = before + #part
  end
end

--- The next line, without its "\n" or "\r\n". nil alone: the stream ended after a whole line; with
--- an error of code EOF: in the middle of one, which is no line, and stays for `read`. A line of
--- more than `max` bytes is an error of code EMSGSIZE.
---@async
---@param c ctx.Context
---@param max? integer  65536
---@return string|nil line
---@return any? err
function Stream:read_line(c, max)
  want.self(self, metatable, "read_line")
  check_context(c, "read_line")
  check(max == nil or math.type(max) == "integer" and max > 0, "read_line", 2, "max",
    "a positive whole number", max)
  local line, err = read_until(self, c, line_of, max or 65536)
  if line then
    return line
  elseif not err and self._size > 0 then
    err = failure.new("EOF", "read_line", "end of file in the middle of a line")
  end
  return nil, err
end

--- Adds bytes behind those that were read and not taken.
---@private
---@param bytes string
function Stream:_unread(bytes)
  self._parts[#self._parts + 1] = bytes
  self._size = self._size + #bytes
end

return reading
