-- SPDX-License-Identifier: MIT
--- A request, or a connection, whose next step had no memory was left as it was: no task saw to it,
--- and its client waited for ever. Now what has come has an owner before anything else is made, the
--- stream is closed first, every step of an end can be repeated, and the server looks at what tasks
--- that failed for memory have left.
local luv = require "luv"
local program = require "spec.support.program"

local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

-- Only lua-static can let an allocation fail; elsewhere this is tried with memory.
local FAILURES <const> = pcall(require, "alloc") and 150 or 0

describe("a server without memory", function()
  it("leaves no client without an answer or an end, and forgets all", function()
    -- luv forgets the buffer of a read whose callback raises, as one does that has no memory.
    local options <const> = os.getenv("ASAN_OPTIONS")
    luv.os_setenv("ASAN_OPTIONS", (options and options .. ":" or "") .. "detect_leaks=0")
    local output, noise, code = program.run_file(here .. "/support/http_scarce.lua")
    luv.os_setenv("ASAN_OPTIONS", options or "")
    assert.equal("", output:match("left.*") or "")
    assert.truthy(tonumber(output:match("over%s(%d+)")) >= FAILURES, output .. noise)
    assert.equal(0, code, noise)
  end)
end)
