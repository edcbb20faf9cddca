-- SPDX-License-Identifier: MIT
-- The table of errors in callbacks names every callback that the stubs declare, and no other; and
-- what it says of those that only listen is so.
local annotations = require "spec.docs.annotations"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

local function text_of(path)
  local file = assert(io.open(top .. path))
  local text = file:read("a")
  file:close()
  return text
end

--- Whether a type is, or may be, a function that the program writes, or an object with one; but not
--- a method of the class itself.
local function is_callback(type, tree)
  for name in type:gmatch("ctx%.[%w_.]*[%w_]") do
    type = type .. " " .. (tree.aliases[name] or "")
  end
  return type:find("fun(", 1, true) and not type:find "^a?s?y?n?c?%s*fun%(self"
end

--- "module name" of each option that is a function, and "module function(parameter)" of each
--- parameter that is one.
local function declared()
  local found = {}
  local _, order, tree = annotations.all(top)
  for _, class in pairs(tree.classes) do
    for _, field in ipairs(class.public and class.fields or {}) do
      if not field.private and not field.name:find "^_" and is_callback(field.type, tree) then
        found[class.home .. " " .. field.name] = true
      end
    end
  end
  for _, entry in ipairs(order) do
    for _, parameter in ipairs(entry.definition.params) do
      -- A value that may be a function, in options or alone, is one callback. Functions of
      -- ctx.errors that take one are the library's own.
      if is_callback(parameter.type, tree) and entry.module ~= "ctx.errors"
        and not found[entry.module .. " " .. parameter.name] then
        found[("%s %s(%s)"):format(entry.module, entry.key, parameter.name)] = true
      end
    end
  end
  return found
end

local function described()
  local found, answers = {}, {}
  for module, name, answer in text_of("docs/reference/callbacks.md")
    :gmatch("\n| `([%w_.]+)` | `([%w_().]+)` |[^|\n]*| ([^|\n]*) |") do
    local key = module .. " " .. name
    assert(not found[key], "twice: " .. key)
    found[key], answers[key] = true, answer
  end
  return found, answers
end

local function without(all, known)
  local list = {}
  for key in pairs(all) do
    if not known[key] then
      list[#list + 1] = key
    end
  end
  table.sort(list)
  return table.concat(list, "\n")
end

describe("the table of errors in callbacks", function()
  it("has each callback that is declared, and no other", function()
    local all, known = declared(), described()
    assert.equal("", without(all, known), "not described")
    assert.equal("", without(known, all), "not declared")
  end)

  it("says that callbacks which only listen are reported", function()
    local _, answers = described()
    local listeners = 0
    for key, answer in pairs(answers) do
      if key:find(" on_") then
        listeners = listeners + 1
        assert.matches("^is reported", answer, 1, key)
      end
    end
    assert(listeners >= 4, listeners)
  end)
end)
