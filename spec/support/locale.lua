-- SPDX-License-Identifier: MIT
--- Runs code in a locale with another decimal point, or other letters, as a host program has that
--- calls setlocale(LC_ALL, ""). The locale is made by localedef, which comes with the C library, so
--- none needs to be installed.
local uv = require "luv"

local POINT = [[
comment_char %%
escape_char /
LC_NUMERIC
decimal_point "<U%04X>"
thousands_sep ""
grouping -1
END LC_NUMERIC
]]

-- As Turkish, in which the capital "I" and the small "i" belong to different letters; and "b" comes
-- before "a".
local LETTERS = [[
comment_char %%
escape_char /
LC_CTYPE
upper <U0041>..<U005A>
lower <U0061>..<U007A>
tolower %s
toupper %s
END LC_CTYPE
LC_COLLATE
order_start forward
<U0062>
<U0061>
UNDEFINED
order_end
END LC_COLLATE
]]

local locale = {}

--- Calls fn() in the locale of this source.
local function with(source, options, categories, fn)
  local folder = assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/ctx-locale-XXXXXX"))
  local file <close> = assert(io.open(folder .. "/source", "w"))
  file:write(source)
  file:close()
  -- It warns of the categories that are not there.
  os.execute(("localedef -c -i %s/source %s %s/made >/dev/null 2>&1"):format(folder, options,
    folder))
  local path = uv.os_getenv("LOCPATH")
  uv.os_setenv("LOCPATH", folder)
  local ok, err = pcall(function()
    for _, category in ipairs(categories) do
      assert(os.setlocale("made", category), "localedef made no such locale")
    end
    fn()
  end)
  for _, category in ipairs(categories) do
    os.setlocale("C", category)
  end
  if path then uv.os_setenv("LOCPATH", path) else uv.os_unsetenv("LOCPATH") end
  os.execute("rm -r " .. folder)
  if not ok then
    error(err, 0)
  end
end

--- Calls fn() with this character, of any number of bytes, as the decimal point.
---@param point string
---@param fn fun()
function locale.with_point(point, fn)
  with(POINT:format(utf8.codepoint(point)), #point > 1 and "-f UTF-8" or "", { "numeric" },
    function()
      assert(("%.1f"):format(1.5) == "1" .. point .. "5", "the locale has another point")
      fn()
    end)
end

--- Calls fn() where string.lower, string.upper and the order of strings are not those of ASCII.
---@param fn fun()
function locale.with_letters(fn)
  local lower, upper = {}, {}
  for i = 1, 26 do
    local capital, small = 64 + i, 96 + i
    lower[i] = ("(<U%04X>,<U%04X>)"):format(capital, capital == 0x49 and 0x74 or small)
    upper[i] = ("(<U%04X>,<U%04X>)"):format(small, small == 0x69 and 0x54 or capital)
  end
  local source = LETTERS:format(table.concat(lower, ";"), table.concat(upper, ";"))
  with(source, "", { "ctype", "collate" }, function()
    assert(("I"):lower() ~= "i" and ("i"):upper() ~= "I" and "b" < "a", "these are ASCII's")
    fn()
  end)
end

return locale
