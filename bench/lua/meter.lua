-- SPDX-License-Identifier: MIT
-- How every Lua row measures: the clock, the size of the work, the lines it prints.

local uv = require "luv"

local meter = { scale = 1 }

-- n operations at the scale asked for, at least one.
function meter.scaled(n)
  return math.max(1, math.floor(n * meter.scale))
end

function meter.print(name, spent_ns, ops)
  print(("%s %.2f"):format(name, spent_ns / ops))
end

-- Prints the time of one operation; `work(n)` does n of them. The collector runs as it likes: what
-- it costs belongs to the figure. So does the loop around the operation, some 3 ns in Lua.
function meter.per_op(name, n, work)
  n = meter.scaled(n)
  work(math.max(1, n // 10)) -- warm: pages touched, the collector's pace found
  local start_ns = uv.hrtime()
  work(n)
  meter.print(name, uv.hrtime() - start_ns, n)
end

local Phases = {}
Phases.__index = Phases

-- Adds up the time of the steps of a piece of work that alternate, by the row each belongs to.
function meter.phases(...)
  local self = setmetatable({ _names = { ... }, _spent_ns = {} }, Phases)
  for _, name in ipairs(self._names) do
    self._spent_ns[name] = 0
  end
  return self
end

function Phases:time(name, step)
  local start_ns = uv.hrtime()
  step()
  self._spent_ns[name] = self._spent_ns[name] + (uv.hrtime() - start_ns)
end

function Phases:print(ops)
  for _, name in ipairs(self._names) do
    meter.print(name, self._spent_ns[name], ops)
  end
end

-- What lives in the Lua state, after a collection, and what the process holds of the machine: the
-- second also has what C allocates by itself.
function meter.memory()
  collectgarbage()
  collectgarbage() -- what only the first one's finalizers let go of
  return { live = math.floor(collectgarbage("count") * 1024), resident = uv.resident_set_memory() }
end

-- The most that the process has ever held of the machine; 0 where there is no /proc.
function meter.peak_bytes()
  local status = io.open("/proc/self/status")
  local text = status and status:read("a") or ""
  if status then
    status:close()
  end
  return 1024 * tonumber(text:match("VmHWM:%s*(%d+)") or 0)
end

return meter
