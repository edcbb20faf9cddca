-- SPDX-License-Identifier: MIT
--- An HTTP client on libcurl, with a context first.
---
---     local client = require "ctx.http.client"
---     local response, err = client.get(c, "https://example.org/")
---     if not response then
---       return nil, err            -- "GET https://example.org/: awaiting headers: …"
---     end
---     print(response.status, response.headers["content-type"], #response.body)
---
--- The context covers all of a request: the name, the connection, TLS, the headers and the body.
--- When it ends, the transfer is taken from libcurl in the same turn, and its connection is not
--- used again. Connections that served are kept, and used again.
local core = require "ctx.core"
local engine = require "ctx.http.client.engine"
local failing = require "ctx.http.client.failing"
local failure = require "ctx.uv.failure"
local known = require "ctx.http.client.options"
local perform = require "ctx.http.client.perform"
local want = require "ctx.want"

local check, check_context = want.argument, want.context

---@class ctx.http.client
--- Sends a request and waits for the response: for all of it, or with `stream` for its head.
---@field request async fun(c: ctx.Context, options: ctx.http.client.RequestOptions):
---          ctx.http.client.Response?, any
--- Sends a GET request and waits for the response.
---@field get async fun(c: ctx.Context, url: string, options?: ctx.http.client.RequestOptions):
---          ctx.http.client.Response?, any
--- Sends a POST request and waits for the response.
---@field post async fun(c: ctx.Context, url: string, body?: any, options?:
---          ctx.http.client.RequestOptions): ctx.http.client.Response?, any
local client = { ECERT = failing.ECERT, ETLS = failing.ETLS }

-- -- Clients --------------------------------------------------------------------------------------

---@class ctx.http.client.Client
---@field _engine ctx.http.client.Engine
---@field _defaults table  of its requests
---@field _closed? any  why, for failure.closed
local Client = {}
local metatable = { __name = "ctx.http.client.Client", __index = Client }
---@private
client.class = Client

--- Sends a request and waits for the response: for all of it, or with `stream` for its head.
---@async
---@param c ctx.Context
---@param options ctx.http.client.RequestOptions
---@return ctx.http.client.Response|nil response
---@return any? err  names the request, and has the phase in `phase`
function Client:request(c, options)
  want.self(self, metatable, "request")
  check_context(c, "request")
  core.check_wait(c, "http.request")
  local request = want.options(options, "request", 2, known.known)
  check(request.url ~= nil, "request", 2, "options.url", "a URL", request.url)
  known.complete(request, self._defaults, "request", 2)
  local got, err = perform(self, c, request)
  return got, err
end

--- Sends a GET request and waits for the response.
---@async
---@param c ctx.Context
---@param url string
---@param options? ctx.http.client.RequestOptions
---@return ctx.http.client.Response|nil response
---@return any? err  as of `request`
function Client:get(c, url, options)
  want.self(self, metatable, "get")
  check_context(c, "get")
  core.check_wait(c, "http.get")
  known.known.url(url, "get", 2, "url")
  local request = want.options(options, "get", 3, known.known)
  request.method, request.url = request.method or "GET", url
  known.complete(request, self._defaults, "get", 3)
  local got, err = perform(self, c, request)
  return got, err
end

--- Sends a POST request and waits for the response.
---@async
---@param c ctx.Context
---@param url string
---@param body? string|fun(c: ctx.Context): string?, any
---@param options? ctx.http.client.RequestOptions
---@return ctx.http.client.Response|nil response
---@return any? err  as of `request`
function Client:post(c, url, body, options)
  want.self(self, metatable, "post")
  check_context(c, "post")
  core.check_wait(c, "http.post")
  known.known.url(url, "post", 2, "url")
  if body ~= nil then
    body = known.known.body(body, "post", 3, "body")
  end
  local request = want.options(options, "post", 4, known.known)
  request.method, request.url = request.method or "POST", url
  if body ~= nil then
    request.body = body
  end
  known.complete(request, self._defaults, "post", 4)
  local got, err = perform(self, c, request)
  return got, err
end

--- Ends the requests under way at once, and closes the connections. Their tasks, and later calls,
--- get the error `why`, or one of code ECLOSED. Calling it again does nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Client:close(why)
  want.self(self, metatable, "close")
  why = failure.reason(why)
  if not self._closed then
    self._closed = why
    local err = failure.closed("client", why)
    self._engine:close(err, rawequal(err, why))
  end
end

metatable.__close = function(self) self:close() end
metatable.__tostring = function(self)
  return "ctx.http.client.Client" .. (self._closed and " (closed)" or "")
end

local POOL = { "max_idle", "max_per_host", "max_total" }

local KNOWN = {}
for _, name in ipairs(POOL) do
  KNOWN[name] = want.count
end
for _, name in ipairs(known.defaults) do
  KNOWN[name] = known.known[name]
end

--- Makes a client with connections of its own. `max_idle`, `max_per_host` and `max_total` limit
--- these; what else is given holds for each of its requests that does not say something else, and
--- its headers are added to those of a request.
---@param options? ctx.http.client.Options
---@return ctx.http.client.Client client  to be closed
---@nodiscard
function client.new(options)
  local defaults, pool = want.options(options, "new", 1, KNOWN), {}
  for _, name in ipairs(POOL) do
    pool[name], defaults[name] = defaults[name], nil
  end
  known.complete(defaults, {}, "new", 1)
  return setmetatable({ _engine = engine.new(pool), _defaults = defaults }, metatable)
end

-- -- The default client ---------------------------------------------------------------------------

-- One per Lua state, whichever instance of this module is asked.
local shared = core.shared("ctx.http.client")

local own

local function default()
  if not own then
    shared.engine = shared.engine or engine.new({})
    own = setmetatable({ _engine = shared.engine, _defaults = {} }, metatable)
  end
  return own
end

--- The default client: request, get and post as functions without a self.
for _, name in ipairs { "request", "get", "post" } do
  local method = Client[name]
  client[name] = function(...)
    return method(default(), ...) -- a tail call: misuse is told at the caller's line
  end
end

return client
