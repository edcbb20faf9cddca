-- SPDX-License-Identifier: MIT
--- What a tree of contexts should do, written as plainly as can be: everything is linked, marked at
--- once and by recursion. Times are the caller's; `err` is "canceled", "late" or nil.
local model = {}
local Model = {}
Model.__index = Model

---@param now number
function model.new(now)
  return setmetatable({ now = now, nodes = {} }, Model)
end

local function mark(node, err, cause)
  if node.err then
    return
  end
  node.err, node.cause = err, cause
  for _, child in ipairs(node.children) do
    mark(child, err, cause)
  end
  for _, fn in ipairs(node.functions) do
    fn.due = not fn.stopped
  end
end

--- A node below all of `parents` (none: a root), done by `at` at the latest. Values are looked up
--- through an only parent.
function Model:derive(parents, at, cause)
  local node = { children = {}, functions = {}, deadline = math.huge }
  node.outer = #parents == 1 and parents[1] or nil
  self.nodes[#self.nodes + 1] = node
  for _, parent in ipairs(parents) do
    node.deadline = math.min(node.deadline, parent.deadline)
    if parent.err and not node.err then
      node.err, node.cause = parent.err, parent.cause
    end
    parent.children[#parent.children + 1] = node
  end
  if at and at < node.deadline then
    node.deadline, node.own, node.late = at, at, cause
  end
  self:advance(0)
  return node
end

--- A node below `parent` where `key` has `value`.
function Model:with_value(parent, key, value)
  local node = self:derive({ parent })
  node.key, node.value = key, value
  return node
end

--- A node that is done with the first of `parents`; what its values are, the model does not say.
function Model:any(parents)
  local node = self:derive(parents)
  node.outer, node.unknown = nil, true
  return node
end

--- A node that shares nothing with `parent` but the values.
function Model:without_cancel(parent)
  local node = self:derive({})
  node.outer = parent
  return node
end

function Model:cancel(node, cause)
  mark(node, "canceled", cause)
end

--- Lets `ms` pass: what is due then ends, the earliest first, equal ones as they were made.
function Model:advance(ms)
  self.now = self.now + ms
  while true do
    local first
    for _, node in ipairs(self.nodes) do
      local due = not node.err and node.own and node.own <= self.now
      if due and (not first or node.own < first.own) then
        first = node
      end
    end
    if not first then
      return
    end
    mark(first, "late", first.late)
  end
end

function Model:after_func(node)
  local fn = { due = node.err ~= nil }
  node.functions[#node.functions + 1] = fn
  return fn
end

--- Whether stopping kept the function from running.
function Model:stop(fn)
  local kept = not fn.due and not fn.stopped
  fn.stopped = fn.stopped or kept
  return kept
end

--- Whether the model knows the answer, and the answer.
function model.lookup(node, key)
  while node do
    if node.key == key or node.unknown then
      return not node.unknown, node.value
    end
    node = node.outer
  end
  return true, nil
end

return model
