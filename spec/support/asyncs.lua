-- SPDX-License-Identifier: MIT
--- Every function that may wait, and a way to make each of them wait: for specs of what holds for
--- all of them. The annotations are the list, `---@async` before a function, or `async fun(` in a
--- field; a function that is not made to wait here fails those specs.
local annotations = require "spec.docs.annotations"

local asyncs = {}

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../.."

--- The names of all, such as "ctx.uv.Stream:read".
---@return string[]
function asyncs.annotated()
  local names = {}
  for name, entry in pairs(annotations.read(top)) do
    if entry.definition.async then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

--- One of them, ready to wait.
---@class spec.Wait
---@field call fun(c: ctx.Context): ...  calls it from a line of its own
---@field wake fun()?                    brings what it waits for; may wait
---@field tasks? integer                 so many of its own go on when the caller has gone
---@field close? fun()                   what must be closed at the end
---@field free? boolean                  it may be called anywhere, as it needs no wait there
---@field quick? boolean                 it does not wait in a task either, unless it must
---@field theirs? boolean                what raises is a function of the caller's that it calls
---@field unchanged? fun(): boolean      whether all is as it was before the call
---@field handle? userdata               luv's, that must not hold the loop

--- By their names, functions make(root) → such a table.
---@type table<string, fun(root: ctx.Context): spec.Wait>
asyncs.made = {}

for _, part in ipairs { "core", "uv", "files", "http" } do
  for name, make in pairs(require("spec.support.asyncs." .. part)) do
    asyncs.made[name] = make
  end
end

--- What pcall and such a call returned: neither an error of Lua's nor nil and an error.
function asyncs.assert_good(name, ok, ...)
  assert(ok, name .. ": " .. tostring((...)))
  assert((...), name .. ": " .. tostring((select(2, ...))))
end

return asyncs
