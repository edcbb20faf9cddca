-- SPDX-License-Identifier: MIT
--- Internal: tasks as reports show them. One text, with one traceback, stands for all tasks that
--- are in the same place: a hundred thousand of them cost little, and are read at a glance.
local tasks = {}

---@class ctx.tasks.Record   as core.tasks() lists them
---@field kind "task"|"coroutine"|"main"
---@field status "ready"|"running"|"waiting"
---@field what string      the function in which it waits, or waited last
---@field serial integer   a later task has a higher one
---@field spawned string?  "file:line:", where it was started, under ctx.debug
---@field owner string?    what it does for a module, as ctx.owner says
---@field co thread
---@field traceback string  one text for all stacks that are alike

---@class ctx.tasks.Group
---@field count integer
---@field task ctx.tasks.Record  one of them
---@field text string

--- All that a record says, but of which coroutine.
local function content(task)
  return ("%s\0%s\0%s\0%s\0%s\0%s"):format(task.kind, task.status, task.what, task.spawned,
    task.owner, task.traceback)
end

--- The tasks, those that are alike together, in the order of their first.
---@param list table[]  ctx.tasks.Record, or what `text_of` takes
---@param text_of? fun(task: table): string  what is the same for those that are alike
---@return ctx.tasks.Group[]
function tasks.groups(list, text_of)
  local groups, known = {}, {}
  for _, task in ipairs(list) do
    local text = (text_of or content)(task)
    local group = known[text]
    if not group then
      group = { count = 0, task = task, text = text }
      known[text], groups[#groups + 1] = group, group
    end
    group.count = group.count + 1
  end
  return groups
end

--- "file:line", as C writes it, without what follows the line.
---@param where string?
---@return string?
function tasks.place(where)
  return where and where:gsub(":%s*$", "") or nil
end

local NAMES = { task = { "a task", "tasks" }, coroutine = { "a coroutine", "coroutines" },
  main = { "the main thread", "main threads" } }

--- "a task waiting in c:wait, started at file:5", or "3 tasks …".
---@param group ctx.tasks.Group
---@return string
function tasks.title(group)
  local task, count = group.task, group.count
  local name = count == 1 and NAMES[task.kind][1] or count .. " " .. NAMES[task.kind][2]
  name = task.owner and ("%s (%s)"):format(name, task.owner) or name
  local state = task.status == "waiting" and "waiting in " .. task.what
    or task.status == "ready" and "ready to run" or task.status
  local started = task.spawned and ", started at " .. tasks.place(task.spawned) or ""
  return name .. " " .. state .. started
end

--- A line for each kind of task in the list, with a traceback.
---@param list ctx.tasks.Record[]
---@return string[]
function tasks.texts(list)
  local texts = {}
  for i, group in ipairs(tasks.groups(list)) do
    texts[i] = tasks.title(group) .. "\n" .. group.task.traceback
  end
  return texts
end

return tasks
