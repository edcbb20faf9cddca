-- SPDX-License-Identifier: MIT
--- Paths that come from outside, on their way to files.
---
--- The law: what a request may hold is decided once, at the border. A decoded parameter of a path
--- is handed out only if it leads nowhere else when it is joined to a folder as text: no segment
--- "." or "..", no zero byte, at which C ends a path, and no backslash, which some systems take for
--- a slash. Symbolic links are the caller's business.
local failure = require "ctx.http.failure"
local want = require "ctx.want"

local paths = {}

--- What is wrong with a path below a folder; nil if nothing is.
---@param text string
---@param is_rest? boolean  of several segments, of which only the last may be empty
---@return string? wrong
function paths.wrong(text, is_rest)
  if text:find("[%z\\]") then
    return "a zero byte or a backslash"
  elseif ("/" .. text .. "/"):find("/%.%.?/") then
    return "a segment of dots"
  elseif is_rest and (text:sub(1, 1) == "/" or text:find("//", 1, true)) then
    return "an empty segment"
  end
end

local FOLDER = want.rule("the path of a folder", function(value)
  return type(value) == "string" and value ~= "" and not value:find("\0", 1, true)
end, "folder")

--- Joins a folder and a path below it; refuses a path that leads out of the folder. An empty path
--- is the folder itself, and a slash at the end stays. Looks at the text alone.
---@param folder string
---@param path string  decoded, as req.params has it
---@return string|nil joined
---@return any? err  with status 400: the path could lead out of the folder
function paths.join(folder, path)
  folder = FOLDER(folder, "join", 1)
  path = want.string(path, "join", 2, "path")
  local wrong = paths.wrong(path, true)
  if wrong then
    return nil, failure.new(400, "the path has " .. wrong)
  elseif path == "" then
    return folder
  end
  return folder:sub(-1) == "/" and folder .. path or folder .. "/" .. path
end

return paths
