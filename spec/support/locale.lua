-- SPDX-License-Identifier: MIT
--- Runs code in a locale with another decimal point, as a host program has that calls
--- setlocale(LC_ALL, ""). The locale is made by localedef, which comes with the C library, so none
--- needs to be installed.
local uv = require "luv"

local SOURCE = [[
comment_char %%
escape_char /
LC_NUMERIC
decimal_point "<U%04X>"
thousands_sep ""
grouping -1
END LC_NUMERIC
]]

local locale = {}

--- Calls fn() with this character, of any number of bytes, as the decimal point.
---@param point string
---@param fn fun()
function locale.with_point(point, fn)
  local folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/ctx-locale-XXXXXX"))
  local file <close> = assert(io.open(folder .. "/source", "w"))
  file:write(SOURCE:format(utf8.codepoint(point)))
  file:close()
  -- It warns of the categories that are not there.
  os.execute(("localedef -c -i %s/source %s %s/point >/dev/null 2>&1"):format(folder,
    #point > 1 and "-f UTF-8" or "", folder))
  local path = uv.os_getenv("LOCPATH")
  uv.os_setenv("LOCPATH", folder)
  local set = os.setlocale("point", "numeric")
  local ok, err = pcall(function()
    assert(set and ("%.1f"):format(1.5) == "1" .. point .. "5", "localedef made no such locale")
    fn()
  end)
  os.setlocale("C", "numeric")
  if path then uv.os_setenv("LOCPATH", path) else uv.os_unsetenv("LOCPATH") end
  os.execute("rm -r " .. folder)
  if not ok then
    error(err, 0)
  end
end

return locale
