-- SPDX-License-Identifier: MIT
--- How a stream is read.
---
--- Luv reads on for as long as somebody waits for data, and one chunk further; then it stops, and
--- the kernel's buffer makes the peer wait. What has come and was not taken stays for the next.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local line = require "ctx.line"
local metatable = require "ctx.uv.stream_class"
local want = require "ctx.want"

local READ = line.name("stream:read")
local READ_EXACTLY = line.name("stream:read_exactly")
local READ_LINE = line.name("stream:read_line")

---@class ctx.uv.Stream
local Stream = metatable.__index

local whole = want.whole(0)
local reading = {}

--- Adds bytes behind those that were read and not taken.
---@param self ctx.uv.Stream
---@param bytes string
local function append(self, bytes)
  local last = self._last + 1
  self._last, self._parts[last] = last, bytes
  self._size = self._size + #bytes
end

--- Why nothing more comes: false for the end of the stream. The system tells of a reset once; if it
--- has told a write, it tells a read of an end, which would pass for that of the peer's message.
local function end_of(self, err)
  if not err and self._broken and self._broken.code == "ECONNRESET" then
    err = "ECONNRESET"
  end
  return err and failure.of(nil, err, "read") or false
end

--- What luv calls back.
function reading.on_read(self, err, chunk)
  if chunk then
    append(self, chunk)
  else
    self._end = end_of(self, err)
  end
  if not self._readers:open() or not chunk then
    self._reading = false
    self._handle:read_stop()
  end
end

--- Why a read cannot go on: false, there is more to come; true, that is the end; or an error.
local function stopped(self)
  if self:is_closed() then
    return failure.closed("read", self._closed)
  elseif self._end == false then
    return true
  end
  return self._end or false
end

--- Makes luv read on; nil and an error if it cannot.
local function start(self, c, name)
  core.check_wait(c, name)
  local ok, said = self._handle:read_start(self._on_read)
  if not ok then
    return nil, failure.of(c, said, "read")
  end
  self._reading = true
  return true
end

local function wait(self, c, name)
  return self._readers:wait(c, name)
end

--- Waits until enough(self) gives a result: that, or nil at the end of the stream, or nil, err.
local function read_until(self, c, name, enough, argument)
  local result, err = nil, c:ended()
  if not err and self._closed then
    return core.refused(nil, failure.closed("read", self._closed))
  elseif not err then
    result, err = enough(self, argument)
  end
  while not result and not err do
    local why = stopped(self)
    if why then
      return core.refused(nil, why ~= true and why or nil)
    end
    local ok = self._reading
    if not ok then
      ok, err = start(self, c, name)
    end
    if ok then
      ok, err = self:_within(c, wait, name)
    end
    if ok then
      result, err = enough(self, argument)
    end
  end
  if result then
    return result
  end
  return nil, err
end

--- Takes the first n bytes, which are there. Short lines are taken from one long part by moving
--- along it: to cut each off would copy the rest every time. A part that is over leaves its place,
--- and the others stay in theirs.
local function take(self, n)
  local parts, first, from = self._parts, self._first, self._taken + 1
  local part = parts[first]
  self._size, self._searched, self._unmatched = self._size - n, 0, 0
  if n < #part - from + 1 then
    self._taken = self._taken + n
    return part:sub(from, self._taken)
  end
  local pieces, missing = { part:sub(from) }, n - (#part - from + 1)
  parts[first] = nil
  first = first + 1
  local taken = 0
  while missing > 0 do
    part = parts[first]
    if missing < #part then
      pieces[#pieces + 1], taken = part:sub(1, missing), missing
      break
    end
    pieces[#pieces + 1], parts[first] = part, nil
    missing, first = missing - #part, first + 1
  end
  self._first, self._taken = first, taken
  if first > self._last then
    self._first, self._last = 1, 0
  end
  return #pieces == 1 and pieces[1] or table.concat(pieces)
end

local function any(self)
  local part = self._parts[self._first]
  return part and take(self, #part - self._taken)
end

--- Reads the next bytes, as many as have come. nil alone is the end of the stream, and each later
--- call returns it again. After an error of the context the stream is as it was.
---@async
---@param c ctx.Context
---@return string|nil chunk
---@return any? err  of the system, or that of c
function Stream:read(c)
  want.self(self, metatable, "read")
  want.context(c, "read")
  local chunk, err = read_until(self, c, READ, any)
  return chunk, err
end

local function exactly(self, n)
  if self._size < n then
    return nil
  end
  return n == 0 and "" or take(self, n)
end

--- Reads n bytes. nil alone: the stream ended before the first of them; with an error of code EOF:
--- in between. What has come stays for the next read when it was not enough.
---@async
---@param c ctx.Context
---@param n integer
---@return string|nil bytes
---@return any? err  with code EOF, of the system, or that of c
function Stream:read_exactly(c, n)
  want.self(self, metatable, "read_exactly")
  want.context(c, "read_exactly")
  n = whole(n, "read_exactly", 2)
  local bytes, err = read_until(self, c, READ_EXACTLY, exactly, n)
  if bytes then
    return bytes
  elseif not err and self._size > 0 then
    err = failure.new("EOF", "read_exactly",
      ("end of file after %d of %d bytes"):format(self._size, n))
  end
  return nil, err
end

--- The first line, if all of it is here. Each part is searched once: how far it looked stays for
--- the next time, until something is taken.
local function line_of(self, max)
  local before, from = self._unmatched, self._taken + 1
  for i = math.max(self._searched + 1, self._first), self._last do
    local part = self._parts[i]
    if i > self._first then
      from = 1
    end
    local at = part:find("\n", from, true)
    local length = before + (at or #part + 1) - from
    if at and length <= max then
      -- By sub: gsub would try "\r?\n$" at every byte of a long line.
      local text = take(self, length + 1)
      return text:sub(1, text:sub(-2, -2) == "\r" and -3 or -2)
    elseif length > max then
      before = length
      break
    end
    before, self._searched, self._unmatched = length, i, length
  end
  if before > max then
    return nil, failure.new("EMSGSIZE", "read_line", ("line longer than %d bytes"):format(max))
  end
end

--- Reads the next line, without its "\n" or "\r\n". nil alone: the stream ended after a whole line;
--- with an error of code EOF: in the middle of one, which stays for `read`. A line of more than
--- `max` bytes is an error of code EMSGSIZE.
---@async
---@param c ctx.Context
---@param max? integer  65536
---@return string|nil line
---@return any? err  with code EOF or EMSGSIZE, of the system, or that of c
function Stream:read_line(c, max)
  want.self(self, metatable, "read_line")
  want.context(c, "read_line")
  max = max == nil and 65536 or want.count(max, "read_line", 2, "max")
  local text, err = read_until(self, c, READ_LINE, line_of, max)
  if text then
    return text
  elseif not err and self._size > 0 then
    err = failure.new("EOF", "read_line", "end of file in the middle of a line")
  end
  return nil, err
end

reading.unread = append

return reading
