-- SPDX-License-Identifier: MIT
--- What both specs of ctx.shutdown open with.
local shutdown = require "ctx.shutdown"

local shutdowns = {}

--- A shutdown, a log of the ms at which things happened, and the function that writes it.
function shutdowns.make(root, clock, options)
  local log = {}
  local function note(text)
    log[#log + 1] = ("%g %s"):format(clock:elapsed(), text)
  end
  return shutdown.new(root, options), log, note
end

return shutdowns
