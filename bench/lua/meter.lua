-- SPDX-License-Identifier: MIT
-- How every Lua row measures: the clock, the size of the work, the lines it prints.

local uv = require "luv"

-- counting: bench/instructions.lua counts instructions, and wants no times.
local meter = { scale = 1, counting = os.getenv("CTX_BENCH_COUNTING") ~= nil }

-- n operations at the scale asked for, at least one.
function meter.scaled(n)
  return math.max(1, math.floor(n * meter.scale))
end

-- ---- the clock ----------------------------------------------------------------------------------

-- The clock is that of the process's own processor time: what the machine does meanwhile for others
-- does not count. Each look at it has a number: under bench/instructions.lua callgrind writes down
-- its counters with each look, so that a row is made of the parts between its starts and stops.
local looks = 0

local function look()
  looks = looks + 1
  return os.clock()
end

local Watch = {}
Watch.__index = Watch

-- A watch that adds up the time between its starts and its stops, for the row of this name.
function meter.watch(name)
  return setmetatable({ _name = name, _spent_s = 0, _parts = {} }, Watch)
end

function Watch:start()
  self._began_s = look()
  self._first = looks
end

function Watch:stop()
  local now_s = look()
  self._spent_s = self._spent_s + (now_s - self._began_s)
  for part = self._first + 1, meter.counting and looks or 0 do -- more than one, if watches nest
    self._parts[#self._parts + 1] = part
  end
end

-- Prints the time of one of so many operations, and what else belongs to the row; or, under
-- callgrind, how many there were, and which of its parts the row is made of.
function Watch:print(ops, ...)
  if meter.counting then
    print(("%s %d %s"):format(self._name, ops, table.concat(self._parts, ",")))
  else
    print(table.concat({ self._name, ("%.2f"):format(self._spent_s * 1e9 / ops), ... }, " "))
  end
end

-- Prints the time of one operation; `work(n)` does n of them. The collector runs as it likes: what
-- it costs belongs to the figure. So does the loop around the operation, some 3 ns in Lua.
function meter.per_op(name, n, work)
  n = meter.scaled(n)
  work(math.max(1, n // 10)) -- warm: pages touched, the collector's pace found
  local watch = meter.watch(name)
  watch:start()
  work(n)
  watch:stop()
  watch:print(n)
end

local Phases = {}
Phases.__index = Phases

-- Adds up the time of the steps of a piece of work that alternate, by the row each belongs to.
function meter.phases(...)
  local self = setmetatable({ _names = { ... }, _watches = {} }, Phases)
  for _, name in ipairs(self._names) do
    self._watches[name] = meter.watch(name)
  end
  return self
end

function Phases:time(name, step)
  local watch = self._watches[name]
  watch:start()
  step()
  watch:stop()
end

function Phases:print(ops)
  for _, name in ipairs(self._names) do
    self._watches[name]:print(ops)
  end
end

-- ---- memory -------------------------------------------------------------------------------------

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
