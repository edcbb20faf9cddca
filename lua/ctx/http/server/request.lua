-- SPDX-License-Identifier: MIT
--- A request, as a handler sees it.
local body = require "ctx.http.server.body"
local core = require "ctx.core"
local fields = require "ctx.fields"
local json = require "ctx.http.json"
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
---@field headers ctx.fields.Fields  any spelling of a name; several of one name are joined
---@field params table<string, string>   what the router found in the path
---@field pattern string?           that the router has matched
---@field minor integer              of HTTP/1.minor
---@field server ctx.http.Server
---@field trailers ctx.fields.Fields?  what came after a chunked body, once that is read
---@field raw_query string?        as it was sent
---@field _fields table            the headers as C has made them, names in lower case
---@field _body ctx.http.Body
---@field _connection ctx.http.Connection
---@field _original ctx.http.Request?  of which it is a copy
---@field _handler function?          the one that the router found
---@field _kept table?              headers that its answer has, also when they are replaced
---@field _trace string?            where it was raised, of an error that http.timeout raises again
---@field _innermost ctx.Context?      of the last copy: what the access log asks for values
local Request = {}

-- What is made on first use only; not in C's table.
local lazy = {
  query = function(self)
    return url.query(self.raw_query)
  end,
  params = function()
    return {}
  end,
  headers = function(self)
    return fields.adopt(self._fields)
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

--- Makes a request out of a head. When its target makes no sense, its path is as it was sent.
---@param head table  as ctx.http.wire gives it
---@param connection ctx.http.Connection
---@param read ctx.http.Body
---@return ctx.http.Request
---@return boolean makes_sense
function request.new(head, connection, read)
  if not head.raw_path then
    local host
    head.raw_path, head.raw_query, host = url.split(head.target)
    head._fields.host = host or head._fields.host -- RFC 9112, 3.2.2: the target's counts
  end
  local path = head.raw_path and url.unescape(head.raw_path)
  if not path then
    head.raw_path = head.raw_path or head.target
  end
  head.path, head._connection, head._body = path or head.raw_path, connection, read
  head.server = connection.server
  return setmetatable(head, metatable), path ~= nil
end

--- Stands for the request of an answer to bytes of which no head came out.
---@param connection ctx.http.Connection
---@return ctx.http.Request
function request.none(connection)
  return setmetatable({ method = "", target = "", path = "", raw_path = "", minor = 1,
    _fields = {}, keep_alive = false, _connection = connection, _body = body.empty,
    server = connection.server }, metatable)
end

--- Returns all values of a name in the query, in order.
---@param name string
---@return string[] values
function Request:values(name)
  want.self(self, metatable, "values")
  name = want.string(name, "values", 1, "name")
  local values = {}
  for found, value in url.pairs(self.raw_query) do
    if found == name then
      values[#values + 1] = value
    end
  end
  return values
end

--- Reads the whole body, or what is left of it. An error of a client that left, of the context, or
--- with status 413 when it is longer than the server takes.
---@async
---@param c? ctx.Context  the request's own
---@return string|nil body
---@return any? err  of the client, of c, or with status 413
function Request:body(c)
  want.self(self, metatable, "body")
  c = c or self.ctx
  check_context(c, "body")
  core.check_wait(c, "req:body")
  return self._body:read_all(c)
end

--- Reads the body as JSON, decoded by lua-cjson. An error has status 400 when it is not JSON, and
--- 413 when it is longer than the server takes.
---@async
---@param c? ctx.Context  the request's own
---@return any value  lua-cjson's null for null
---@return any? err  with status 400 or 413, or as of `body`
function Request:json(c)
  want.self(self, metatable, "json")
  c = c or self.ctx
  check_context(c, "json")
  core.check_wait(c, "req:json")
  json.need("json")
  local text, err = self._body:read_all(c)
  if not text then
    return nil, err
  end
  return json.decode(text)
end

--- Reads the next piece of the body, as it comes; nil alone at the end. A body that is not read
--- makes the client wait.
---@async
---@param c? ctx.Context  the request's own
---@return string|nil chunk
---@return any? err  of the client, or that of c
function Request:read(c)
  want.self(self, metatable, "read")
  c = c or self.ctx
  check_context(c, "read")
  core.check_wait(c, "req:read")
  return self._body:read(c)
end

--- Returns the same request under another context, usually a child of its own, for the handlers
--- further in.
---@param c ctx.Context
---@return ctx.http.Request request
---@nodiscard
function Request:with_context(c)
  want.self(self, metatable, "with_context")
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

--- Returns where it came from: `{ ip, port, family }`; the path of a pipe, which may be empty; or
--- nil.
---@return ctx.uv.Address|string|nil peer
function Request:peer()
  want.self(self, metatable, "peer")
  return self._connection.transport:peer()
end

--- Returns the address of the other side as a text for logs; "unknown" when the client had gone
--- before.
---@return string remote
function Request:remote()
  want.self(self, metatable, "remote")
  local peer = self:peer()
  if type(peer) == "table" then
    return peer.ip
  end
  return peer and "unix" or "unknown"
end

--- Returns a context that is done once the server has begun to shut down: handlers that go on for
--- long should come to an end then.
---@return ctx.Context c
function Request:draining()
  want.self(self, metatable, "draining")
  return self.server:draining()
end

--- Takes the connection away from the server, for another protocol: what was read of it and not
--- taken comes first. Nothing may have been written; write the response yourself. The stream is
--- yours to close; that the client has gone, its reads will tell.
---@return ctx.uv.Stream|nil stream
---@return any? err  when a response has begun, or the connection is over
function Request:hijack()
  want.self(self, metatable, "hijack")
  return self._connection:hijack(self)
end

return request
