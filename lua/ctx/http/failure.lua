-- SPDX-License-Identifier: MIT
--- An error that has a status: what a handler returns or raises to answer with it.
local core = require "ctx.core"
local want = require "ctx.want"
local report = require "ctx.report"
local status_names = require "ctx.http.status"

local check = want.argument

---@class ctx.http.Failure
---@field status integer
---@field message string
---@field [integer] any  the error behind it
local Failure = core.shared("ctx.http.failure")

if not Failure.__name then
  Failure.__tostring = function(self)
    local name = status_names[self.status]
    local text = ("%d %s"):format(self.status, self.message)
    if name and name ~= self.message then
      text = ("%d %s: %s"):format(self.status, name, self.message)
    end
    return self[1] == nil and text or text .. ": " .. report.describe(self[1])
  end
  Failure.__concat = function(left, right)
    return tostring(left) .. tostring(right)
  end
  Failure.unwrap = function(self)
    return self[1]
  end
  Failure.__name = "ctx.http.Failure"
end

local failure = { class = Failure }

local STATUS = want.whole(200, 999, "a status")

--- Makes an error with a status, for a handler to return or raise. The client is told the status
--- and the message; the error behind it is for the log.
---@param status integer
---@param message? string  what the status means
---@param cause? any
---@return ctx.http.Failure err
---@nodiscard
function failure.new(status, message, cause)
  status = STATUS(status, "failure", 1, "status")
  check(message == nil or type(message) == "string", "failure", 2, "message", "a string", message)
  return setmetatable({ status = status, message = message or status_names[status] or "failed",
    cause }, Failure)
end

return failure
