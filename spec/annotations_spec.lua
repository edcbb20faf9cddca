-- SPDX-License-Identifier: MIT
--- The scanner of annotations, on a small tree of its own. A function that it misreads would
--- silently be missing from the overview, and from the specs that try every function.
local annotations = require "spec.docs.annotations"
local folder = require "spec.support.folder"
local overview = require "spec.docs.overview"

local FILES = {
  ["types/ctx/core.lua"] = [[
---@meta ctx.core

---@class ctx.Core
local core = {}

---What `zoo.open` returns. Closable.
---@class ctx.Animal
---@overload fun(why?: any)
local Animal = {}

---Makes an animal. It is tame.
---@param name string
---@param legs? integer  4
---@return ctx.Animal animal, boolean tame
function core.animal(name, legs) end

---@async
---@return true? ok
---@return any? err  when it ran away
function Animal:feed() end

return core
]],
  ["lua/ctx/zoo.lua"] = [[
--- A zoo.
local core = require "ctx.core"
local keeper = require "ctx.zoo.keeper"

---@class ctx.zoo: ctx.zoo.Cages
---@field full table<string, { size: integer, names: string[] }>  How full it is.
--- Opens
--- at a time.
---@field open async fun(c: ctx.Context, at?: number): string?, any
local zoo = {
  animal = core.animal,
  keeper = keeper.new,
}

--- Internal: not for programs.
---@package
function zoo.inner() end

function zoo._private() end

return setmetatable(zoo, {})
]],
  ["lua/ctx/zoo/keeper.lua"] = [[
local keeper = {}

---@class ctx.zoo.Cages
---@field clean fun(n: integer)  Cleans.

---@class ctx.zoo.Keeper
---@field _key string
---@field tired fun(self: ctx.zoo.Keeper): boolean  Returns whether.
local Keeper = {}

---@class ctx.zoo.Unseen
local Unseen = {}

--- Nobody names its class.
function Unseen:look() end

--- Hires
--- a keeper: `local k = zoo.keeper()`. For a day.
---@param options { wage: number, names: table<string, fun(a: any): any, any> }|nil
---@param ... string|"all"
---@return ctx.zoo.Keeper keeper  to be paid
function keeper.new(options, ...) end

--- Works.
function Keeper:work() end

return keeper
]],
}

--- Calls fn with what the scanner finds in that tree.
local function scanned(fn)
  local root = folder.new()
  local _ <close> = setmetatable({}, { __close = function() folder.remove(root) end })
  for path, text in pairs(FILES) do
    assert(os.execute(("mkdir -p '%s/%s'"):format(root, path:match("^(.*)/"))))
    local file <close> = assert(io.open(root .. "/" .. path, "w"))
    assert(file:write("-- SPDX-License-Identifier: MIT\n", text))
  end
  fn(annotations.all(root))
end

describe("the scanner of annotations", function()
  it("finds what is public, under its shortest name, and nothing else", function()
    scanned(function(found, _, tree)
      local names = {}
      for name in pairs(found) do names[#names + 1] = name end
      table.sort(names)
      assert.same({ "ctx.Animal()", "ctx.Animal:feed", "ctx.zoo.Keeper:tired",
        "ctx.zoo.Keeper:work", "ctx.zoo.animal", "ctx.zoo.clean", "ctx.zoo.full", "ctx.zoo.keeper",
        "ctx.zoo.open" }, names)
      assert.same({ "ctx.zoo" }, tree.modules)
      assert.same({ ["ctx.zoo.inner"] = true }, tree.hidden)
    end)
  end)

  it("reads parameters, results and whether a function may wait", function()
    scanned(function(found)
      local animal = found["ctx.zoo.animal"].definition
      assert.equal("ctx.Animal animal, boolean tame", ("%s %s, %s %s"):format(
        animal.returns[1].type, animal.returns[1].name, animal.returns[2].type,
        animal.returns[2].name))
      assert.is_true(animal.params[2].optional)
      assert.is_false(animal.params[1].optional)
      assert.equal("4", animal.params[2].text)
      assert.is_true(found["ctx.Animal:feed"].definition.async)
      assert.is_true(found["ctx.zoo.open"].definition.async)
      assert.is_false(found["ctx.zoo.clean"].definition.async)
      assert.equal("{ wage: number, names: table<string, fun(a: any): any, any> }|nil",
        found["ctx.zoo.keeper"].definition.params[1].type)
      assert.equal("Opens at a time.", found["ctx.zoo.open"].definition.text)
      assert.equal("to be paid", found["ctx.zoo.keeper"].definition.returns[1].text)
      assert.is_nil(found["ctx.zoo.full"].parameters)
    end)
  end)

  it("puts a class into the module that it belongs to", function()
    scanned(function(found)
      assert.equal("ctx.zoo", found["ctx.Animal:feed"].module)
      assert.equal("ctx.zoo", found["ctx.zoo.Keeper:work"].module)
    end)
  end)
end)

describe("the overview", function()
  it("has a line for each function: its signature, its results, a sentence", function()
    scanned(function(_, order, tree)
      local lines = {}
      for _, line in ipairs(overview.sections(order, tree)[1].lines) do
        lines[line.signature] = ("%s | %s%s"):format(line.results, line.sentence,
          line.waits and " waits" or "")
      end
      assert.equal("animal, tame | Makes an animal.", lines["zoo.animal(name [, legs])"])
      assert.equal("string, err | Opens at a time. waits", lines["zoo.open(c [, at])"])
      assert.equal("keeper | Hires a keeper: `local k = zoo.keeper()`.",
        lines["zoo.keeper(options, …)"])
      assert.equal(" | What `zoo.open` returns.", lines["animal([why])"])
      assert.equal("boolean | Returns whether.", lines["keeper:tired()"])
      assert.equal(" | How full it is.", lines["zoo.full"])
    end)
  end)
end)
