-- SPDX-License-Identifier: MIT
--- Two seconds of what `./dev soak` does for ten minutes.
local program = require "spec.support.program"

local ROOT = debug.getinfo(1, "S").source:match("^@(.*)spec[/\\]live[/\\]") or ""

-- A sanitizer keeps the memory that was freed, and makes everything late.
local SOAK = [[
package.path = %q .. "?.lua;" .. package.path
arg = { "--seconds", "2", "--late", "2000", "--resident", "1000000" }
dofile(%q .. "bench/soak.lua")
]]

describe("a short soak", function()
  it("leaves nothing behind, and nothing parked past its deadline", function()
    local output, noise, code = program.run(SOAK:format(ROOT, ROOT))
    assert.equal(0, code, output .. noise)
    assert.truthy(output:find("all as it must be", 1, true), output .. noise)
  end)
end)
