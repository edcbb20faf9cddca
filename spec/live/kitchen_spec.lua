-- SPDX-License-Identifier: MIT
--- examples/kitchen.lua as users run it: a process of its own, judged by its output and exit code.

local program = require "spec.support.program"

describe("the kitchen", function()
  local output, _, code

  setup(function()
    output, _, code = program.run_file(program.example("kitchen.lua"))
  end)

  --- The texts occur in the output, one after the other.
  local function assert_in_order(...)
    local from = 1
    for i = 1, select("#", ...) do
      local text = select(i, ...)
      local _, last = output:find(text, from, true)
      assert(last, ("%q is not where it should be in:\n%s"):format(text, output))
      from = last + 1
    end
  end

  it("goes as it must and says so by its exit code", function()
    assert.equal(0, code, output)
    assert.truthy(output:find("each act went as it must\n$"), output)
  end)

  it("serves the first order in time", function()
    assert_in_order("guest    orders tea", "kitchen  cooks tea", "guest    gets a fine tea")
  end)

  it("cuts the second order at its deadline, in the kitchen too", function()
    assert_in_order("guest    orders roast", "gets no roast: context deadline exceeded")
    assert_in_order("kitchen  cooks roast", "kitchen  stops cooking roast: the guest has left")
  end)

  it("cancels the third order with the guest's own reason", function()
    assert_in_order("guest    orders cake", "gets no cake: I would rather go for a walk")
    assert_in_order("kitchen  cooks cake", "kitchen  stops cooking cake: the guest has left")
  end)
end)
