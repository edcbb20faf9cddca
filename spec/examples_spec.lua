-- SPDX-License-Identifier: MIT
--- Every program in examples/, as users run it: a process of its own that exits 0 only if all went
--- as it must. Folders there are programs of more than one file, with specs of their own.
local ctx = require "ctx"
local process = require "spec.support.process"
local testing = require "ctx.testing"

local LIMIT_MS = 200000
local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

local function examples()
  local found, names = assert(io.popen(("ls '%sexamples'"):format(top))), {}
  for name in found:lines() do
    names[#names + 1] = name:match("%.lua$") and name
  end
  found:close()
  return names
end

--- The comment at the top, up to the first line of code.
local function opening(path)
  local lines = {}
  for line in io.lines(path) do
    if not line:find("^%-%-") then
      break
    end
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\n")
end

for _, name in ipairs(examples()) do
  local path = top .. "examples/" .. name
  describe("examples/" .. name, function()
    it("opens with its purpose and how to run it", function()
      local text = opening(path)
      assert.truthy(text:find("^%-%- SPDX%-License%-Identifier: MIT\n%-%-%- %u"), text)
      assert.truthy(text:find("\n%-%- Usage: [^\n]*" .. name:gsub("%p", "%%%0")), text)
    end)

    it("goes as it must, without arguments", function()
      testing.run(function(root)
        local c, cancel <close> = ctx.with_timeout(root, LIMIT_MS)
        local p = process.lua(path)
        local code, killed_by = p:wait(c)
        assert.same({ 0, 0 }, { code, killed_by }, p.output)
      end, { real = true })
    end)
  end)
end
