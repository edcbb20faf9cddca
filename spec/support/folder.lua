-- SPDX-License-Identifier: MIT
--- A folder of a spec's own, where the system keeps what is temporary.
local uv = require "luv"

local folder = {}

--- Makes one.
---@return string path
function folder.new()
  return assert(uv.fs_mkdtemp(uv.os_tmpdir() .. "/ctx-XXXXXX"))
end

local function entries(path)
  local stream, found = assert(uv.fs_opendir(path, nil, 64)), {}
  repeat
    local some = uv.fs_readdir(stream)
    table.move(some or {}, 1, some and #some or 0, #found + 1, found)
  until not some
  uv.fs_closedir(stream)
  return found
end

--- Removes it with all that is in it. Not by fs_scandir: luv 1.44 keeps each request of that.
---@param path string
function folder.remove(path)
  for _, entry in ipairs(entries(path)) do
    local inner = path .. "/" .. entry.name
    if entry.type == "directory" then
      folder.remove(inner)
    else
      assert(uv.fs_unlink(inner))
    end
  end
  assert(uv.fs_rmdir(path))
end

return folder
