-- SPDX-License-Identifier: MIT
-- The main example, as `./dev demo` runs it: five processes on real sockets, six acts (S36, S95).
local program = require "spec.support.program"

describe("the storefront", function()
  it("plays all its acts, and each goes as it must", function()
    local output, noise, code = program.run_file(program.example("storefront/demo.lua"))
    assert.equal("", noise)
    assert.equal(0, code, output)
    local from = 1
    for _, text in ipairs({
      "Act 1", "gets the page: inventory=", "Act 2", "product info: out of order",
      "stopped working on it", "Act 3", "deadline exceeded", "Act 4", "closes the browser",
      "Act 5", "30 of 30 got their page", "drain", "ECONNREFUSED", "Act 6",
      "4 prefetches begun, 36 shed",
    }) do
      local _, last = output:find(text, from, true)
      assert.is_truthy(last, ("%q is not where it should be in:\n%s"):format(text, output))
      from = last + 1
    end
    assert.is_nil(output:find("FAILED", 1, true))
  end)
end)
