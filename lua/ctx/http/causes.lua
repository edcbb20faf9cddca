-- SPDX-License-Identifier: MIT
--- Why a request's context ended: sentinels, the same in each instance of the module in a state.
local core = require "ctx.core"
local errors = require "ctx.errors"

local causes = core.shared("ctx.http.causes")

if not causes.abort then
  causes.client_gone = errors.new("the client has gone")
  causes.handler_returned = errors.new("the handler has returned")
  causes.server_shutdown = errors.new("the server shuts down")
  causes.write_failed = errors.new("the response could not be written")
  causes.request_timeout = errors.new("the request took too long")
  --- Raised or returned by a handler: the connection is cut, and nothing is said about it.
  causes.abort = errors.new("the handler gave up the request")
end

---@class ctx.http.Causes
---@field client_gone ctx.errors.Error
---@field handler_returned ctx.errors.Error
---@field server_shutdown ctx.errors.Error
---@field write_failed ctx.errors.Error
---@field request_timeout ctx.errors.Error
---@field abort ctx.errors.Error
return causes
