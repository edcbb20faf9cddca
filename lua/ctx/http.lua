-- SPDX-License-Identifier: MIT
--- HTTP: a server in which the work for a request ends when its client leaves, and a client that
--- sends the deadline and the trace on.
---
---     local http = require "ctx.http"
---     local server = http.server {
---       handler = function(req, res)
---         local product, err = find(req.ctx, req.query.id)
---         if not product then
---           return nil, http.failure(404, "no such product", err)
---         end
---         return res:finish(req.ctx, product)
---       end,
---     }
---     assert(server:listen("127.0.0.1", 8080))
---     assert(server:serve(root))
for name, needs in pairs {
  wire = "llhttp (Debian 12: node-llhttp; later: libllhttp-dev)",
  curl = "libcurl (Debian: libcurl4-openssl-dev)",
} do
  local ok, why = pcall(require, "ctx.http." .. name)
  if not ok then
    error(("ctx.http: its C module ctx.http.%s does not load. It comes with the rock ctx-http, and "
      .. "needs %s when that is built. %s"):format(name, needs, why), 0)
  end
end

local answer = require "ctx.http.answer"
local causes = require "ctx.http.causes"
local client = require "ctx.http.client"
local core = require "ctx.core"
local failure = require "ctx.http.failure"
local middleware = require "ctx.http.middleware"
local record = require "ctx.http.record"
local paths = require "ctx.http.paths"
local router = require "ctx.http.router"
local server = require "ctx.http.server"
local status_names = require "ctx.http.status"
local timeout = require "ctx.http.server.timeout"
local url = require "ctx.http.url"
local want = require "ctx.want"

---@alias ctx.http.Handler fun(req: ctx.http.Request, res: ctx.http.Response): any, any
---@alias ctx.http.Middleware fun(next: ctx.http.Handler): ctx.http.Handler

---@class ctx.http
---@field status table<integer, string>  The names of the status codes.
---@field Failure table  The class of http.failure's errors, for `errors.as`.
---@field client_gone ctx.errors.Error  A cause: the client has closed the connection.
---@field handler_returned ctx.errors.Error  A cause: the handler has returned.
---@field server_shutdown ctx.errors.Error  A cause: the server waited no longer.
---@field write_failed ctx.errors.Error  A cause: the response could not be written.
---@field request_timeout ctx.errors.Error  A cause: a limit of the server or of http.timeout.
---@field abort ctx.errors.Error  An error for a handler to raise or return: it cuts the connection.
--- Makes a middleware that gives each request an id; `http.request_id.of(c)` returns it.
---@field request_id fun(options?: ctx.http.RequestIdOptions): ctx.http.Middleware
local http = {
  request = client.request,
  get = client.get,
  post = client.post,
  client = client.new,
  ECERT = client.ECERT,
  ETLS = client.ETLS,
  server = server.new,
  router = router.new,
  chain = middleware.chain,
  request_id = middleware.request_id,
  timeout = timeout.new,
  failure = failure.new,
  Failure = failure.class,
  logfmt = record.logfmt,
  json = record.json,
  query = url.query,
  escape = url.escape,
  join = paths.join,
  status = status_names,
  client_gone = causes.client_gone,
  handler_returned = causes.handler_returned,
  server_shutdown = causes.server_shutdown,
  write_failed = causes.write_failed,
  request_timeout = causes.request_timeout,
  abort = causes.abort,
}

local RESPONSE = want.rule("a response", function(value)
  return type(value) == "table" and value.bytes and type(value.finish) == "function"
end, "res")
local STATUS = want.whole(200, 999, "a status")
STATUS.argument = "status"

--- Answers with a text and a status, in place of whatever headers were set.
---@async
---@param res ctx.http.Response  not begun
---@param status integer         from 200 to 999
---@param message string
---@return true|nil ok
---@return any? err  when the response has begun, or cannot be written
function http.error(res, status, message)
  RESPONSE(res, "error", 1)
  if type(status) == "string" then
    error("bad argument #2 to 'error' (status: the status comes before the message now: "
      .. "http.error(res, status, message))", 2)
  end
  status = STATUS(status, "error", 2)
  message = want.string(message, "error", 3, "message")
  core.check_wait(nil, "http.error")
  local ok, err = answer.plain(res, status, message)
  if not ok then
    return core.refused(nil, err)
  end
  return true
end

return http
