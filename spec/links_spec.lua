-- SPDX-License-Identifier: MIT
--- Every link in the pages leads to a file, and to a heading there if it names one; and every page
--- and every example can be reached from README.md.
local annotations = require "spec.docs.annotations"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."

local function list(command)
  local names = {}
  local found = assert(io.popen(("cd '%s' && %s"):format(top, command)))
  for name in found:lines() do
    names[#names + 1] = name:gsub("^%./", "")
  end
  found:close()
  return names
end

local function exists(path)
  local file = io.open(top .. "/" .. path)
  return file ~= nil and file:close()
end

local pages = list("find . -name '*.md' -not -path './build*' -not -path './.*' | LC_ALL=C sort")

--- The lines of a page that are no code.
local function prose_of(path)
  local lines, code = {}, false
  for line in io.lines(top .. "/" .. path) do
    if line:find("^%s*```") then
      code = not code
    elseif not code then
      lines[#lines + 1] = line
    end
  end
  return lines
end

--- The anchors of a page, as they are made of its headings: letters, digits, "_" and "-".
local function anchors_of(path)
  local anchors, seen = {}, {}
  for _, line in ipairs(prose_of(path)) do
    local heading = line:match("^#+ (.*)$")
    if heading then
      local name = heading:gsub("%]%(.-%)", ""):lower():gsub("[^%w_%- \x80-\xff]", "")
        :gsub("[…→·]", ""):gsub(" ", "-")
      anchors[seen[name] and name .. "-" .. seen[name] or name] = true
      seen[name] = (seen[name] or 0) + 1
    end
  end
  return anchors
end

--- "docs/guide/", "../reference/uv.md" → "docs/reference/uv.md"
local function join(folder, target)
  local path = folder .. target
  local changed
  repeat
    path, changed = path:gsub("[^/]+/%.%./", "", 1)
  until changed == 0
  return path
end

--- The links of a page within the tree: { line's text, path, anchor }.
local function links_of(path)
  local links, folder = {}, path:match("^(.*/)") or ""
  for _, line in ipairs(prose_of(path)) do
    for target in line:gsub("`[^`]*`", ""):gmatch("%]%(([^)%s]+)%)") do
      if not target:find("^%a+:") then
        local file, anchor = target:match("^([^#]*)#?(.*)$")
        links[#links + 1] = { target = target, anchor = anchor,
          path = file == "" and path or join(folder, file) }
      end
    end
  end
  return links
end

describe("the links of", function()
  for _, page in ipairs(pages) do
    it(page .. " lead somewhere", function()
      local wrong = {}
      for _, link in ipairs(links_of(page)) do
        local is_page = link.path:find("%.md$")
        if not exists(link.path) or link.anchor ~= ""
          and not (is_page and anchors_of(link.path)[link.anchor]) then
          wrong[#wrong + 1] = link.target
        end
      end
      assert.equal("", table.concat(wrong, ", "))
    end)
  end
end)

describe("from README.md leads a way", function()
  local reached, pending = {}, { "README.md" }
  while #pending > 0 do
    local path = table.remove(pending)
    if not reached[path] and exists(path) then
      reached[path] = true
      for _, link in ipairs(path:find("%.md$") and links_of(path) or {}) do
        pending[#pending + 1] = link.path
      end
    end
  end

  it("to every page", function()
    for _, page in ipairs(pages) do
      assert.is_true(reached[page], page)
    end
  end)

  it("to every example", function()
    for _, name in ipairs(list("ls examples")) do
      local path = "examples/" .. name
      local inside = false
      for other in pairs(reached) do
        inside = inside or other:sub(1, #path + 1) == path .. "/"
      end
      assert.is_true(reached[path] or reached[path .. "/"] or inside, path)
    end
  end)

  it("to the page of every module", function()
    local _, _, tree = annotations.all(top)
    local overview = require "spec.docs.overview"
    for _, module in ipairs(tree.modules) do
      assert.is_true(reached["docs/reference/" .. overview.page(module)], module)
    end
  end)
end)
