-- SPDX-License-Identifier: MIT
--- The overview as a page in Markdown: docs/reference/api.md.
local overview = require "spec.docs.overview"

local HEAD = [[
<!-- SPDX-License-Identifier: MIT -->
<!-- Written by ./dev docs from the annotations in lua/ and types/: change those, not this page. -->
# All functions on one page

What stands in brackets may be left out. A function marked with ◷ may wait; if it takes a context,
it returns `nil, err` when that ends. A link leads to the reference, which has the whole contract.
`man 3 ctx` shows the same list.
]]

local function cell(text)
  return (text:gsub("|", "\\|"))
end

--- Outside of code, Markdown takes "<" for a tag.
local function prose(text)
  return (cell(text):gsub("<", "&lt;"):gsub("`[^`]*`", function(code)
    return (code:gsub("&lt;", "<"))
  end))
end

---@param sections docs.Section[]
---@return string
return function(sections)
  local out = { HEAD }
  for _, section in ipairs(sections) do
    out[#out + 1] = ("## [`%s`](%s)\n\n%s\n\n| | |\n|---|---|"):format(section.module,
      overview.page(section.module), section.sentence)
    for _, line in ipairs(section.lines) do
      local results = line.results ~= "" and (" → `%s`"):format(cell(line.results)) or ""
      out[#out + 1] = ("| `%s`%s%s | %s |"):format(cell(line.signature), results,
        line.waits and " ◷" or "", prose(line.sentence))
    end
    out[#out + 1] = ""
  end
  return table.concat(out, "\n")
end
