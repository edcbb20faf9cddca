-- SPDX-License-Identifier: MIT
-- Cause: where llhttp was missing, the build left its module out with a word in a log, and the
-- first program ended in Lua's list of folders. Cure: ctx.http says what is to be installed.
local path = package.searchpath("ctx.http", package.path)

describe("require 'ctx.http' without its C module", function()
  for name, package_name in pairs { wire = "libllhttp-dev", curl = "libcurl4-openssl-dev" } do
    it(name .. " names what it needs", function()
      local environment = setmetatable({ require = function(wanted)
        if wanted == "ctx.http." .. name then
          error("module '" .. wanted .. "' not found", 0)
        end
        return require(wanted)
      end }, { __index = _G })
      local ok, err = pcall(assert(loadfile(path, "t", environment)))
      assert.is_false(ok)
      assert.truthy(err:find("ctx.http." .. name .. " does not load", 1, true), err)
      assert.truthy(err:find(package_name, 1, true), err)
      assert.truthy(err:find("not found", 1, true), err)
    end)
  end
end)
