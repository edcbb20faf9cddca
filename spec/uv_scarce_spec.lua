-- SPDX-License-Identifier: MIT
--- What had no owner yet when an allocation failed was lost: a handle that was made before the
--- object that closes it, a descriptor before its handle, a program before its Process. luv keeps
--- open what nobody closes. Now a <close> variable (loop.owned) is there before the handle is. And
--- a server waited for ever for tasks that had no memory to tell that they had ended: now it looks
--- at the tasks themselves when one has failed for that (loop.starved).
local program = require "spec.support.program"

local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

-- Only lua-static can let an allocation fail; elsewhere this is tried with memory.
local FAILURES <const> = pcall(require, "alloc") and 300 or 0

describe("without memory", function()
  it("nothing that is made of luv's stays open, and a server ends", function()
    local output, noise, code = program.run_file(here .. "/support/scarce.lua")
    assert.equal("", output:match("^left.*") or "")
    assert.truthy(tonumber(output:match("^over%s(%d+)")) >= FAILURES, output .. noise)
    assert.equal(0, code, noise)
  end)
end)
