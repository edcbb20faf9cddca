-- SPDX-License-Identifier: MIT
-- An interpreter that is too old is told by what it cannot do.
local path = package.searchpath("ctx.floor", package.path)

--- Loads the check as if it ran in a Lua with this coroutine.resume.
local function check(resume)
  local library = setmetatable({ resume = resume }, { __index = coroutine })
  return pcall(assert(loadfile(path, "t", setmetatable({ coroutine = library }, { __index = _G }))))
end

describe("require 'ctx'", function()
  it("works where a <close> variable can wait", function()
    assert.is_true(check(coroutine.resume))
  end)

  it("says what it needs where one cannot, as in Lua 5.4.2", function()
    local ok, err = check(function() return false, "attempt to yield across a C-call boundary" end)
    assert.is_false(ok)
    assert.matches("^ctx needs Lua 5%.4%.4 or later: in this Lua 5%.%d a <close> ", err)
  end)
end)
