-- SPDX-License-Identifier: MIT
-- The table of errors in callbacks names every callback that the stubs declare, and no other; and
-- what it says of those that only listen is so.
local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

local function text_of(path)
  local file = assert(io.open(top .. path))
  local text = file:read("a")
  file:close()
  return text
end

--- Adds "module name" of each option or alias that is a function, and "module function(parameter)"
--- of each parameter that is one.
local function add_callbacks(found, module, text)
  local parameters = {}
  for line in text:gmatch("[^\n]+") do
    local field, kind = line:match("^%-%-%-@field ([%w_]+)%??%s+(.*)$")
    local alias = line:match("^%-%-%-@alias ([%w_.]+)%s+fun%(")
    local pending = line:match("^%-%-%-@alias ([%w_.]+)$")
    local parameter = line:match("^%-%-%-@param ([%w_]+)%??%s+.*fun%(")
    local owner = line:match("^function [%w_]+[.:]([%w_]+)")
    if field and kind:find("fun(", 1, true) and not kind:find("^fun%(self") then
      if not field:find("^fs_") then -- these are functions of ctx.uv, which has many
        found[module .. " " .. field] = true
      end
    elseif alias or parameters.alias and line:find("^%-%-%-| fun%(") then
      found[module .. " " .. (alias or parameters.alias):match("[^.]+$")] = true
    elseif parameter then
      parameters[#parameters + 1] = parameter
    elseif owner then
      for _, name in ipairs(parameters) do
        -- A value that may be a function, in options or alone, is one callback.
        if not found[module .. " " .. name] then
          found[("%s %s(%s)"):format(module, owner, name)] = true
        end
      end
    end
    if owner or not line:find("^%-%-%-") then
      parameters = {}
    end
    parameters.alias = pending
  end
end

local function declared()
  local found = {}
  for path in assert(io.popen(("cd '%s' && find types -name '*.lua'"):format(top))):lines() do
    local text = text_of(path)
    local module = text:match("%-%-%-@meta ([%w_.]+)")
    if module ~= "ctx.errors" then -- its functions that take one are the library's own
      add_callbacks(found, module, text)
    end
  end
  return found
end

local function described()
  local found, answers = {}, {}
  for module, name, answer in text_of("docs/reference/callbacks.md")
    :gmatch("\n| `([%w_.]+)` | `([%w_()]+)` |[^|\n]*| ([^|\n]*) |") do
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
