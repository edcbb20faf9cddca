-- SPDX-License-Identifier: MIT
--- examples/demo.lua as users run it: a process of its own, judged by its output and exit code.

local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

--- The interpreter that runs these specs.
local function interpreter()
  local i = 0
  while arg[i - 1] do
    i = i - 1
  end
  return i < 0 and arg[i] or "lua5.4"
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Runs an example with the paths of this process. Returns what it printed and its exit code.
local function run(example)
  local command = ("LUA_PATH=%s LUA_CPATH=%s %s %s 2>&1"):format(
    quoted(package.path),
    quoted(package.cpath),
    quoted(interpreter()),
    quoted(here .. "/../examples/" .. example)
  )
  local process = assert(io.popen(command))
  local output = process:read("a")
  local _, how, code = process:close()
  return output, how == "exit" and code or how .. " " .. tostring(code)
end

describe("the demo", function()
  local output, code

  setup(function()
    output, code = run("demo.lua")
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
