-- SPDX-License-Identifier: MIT
--- Internal: what there is at one time, and what has come since and is still there.
local core = require "ctx.core"
local handles = require "ctx.testing.handles"
local report = require "ctx.report"
local tasks = require "ctx.tasks"
local want = require "ctx.want"

local leaks = {}

---@class ctx.testing.Snapshot
---@field _since integer              the serial number of the last task
---@field _coroutines table<thread, true>  others that wait
---@field _contexts table<ctx.Context, true>
---@field _handles table<any, true>
---@field _requests boolean           a request to luv was under way
---@field _lost integer
---@field _in_run boolean?            lost cancels are counted, not told, meanwhile
local Snapshot = {}
local metatable = { __name = "ctx.testing.Snapshot", __index = Snapshot }

--- What stands in a list, or in this field of each thing there, as the keys of a weak table.
local function set_of(list, field)
  local found = setmetatable({}, { __mode = "k" })
  for _, each in ipairs(list) do
    found[field and each[field] or each] = true
  end
  return found
end

--- Records the tasks, contexts and handles that exist now, to compare with later.
---@return ctx.testing.Snapshot snapshot
---@nodiscard
function leaks.snapshot()
  collectgarbage()
  local since = core.serial()
  return setmetatable({
    _since = since, _coroutines = set_of(core.tasks(since), "co"),
    _contexts = set_of(core.contexts(), "context"), _handles = set_of(handles.list()),
    _requests = handles.has_requests() or false, _lost = core.counters().lost,
  }, metatable)
end

--- The tasks, and other coroutines that wait, which have come since.
---@return ctx.tasks.Record[]
function Snapshot:_tasks()
  local list = {}
  for _, task in ipairs(core.tasks(self._since)) do
    if task.kind ~= "main" and task.status ~= "running" and not self._coroutines[task.co] then
      list[#list + 1] = task
    end
  end
  return list
end

--- Tasks that are alike share a text; all other things have one each. Comes first, and returns how
--- many tasks have no text of their own.
local function add_tasks(self, texts)
  local list = self:_tasks()
  for _, group in ipairs(tasks.groups(list)) do
    local unknown = group.task.kind == "task" and not group.task.spawned
      and ", started at (unknown: an after-func, or ctx.debug was off)" or ""
    texts[#texts + 1] = tasks.title(group) .. unknown .. "\n" .. group.task.traceback
  end
  return #list - #texts
end

local function add_contexts(self, texts)
  for _, live in ipairs(core.contexts()) do
    if not self._contexts[live.context] and not live.context:done() then
      texts[#texts + 1] = ("a context that was never cancelled: %s%s"):format(
        tostring(live.context), live.made and " made at " .. tasks.place(live.made) or "")
    end
  end
end

local function add_lost(self, texts)
  local lost, where = core.counters().lost - self._lost, ""
  if self._in_run then
    -- Only what was made since has a known place: other losses are their makers'.
    local places
    lost, places = report.losses()
    where = ", made at " .. table.concat(places, ", ")
  end
  if lost > 0 then
    texts[#texts + 1] = ("%d lost cancel(s): contexts collected before their cancel was called%s")
      :format(lost, where)
  end
end

local function add_handles(self, texts)
  for _, handle in ipairs(handles.list()) do
    if not self._handles[handle] then
      texts[#texts + 1] = "an open luv handle: " .. tostring(handle)
    end
  end
end

--- Whether a request to luv that came since is under way; nil while that is not known.
function Snapshot:_has_requests()
  return not self._requests and handles.has_requests()
end

--- Which one it is, luv does not tell, nor how many there are: none is told beside earlier ones.
local function add_requests(self, texts)
  if self:_has_requests() then
    texts[#texts + 1] = "a request to luv that is under way: a file, a name, or work on a thread"
  end
end

--- A text for each kind of leak, and how many things there are.
---@return string[] texts
---@return integer count
function Snapshot:_list()
  local texts = {}
  local without = add_tasks(self, texts)
  add_contexts(self, texts)
  add_lost(self, texts)
  add_handles(self, texts)
  add_requests(self, texts)
  return texts, #texts + without
end

--- The list as one text, which begins with the name; nil if there is none.
---@param name string
---@param restless? boolean  something ran on, although its time was over
---@return string?
function Snapshot:_told(name, restless)
  local texts, count = self:_list()
  if restless and #self:_tasks() == 0 then
    count = count + 1
    table.insert(texts, 1, "tasks or after-funcs that start others, and these again, without end")
  end
  if count > 0 then
    return ("%s leaks %d thing(s):\n%s"):format(name, count, table.concat(texts, "\n"))
  end
end

--- The handles that came since hold up no later test, by either clock.
function Snapshot:_leave()
  for _, handle in ipairs(handles.list()) do
    if not self._handles[handle] then
      handle:unref()
    end
  end
end

--- Returns a text for each thing that was made since and is left. Tasks that wait in the same place
--- share one.
---@return string[] texts
---@nodiscard
function Snapshot:leaks()
  want.self(self, metatable, "leaks")
  -- Twice: what a finalizer lets go of in the first round is collected in the second.
  collectgarbage()
  collectgarbage()
  return (self:_list())
end

--- Raises an error that names the spec and each leak, if there is any.
---@param name string
function Snapshot:check(name)
  want.self(self, metatable, "check")
  collectgarbage()
  collectgarbage()
  local told = self:_told(name)
  if told then
    error(told, 0)
  end
end

return leaks
