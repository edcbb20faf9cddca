-- SPDX-License-Identifier: MIT
--- ./dev docs: writes the pages that are made from the annotations. With --check it writes nothing,
--- and fails if one of them is out of date.
local annotations = require "spec.docs.annotations"
local overview = require "spec.docs.overview"

local root = arg[0]:match("^(.*)/spec/docs/[^/]*$") or "."

local PAGES = {
  ["docs/reference/api.md"] = require "spec.docs.page",
  ["docs/man/ctx.3"] = require "spec.docs.manual",
}

local function content_of(path)
  local file <close> = io.open(path)
  return file and file:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

local function main(option)
  local _, order, tree = annotations.all(root)
  local sections, stale = overview.sections(order, tree), 0
  for name, make in pairs(PAGES) do
    local path, text = root .. "/" .. name, make(sections)
    if option == "--check" then
      if content_of(path) ~= text then
        stale = stale + 1
        print(name .. " is out of date: ./dev docs writes it")
      end
    else
      write(path, text)
      print(name)
    end
  end
  os.exit(stale == 0, true)
end

main(...)
