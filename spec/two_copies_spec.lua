-- SPDX-License-Identifier: MIT
-- Cause: two copies of the C module in one Lua state, such as a host program's and a rock's, each
-- took the other's objects for strange ones: "c: a context expected, got ctx.Context". Cure: the
-- second one does not open.
require "ctx"

describe("A second copy of ctx.core in one Lua state", function()
  it("does not open, and says why", function()
    local path = assert(package.searchpath("ctx.core", package.cpath))
    local copy = os.tmpname()
    local from, to = assert(io.open(path, "rb")), assert(io.open(copy, "wb"))
    to:write(from:read("a"))
    from:close()
    to:close()
    local open = assert(package.loadlib(copy, "luaopen_ctx_core"))
    os.remove(copy)
    local ok, err = pcall(open)
    assert.is_false(ok)
    assert.matches("another copy of this library is open in this Lua state", err)
    assert.is_true(pcall(package.loadlib(path, "luaopen_ctx_core")))
  end)
end)
