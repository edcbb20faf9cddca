-- SPDX-License-Identifier: MIT
--- A response, as a handler writes it.
---
--- The head goes out with the first bytes of the body. What is finished in one piece has a
--- Content-Length; what is written in several is chunked, unless the headers name a length.
local core = require "ctx.core"
local errors = require "ctx.errors"
local fields = require "ctx.fields"
local json = require "ctx.http.json"
local want = require "ctx.want"
local status_names = require "ctx.http.status"
local wire = require "ctx.http.wire"

local check, check_context = want.argument, want.context
local concat = table.concat
local setmetatable, getmetatable = setmetatable, getmetatable
local Fields = fields.class

---@class ctx.http.Response
---@field status integer          200
---@field headers ctx.fields.Fields  of strings, numbers or lists of them
---@field trailers ctx.fields.Fields  sent behind a chunked body, which they make it
---@field ctx ctx.Context?        of the answer, for the server's `failure` only
---@field bytes integer           of the body, handed over so far
---@field sent boolean            the head is out, or under way
---@field finished boolean
---@field failed any?             why it cannot be written any more
---@field _connection ctx.http.Connection
---@field _request ctx.http.Request
---@field _keep_alive boolean
---@field _chunked boolean?
---@field _length integer?        of the body, if the head has named it
---@field _has_body boolean?       whatever the status is said to be after the head
---@field _missed any?             why the last write did not even begin, when the request was over
local Response = {}
local metatable = { __name = "ctx.http.Response", __index = Response }

local response = { class = Response }

local STATUS = want.whole(200, 999, "a status")
STATUS.argument = "status"
response.informational = want.rule("a status from 100 to 199, and not 101,", function(value)
  local n = type(value) == "number" and math.tointeger(value)
  if n and n >= 100 and n < 200 and n ~= 101 then
    return true, n
  end
  return false
end, "status")

---@param request ctx.http.Request
---@param connection ctx.http.Connection
---@return ctx.http.Response
function response.new(request, connection)
  -- With what comes later it fits into the 16 places that Lua makes for these.
  return setmetatable({ status = 200, bytes = 0, sent = false, finished = false, _chunked = false,
    headers = setmetatable({}, Fields), trailers = setmetatable({}, Fields), _request = request,
    _connection = connection, _keep_alive = request.keep_alive }, metatable)
end

-- -- The head -------------------------------------------------------------------------------------

local DAYS = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
  "Dec" }
local date_at, date

--- RFC 9110, 5.6.7; in no language but English, whatever the locale.
local function http_date()
  local now = os.time()
  if now ~= date_at then
    local t = os.date("!*t", now)
    date_at, date = now, ("%s, %02d %s %04d %02d:%02d:%02d GMT")
      :format(DAYS[t.wday], t.day, MONTHS[t.month], t.year, t.hour, t.min, t.sec)
  end
  return date
end

--- Whether there are trailers. They need a chunked body: nothing else has room behind it.
local function has_trailers(self)
  local trailers = self.trailers
  return trailers ~= nil and (type(trailers) ~= "table" or next(trailers) ~= nil)
end

--- What stands behind the last chunk; or nil and what must not be sent so.
local function trailer_lines(self)
  local wrong = fields.wrong(self.trailers)
  for name in next, wrong and {} or self.trailers do
    if fields.is_control(name) then
      wrong = ("header %s: it belongs into the head"):format(name)
    end
  end
  if wrong then
    return nil, wrong
  end
  return wire.trailers(self.trailers)
end

--- What ends a body: nothing, if its length does; nil and what must not be sent so.
local function body_end(self, trailing)
  if self._chunked and not trailing then
    return "0\r\n\r\n"
  elseif self._chunked then
    local lines, wrong = trailer_lines(self)
    if not lines then
      return nil, "res.trailers: " .. wrong
    end
    return "0\r\n" .. lines .. "\r\n"
  elseif trailing and self._has_body and self._request.minor > 0 then
    return nil, "res.trailers: a response with a Content-Length has none"
  end
end

--- Whether a response of this status says how long its body is, or would be.
local function has_length(status)
  return status >= 200 and status ~= 204 and status ~= 304
end

--- The bytes of the head; or nil and what must not be sent so. `length`: of the body, or false if
--- it is not known.
local function make_head(self, length)
  local status, request = self.status, self._request
  if math.type(status) ~= "integer" or status < 200 or status > 999 then
    -- What is less is not the end: res:inform sends it, and for 101 there is req:hijack.
    local fits, whole = STATUS[2](status)
    if not fits then
      return nil, "res.status: a status from 200 to 999 expected, got " .. tostring(status)
    end
    status, self.status = whole, whole
  end
  if not has_length(status) or request.method == "CONNECT" and status < 300 then
    length = nil -- RFC 9110, 8.6
  elseif request.method == "HEAD" and length == 0 then
    length = false -- the program may name the length that GET would have
  end
  local keep_alive = self._keep_alive and self._connection:may_go_on()
  local headers = self.headers
  local wrong = getmetatable(headers) ~= Fields and fields.wrong(headers)
  if wrong then
    return nil, "res.headers: " .. wrong
  end
  local head, kept, named = wire.head(status, status_names[status] or "", headers, length,
    keep_alive, request.minor, http_date(), self._connection.server.limits.keep_alive_hint)
  if not head then
    return nil, "res.headers: " .. kept
  end
  self._keep_alive = kept
  self._length = named
  self._has_body = has_length(status) and request.method ~= "HEAD"
  self._chunked = length == false and not named and request.minor > 0 and self._has_body
  return head
end

-- -- The body -------------------------------------------------------------------------------------

local function ended(self, name)
  if self.finished then
    return errors.new(name .. ": the response is finished")
  elseif self.failed then
    return self.failed
  elseif self._connection.output == "hijacked" then
    return errors.new(name .. ": the connection is hijacked")
  end
end

--- A write has not begun. If that is because the request is over, and the handler does not look,
--- then what there is of an answer is not whole.
local function missed(self, err)
  local request = self._request
  if (request._innermost or request.ctx):err() then
    self._missed = err
  end
  return err
end

--- Why nothing can be written, or not under this context.
local function refused(self, c, name)
  local err = ended(self, name)
  if not err and c:err() then
    err = missed(self, c:ended())
  end
  return err
end

--- Frames a piece of the body, after what is in `out` already.
local function frame(self, out, data)
  if data == "" or not self._has_body then
    return
  elseif self._chunked then
    out[#out + 1] = ("%x\r\n"):format(#data)
    out[#out + 1] = data
    out[#out + 1] = "\r\n"
  else
    out[#out + 1] = data
  end
end

-- Up to so many bytes it is cheaper to put the pieces together than to hand luv a list.
local SHORT = 4096

local function joined(out, size)
  if size <= SHORT then
    local data = concat(out)
    return data, #data
  end
  local bytes = 0
  for i = 1, #out do
    bytes = bytes + #out[i]
  end
  return out, bytes
end

--- Hands it all to the connection. A caller that gave up before the first byte can try again: then
--- all is as it was.
---@param out string[]
---@param size integer   of it, so many bytes are of the body
---@param begun boolean  the head was out before
local function send(self, c, out, size, begun)
  local keep_alive = self._keep_alive
  self.sent, self._keep_alive = true, false -- until it is out: there may be no memory for that
  local ok, err, cut = self._connection:write(c, joined(out, size))
  self._keep_alive = keep_alive
  if ok then
    self._missed = nil
    return true
  elseif cut then
    self._keep_alive = false
    self.failed = err
  else
    self.sent, self.finished, self.bytes = begun, false, self.bytes - size
    missed(self, err)
  end
  return nil, err
end

--- More than the length that was named would be read as the next response.
local function too_long(self, name, size)
  local length = self._length
  if length and self._has_body and self.bytes + size > length then
    error(("bad argument #2 to '%s' (data: the Content-Length is %d, and this would make it %d)")
      :format(name, length, self.bytes + size), 3)
  end
end

--- Writes a piece of the body, and before the first one the head; waits until the kernel has it
--- all, which is as fast as the client reads. When the context ends in the middle, the connection
--- is cut.
---@async
---@param c ctx.Context
---@param data string
---@return true|nil ok
---@return any? err  of the client that has gone, or that of c
function Response:write(c, data)
  want.self(self, metatable, "write")
  check_context(c, "write")
  check(type(data) == "string", "write", 2, "data", "a string", data)
  core.check_wait(c, "res:write")
  local err = refused(self, c, "write")
  if err then
    return core.refused(nil, err)
  end
  local out, begun = {}, self.sent
  if not begun then
    local head, wrong = make_head(self, false)
    if not head then
      error(wrong, 2)
    end
    out[1] = head
  end
  too_long(self, "write", #data)
  frame(self, out, data)
  self.bytes = self.bytes + #data
  if #out == 0 then
    core.sleep(c, 0) -- no kernel makes the program wait here; a client that leaves must be seen
    return true
  end
  return send(self, c, out, #data, begun)
end

--- All is out. Of too little, the client waits for the rest: it must not take the next response for
--- that.
local function check_length(self)
  if self._length and self._has_body and self.bytes < self._length then
    self._keep_alive = false
    self.failed = errors.new(("the Content-Length is %d, and only %d bytes were written")
      :format(self._length, self.bytes))
    return nil, self.failed
  end
  return true
end

--- Writes the last piece of the body, or all of it, and ends the response. Handlers that do not
--- call it end it by returning.
---@async
---@param c ctx.Context
---@param data? string
---@return true|nil ok
---@return any? err  as of `write`
function Response:finish(c, data)
  if getmetatable(self) ~= metatable or c ~= self._request.ctx then -- hardly ever
    want.self(self, metatable, "finish")
    check_context(c, "finish")
  end
  if data ~= nil and type(data) ~= "string" then
    check(false, "finish", 2, "data", "a string", data)
  end
  core.check_wait(c, "res:finish")
  if self.finished or self.failed or self._connection.output == "hijacked" or c:err() then
    return core.refused(nil, refused(self, c, "finish"))
  end
  data = data or ""
  local out, begun, trailing, last, wrong = {}, self.sent, has_trailers(self), nil, nil
  if begun then
    too_long(self, "finish", #data)
  else
    out[1], wrong = make_head(self, not (trailing and self._request.minor > 0) and #data)
  end
  if not wrong and (trailing or self._chunked) then
    last, wrong = body_end(self, trailing)
  end
  if wrong then
    error(wrong, 2)
  end
  frame(self, out, data)
  out[#out + 1] = last
  self.bytes = self.bytes + #data
  self.finished = true
  if #out > 0 then
    local ok
    ok, wrong = send(self, c, out, #data, begun)
    if not ok then
      return nil, wrong
    end
  end
  return check_length(self)
end

--- Answers with a value as JSON, by lua-cjson. Its Content-Type is application/json, unless the
--- headers name one.
---@async
---@param c ctx.Context
---@param status integer
---@param value any  lua-cjson's null for null
---@return true|nil ok
---@return any? err  as of `write`
function Response:json(c, status, value)
  check_context(c, "json")
  status = STATUS(status, "json", 2)
  check(value ~= nil, "json", 3, "value", "a value (cjson.null for null)", value)
  json.need("json")
  local text, wrong = json.encode(value)
  check(text, "json", 3, "value", "a value that JSON has (" .. tostring(wrong) .. ")", value)
  core.check_wait(c, "res:json")
  if self.sent or self.bytes > 0 or self.finished then
    return nil, errors.new("json: the response has begun")
  end
  local headers, unfit = fields.of(self.headers or {})
  if not headers then
    error("res.headers: " .. unfit, 2)
  end
  headers["content-type"] = headers["content-type"] or "application/json"
  self.status, self.headers = status, headers
  local ok, err = self:finish(c, text)
  return ok, err
end

--- Sends an informational response before the real one, such as 103 with its Link headers.
---@async
---@param c ctx.Context
---@param status integer     from 100 to 199, and not 101
---@param headers? table<string, string|string[]>
---@return true|nil ok
---@return any? err  as of `write`
function Response:inform(c, status, headers)
  want.self(self, metatable, "inform")
  check_context(c, "inform")
  status = response.informational(status, "inform", 2)
  core.check_wait(c, "res:inform")
  local err = ended(self, "inform") or c:ended()
  if err or self.sent or self._request.minor == 0 then
    err = err or errors.new("inform: the head is out, or the client knows HTTP/1.0 only")
    return core.refused(nil, err)
  end
  local head, wrong = nil, fields.wrong(headers)
  if not wrong then
    head, wrong = wire.head(status, status_names[status] or "", headers, nil, true, 1, http_date())
  end
  if not head then
    error("inform: " .. wrong, 2)
  end
  local ok, failed = self._connection:write(c, head, #head)
  return ok, failed
end

metatable.__tostring = function(self)
  return ("ctx.http.Response (%s%s)"):format(tostring(self.status),
    self.finished and ", finished" or self.sent and ", begun" or "")
end

-- -- For the server -------------------------------------------------------------------------------

--- The bytes of a response that no handler writes.
---@param status integer
---@param headers table?
---@param text string
---@param keep_alive? boolean        the connection goes on
---@param request ctx.http.Request?  nil: no head has been read
---@param hint integer?              seconds, see settings
---@return string bytes
function response.whole(status, headers, text, keep_alive, request, hint)
  headers = fields.of(headers or {})
  if text ~= "" then
    headers["content-type"] = "text/plain; charset=utf-8"
  end
  local head = wire.head(status, status_names[status] or "", headers, #text, keep_alive or false,
    request and request.minor or 1, http_date(), hint)
  return request and request.method == "HEAD" and head or head .. text
end

return response
