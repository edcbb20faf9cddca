-- SPDX-License-Identifier: MIT
--- What examples/law.lua prints of all eight variants of a prefetcher. The example itself checks
--- its counts by arithmetic.
local ctx = require "ctx"
local process = require "spec.support.process"
local testing = require "ctx.testing"

local LIMIT_MS = 200000
local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

describe("of the eight variants of the prefetcher", function()
  local code, output

  setup(function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, LIMIT_MS)
      local p = process.lua(top .. "examples/law.lua")
      code, output = p:wait(c), p.output
    end, { real = true })
  end)

  --- The line of a variant: its counts after one minute and after two, and what that is called.
  local function line_of(a, b, c)
    local start = ("%-7s %-7s %-6s"):format(a, b, c):gsub("%p", "%%%0")
    local first, second, verdict = output:match("\n" .. start .. "  %S+ +(%d+) +(%d+) +(%a+)")
    assert(first, ("no line for %s in:\n%s"):format(start, output))
    return tonumber(first), tonumber(second), verdict
  end

  for bits = 0, 7 do
    local a = bits & 4 ~= 0 and "bounded" or "-"
    local b = bits & 2 ~= 0 and "listens" or "-"
    local c = bits & 1 ~= 0 and "capped" or "-"
    it(("%s/%s/%s %s"):format(a, b, c, bits == 7 and "stays flat" or "grows"), function()
      local first, second, verdict = line_of(a, b, c)
      assert.equal(bits == 7 and "flat" or "grows", verdict)
      if bits == 7 then
        assert.is_true(second <= 1.25 * first)
      else
        assert.is_true(second >= 3.9 * first) -- the load has quadrupled
      end
    end)
  end

  it("the counts are what arrivals and holds make them", function()
    assert.equal(0, code, output)
    assert.truthy(output:find("only all three together are flat", 1, true))
  end)
end)
