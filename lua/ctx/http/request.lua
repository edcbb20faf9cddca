-- SPDX-License-Identifier: MIT
--- A request, as a handler sees it.
local want = require "ctx.want"
local url = require "ctx.http.url"

local check_context = want.context

---@class ctx.http.Request
---@field ctx ctx.Context            ends when nobody needs an answer any more
---@field method string              as it was sent, in capitals
---@field target string              as it was sent
---@field path string                decoded
---@field raw_path string            as it was sent
---@field query table<string, string>  name → its first value; made on first use
---@field headers ctx.Fields         any spelling of a name; several of one name are joined
---@field params table<string, string>   what the router found in the path
---@field minor integer              of HTTP/1.minor
---@field server ctx.http.Server
---@field trailers ctx.Fields?  what came after a chunked body, once that is read
---@field raw_query string?        as it was sent
---@field _body ctx.http.Body
---@field _connection ctx.http.Connection
---@field _original ctx.http.Request?  of which it is a copy
---@field _kept table?              headers that its answer has, also when they are replaced
---@field _trace string?            where it was raised, of an error that http.timeout raises again
---@field _innermost ctx.Context?      of the last copy: what the access log asks for values
local Request = {}

-- What is made on first use only; nil in C's table.
local lazy = {
  query = function(self)
    return url.query(self.raw_query)
  end,
  params = function()
    return {}
  end,
}

local metatable = { __name = "ctx.http.Request" }

metatable.__index = function(self, key)
  local method = Request[key]
  if method then
    return method
  elseif key == "trailers" then
    return rawget(self, "_body").trailers
  end
  local make = lazy[key]
  if make then
    local value = make(self)
    rawset(self, key, value)
    return value
  end
end

metatable.__tostring = function(self)
  return ("ctx.http.Request (%s %s)"):format(self.method, self.target)
end

local request = { class = Request }

--- Makes a request out of a head; nil when its target makes no sense.
---@param head table  as ctx.http.wire gives it
---@param connection ctx.http.Connection
---@param body ctx.http.Body
---@return ctx.http.Request?
function request.new(head, connection, body)
  if not head.raw_path then
    local host
    head.raw_path, head.raw_query, host = url.split(head.target)
    head.headers.host = host or head.headers.host -- RFC 9112, 3.2.2: the target's counts
  end
  local path = head.raw_path and url.unescape(head.raw_path)
  head.path, head._connection, head._body, head.server = path, connection, body, connection.server
  return path and setmetatable(head, metatable) or nil
end

--- The values of a name in the query, in order.
---@param name string
---@return string[]
function Request:values(name)
  local values = {}
  for found, value in url.pairs(self.raw_query) do
    if found == name then
      values[#values + 1] = value
    end
  end
  return values
end

--- The whole body, or what is left of it. An error of a client that left, of the context, or with
--- status 413 when it is longer than the server takes.
---@async
---@param c? ctx.Context  the request's own
---@return string|nil body
---@return any? err
function Request:body(c)
  c = c or self.ctx
  check_context(c, "body")
  return self._body:read_all(c)
end

--- The next piece of the body, as it comes; nil alone at the end. A body that nobody reads makes
--- the client wait.
---@async
---@param c? ctx.Context  the request's own
---@return string|nil chunk
---@return any? err
function Request:read(c)
  c = c or self.ctx
  check_context(c, "read")
  return self._body:read(c)
end

--- The same request under another context, for the handlers further in: a child of this one's, as
--- a rule.
---@param c ctx.Context
---@return ctx.http.Request
function Request:with_context(c)
  check_context(c, "with_context")
  local copy = {}
  for key, value in next, self do
    copy[key] = value
  end
  local original = self._original or self
  original._innermost = c
  copy.ctx, copy._original = c, original
  return setmetatable(copy, metatable)
end

--- Where it came from: `{ ip, port, family }`; the path of a pipe, which may be empty; or nil.
function Request:peer()
  return self._connection:peer()
end

--- The name of the other side, for logs; "unknown" when it had gone before anybody asked.
---@return string
function Request:remote()
  local peer = self:peer()
  if type(peer) == "table" then
    return peer.ip
  end
  return peer and "unix" or "unknown"
end

--- A context that is done when the server has begun to shut down, for handlers that go on for long:
--- they should come to an end then.
---@return ctx.Context
function Request:draining()
  return self.server:draining()
end

--- Takes the connection away from the server, for another protocol: what was read of it and not
--- taken comes first. Nothing may have been written; write the response yourself. The stream is
--- yours to close; that the client has gone, its reads will tell.
---@return ctx.uv.Stream|nil stream
---@return any? err
function Request:hijack()
  return self._connection:hijack(self)
end

return request
