-- SPDX-License-Identifier: MIT
--- The fuzzer of the API knows every public function: one without an operation would never be
--- tried, and says so here before the fuzzer runs.
local annotations = require "spec.docs.annotations"
local catalogue = require "spec.fuzz.catalogue"

local root = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."

local function without(some, others)
  local names = {}
  for name in pairs(some) do
    if not others[name] and not name:find("^trouble%.") then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

describe("the fuzzer of the API", function()
  local declared = annotations.read(root)

  it("reads functions, methods, objects that are called and fields that are functions", function()
    for _, name in ipairs { "ctx.with_timeout", "ctx.errgroup.collect", "ctx.errgroup.Group:go",
      "ctx.Cancel()", "ctx.uv.fs_open", "ctx.errors.Error:timeout", "ctx.uv.Stream:read" } do
      assert.truthy(declared[name], name)
    end
    assert.is_nil(declared["ctx.errors.ended"]) -- @package
    assert.is_nil(declared["ctx.breaker.Options.on_change"]) -- a callback
  end)

  it("has an operation for each, and none for what there is not", function()
    assert.equal("", without(declared, catalogue.operations))
    assert.equal("", without(catalogue.operations, declared))
  end)
end)
