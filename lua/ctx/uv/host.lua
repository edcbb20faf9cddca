-- SPDX-License-Identifier: MIT
--- What all of ctx.uv asks of luv.
local loop = require "ctx.loop"
local report = require "ctx.report"
local signal = require "ctx.signal"

local host = { uv = loop.uv }

--- A function for luv to call back: an error that left it would end the process. None of ours runs
--- the program's code, so what it reports is a defect, or no memory.
---@param fn fun(...)
---@return fun(...)
function host.guarded(fn)
  return function(...)
    local ok, err = pcall(fn, ...)
    if not ok then
      report.send("ctx.uv: " .. report.describe(err), "uv")
    end
  end
end

--- Closes a luv handle, unless somebody has.
function host.close(handle)
  if not handle:is_closing() then
    handle:close()
  end
end

-- Again after a program closed all handles with uv.walk: a write to a peer that has gone must be an
-- error, and not the end of the process.
host.ignore_sigpipe = signal.ignore_sigpipe

return host
