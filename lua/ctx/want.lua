-- SPDX-License-Identifier: MIT
--- Internal: what the modules say of arguments that make no sense.
---
--- Each of these raises at the line that called the public function, so call it from there, and not
--- in a tail call, or the line is lost. From a function that the public one calls, add to `deeper`.
local core = require "ctx.core"

local class_of = core.kind

local want = {}

--- What the value calls itself.
---@param value any
---@return string
function want.kind(value)
  local metatable = getmetatable(value)
  local name = type(metatable) == "table" and metatable.__name
  return type(name) == "string" and name or type(value)
end

--- Raises unless `ok`.
---@param ok any
---@param name string      the public function
---@param position integer
---@param argument string  its name
---@param expected string
---@param value any        what came instead
---@param deeper? integer
function want.argument(ok, name, position, argument, expected, value, deeper)
  if not ok then
    if type(value) == "number" then
      value = ("%.14g"):format(value)
    elseif type(value) == "string" then
      value = ("%q"):format(value)
    else
      value = want.kind(value)
    end
    error(("bad argument #%d to '%s' (%s: %s expected, got %s)")
      :format(position, name, argument, expected, value), 3 + (deeper or 0))
  end
end

---@param c any
---@param name string
---@param position? integer 1 by default
function want.context(c, name, position)
  if class_of(c) ~= "context" then
    want.argument(false, name, position or 1, "c", "a context", c, 1)
  end
end

---@param fn any
---@param name string
---@param position integer
function want.fn(fn, name, position)
  want.argument(type(fn) == "function", name, position, "fn", "a function", fn, 1)
end

--- A method was called on what is no object of its class: with a dot, as a rule.
---@param self any
---@param metatable table
---@param name string
function want.self(self, metatable, name)
  if getmetatable(self) ~= metatable then
    error(("bad self to '%s' (%s expected, got %s); call it with a colon")
      :format(name, metatable.__name, want.kind(self)), 3)
  end
end

---@param value any
---@param least number
---@return boolean
function want.is_whole(value, least)
  return type(value) == "number" and math.tointeger(value) ~= nil and value >= least
end

--- Whether it is a time in ms that a clock can show, or math.huge.
---@param value any
---@return boolean
function want.is_ms(value)
  return type(value) == "number" and (value < 9e12 or value == math.huge)
end

--- A table of options: no others than those in `known`, and each as it must be.
---@param options any
---@param name string
---@param position integer
---@param known table<string, [string, fun(value: any): any]>  what is expected, and whether it is
function want.options(options, name, position, known)
  want.argument(type(options) == "table", name, position, "options", "a table", options, 1)
  for key, value in pairs(options) do
    local option = known[key]
    want.argument(option, name, position, "options", "the name of an option", key, 1)
    want.argument(option[2](value), name, position, "options." .. key, option[1], value, 1)
  end
end

return want
