-- SPDX-License-Identifier: MIT
--- One audit event for several sinks, at once. A sink that fails must not keep the event from the
--- others: that is a wait group, not an errgroup.
--
-- Usage: ./dev lua examples/audit.lua     (exits 0 only if all went as it should)

local ctx = require "ctx"
local errors = require "ctx.errors"
local waitgroup = require "ctx.waitgroup"

-- name, ms that it takes, whether it fails
local SINKS = { { "file", 5 }, { "database", 20, true }, { "queue", 10 }, { "archive", 60000 } }
local BUDGET_MS = 100

local function write(c, sink, event)
  local name, ms, fails = table.unpack(sink)
  local ok, err = ctx.sleep(c, ms)
  if not ok then
    return nil, err
  elseif fails then
    return nil, errors.new("connection refused")
  end
  return ("%s to %s"):format(event, name)
end

--- Every sink gets its try within one budget; returns the error of each that failed, by name.
local function audit(parent, event)
  local c, cancel <close> = ctx.with_timeout(parent, BUDGET_MS)
  local wg, failed = waitgroup.new(), {}
  for _, sink in ipairs(SINKS) do
    wg:go(function()
      local ok, err = write(c, sink, event)
      print(ok or ("%s: %s"):format(sink[1], err))
      failed[sink[1]] = err
    end)
  end
  wg:wait()
  return failed
end

ctx.run(function(root)
  local failed = audit(root, "login of user 7")
  assert(not failed.file and not failed.queue)
  assert(tostring(failed.database) == "connection refused")
  assert(errors.is(failed.archive, ctx.deadline_exceeded))
end)
