-- SPDX-License-Identifier: MIT
-- What the process holds when nothing is going on, and by how much that may grow.

local uv = require "luv"
local ctx = require "ctx"
local core = require "ctx.core"

local sample = {}

local QUIET_MS = 5000
local STEP_MS = 5

-- Of what Lua holds and of the machine's memory: a part of what it was, and some more. Tables that
-- double and a fragmented heap explain that much; a leak of every round goes past it in time.
sample.may_grow = {
  lua_kb = { part = 0.1, more = 512 },
  resident_kb = { part = 0.25, more = 8192 },
}

-- All others stay what they were. Descriptors are counted only where there is a /proc.
local COUNTS = { "tasks", "parked", "external", "linked", "watchers", "deadlines", "lost",
  "handles", "descriptors" }

-- What there must be before anything is known: the task that asks, and nothing of what it started.
local NOTHING = { tasks = 1, parked = 0, external = 0, watchers = 0, deadlines = 0, lost = 0 }

function sample.handles()
  local open = 0
  uv.walk(function(handle)
    if not handle:is_closing() then
      open = open + 1
    end
  end)
  return open
end

function sample.descriptors()
  local directory = uv.fs_scandir("/proc/self/fd")
  local open = 0
  while directory and uv.fs_scandir_next(directory) do
    open = open + 1
  end
  return open
end

-- Twice: what a finalizer lets go of in the first round is collected in the second.
local function memory(figures)
  collectgarbage()
  collectgarbage()
  figures.lua_kb = collectgarbage("count")
  figures.resident_kb = uv.resident_set_memory() / 1024
end

local function read()
  local figures = core.counters()
  figures.handles = sample.handles()
  figures.descriptors = sample.descriptors()
  return figures
end

-- What differs from `base`, as a text, or nil.
local function difference(figures, base)
  local list = {}
  for _, name in ipairs(COUNTS) do
    if base[name] and figures[name] ~= base[name] then
      list[#list + 1] = ("%s %d instead of %d"):format(name, figures[name], base[name])
    end
  end
  return list[1] and table.concat(list, ", ")
end

local function stacks()
  local list = {}
  for _, task in ipairs(core.tasks()) do
    if task.status ~= "running" and #list < 5 then
      list[#list + 1] = ("a %s %s in %s\n%s"):format(task.kind, task.status, task.what,
        task.traceback)
    end
  end
  return table.concat(list, "\n")
end

-- Waits until the counts are those of `base` (without one, until no other task is left), and reads
-- everything. When they do not become so: what there is, and a text that says what is too many.
function sample.quiet(c, base)
  local deadline = ctx.now() + QUIET_MS
  local figures, wrong
  repeat
    ctx.sleep(c, STEP_MS)
    figures = read()
    wrong = difference(figures, base or NOTHING)
  until not wrong or ctx.now() > deadline
  memory(figures)
  if wrong then
    wrong = ("%s, %d ms after everything had ended\n%s"):format(wrong, QUIET_MS, stacks())
  end
  return figures, wrong
end

-- What grew beyond its bound from `base` to `figures`, as a text, or nil.
function sample.growth(figures, base)
  local list = {}
  for name, may in pairs(sample.may_grow) do
    local bound = base[name] * (1 + may.part) + may.more
    if figures[name] > bound then
      list[#list + 1] = ("%s is %.0f, was %.0f and may be %.0f")
        :format(name, figures[name], base[name], bound)
    end
  end
  return list[1] and table.concat(list, "; ")
end

return sample
