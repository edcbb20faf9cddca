-- SPDX-License-Identifier: MIT
--- Functions that wrap a handler: (next) → handler.
local core = require "ctx.core"
local defect = require "ctx.http.defect"
local fields = require "ctx.fields"
local loop = require "ctx.loop"
local want = require "ctx.want"
local record = require "ctx.http.record"

local middleware = {}

local shared = core.shared("ctx.http.middleware")
shared.request_id = shared.request_id or core.key("request id")
local REQUEST_ID = shared.request_id

record.values.request_id = function(c)
  return c:value(REQUEST_ID)
end

--- Wraps a handler in middleware, the first outermost.
---@param handler ctx.http.Handler
---@param ... ctx.http.Middleware
---@return ctx.http.Handler wrapped
function middleware.chain(handler, ...)
  want.fn(handler, "chain", 1)
  for i = select("#", ...), 1, -1 do
    local wrap = select(i, ...)
    wrap = want.fn(wrap, "chain", i + 1, "middleware")
    local inner = handler
    handler = wrap(inner)
    want.argument(want.fn[2](handler), "chain", i + 1, "middleware",
      "a function that returns a handler", handler)
    if handler ~= inner then
      defect.wraps(handler, inner)
    end
  end
  return handler
end

-- -- Request ids ----------------------------------------------------------------------------------

--- A random UUID (RFC 9562, version 4).
local function uuid()
  local a, b = string.unpack(">I8I8", assert(loop.uv.random(16)))
  a = a & ~0xf000 | 0x4000
  b = b & ~(3 << 62) | 2 << 62
  return ("%08x-%04x-%04x-%04x-%012x")
    :format(a >> 32, a >> 16 & 0xffff, a & 0xffff, b >> 48, b & 0xffffffffffff)
end

--- What a client sent is echoed and logged, so it may hold nothing that a header or a log could
--- take for more than a name.
local function is_id(text)
  return text and #text <= 128 and text:find("^[A-Za-z0-9._~:/+=-]+$")
end

---@class ctx.http.RequestIdOptions
---@field header? string   x-request-id
---@field trust? boolean   take over what the client sent, if it is harmless; true

local REQUEST_ID_OPTIONS = {
  header = fields.free,
  trust = want.flag,
}

--- Gives each request an id: the client's, or a new UUID. It goes out in the same header, into the
--- access log, and http.request_id.of(c) gives it.
local function new_request_id(_, options)
  options = want.options(options, "request_id", 1, REQUEST_ID_OPTIONS)
  local name, trust = fields.fold(options.header or "X-Request-ID"), options.trust ~= false
  return function(next)
    return defect.wraps(function(req, res)
      local sent = req.headers[name]
      local id = trust and is_id(sent) and sent or uuid()
      res.headers[name] = id
      local original = req._original or req
      original._kept = { [name] = id }
      return next(req:with_context(core.with_value(req.ctx, REQUEST_ID, id)), res)
    end, next)
  end
end

middleware.request_id = setmetatable({
  --- The id of the request that c belongs to.
  ---@param c ctx.Context
  ---@return string?
  of = function(c)
    want.context(c, "of")
    return c:value(REQUEST_ID)
  end,
}, { __call = new_request_id })

return middleware
