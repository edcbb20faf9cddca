-- SPDX-License-Identifier: MIT
--- How the fs_ functions of ctx.uv are made to wait, all of which do: see spec.support.asyncs.
local luv = require "luv"
local uv = require "ctx.uv"

--- Their arguments: "path", "fd", "folder" and "dir" are made for each.
local ARGUMENTS = {
  fs_access = { "path" }, fs_chmod = { "path", 384 }, fs_chown = { "path", -1, -1 },
  fs_close = { "fd" }, fs_closedir = { "dir" }, fs_copyfile = { "path", "new" },
  fs_fchmod = { "fd", 384 }, fs_fchown = { "fd", -1, -1 }, fs_fdatasync = { "fd" },
  fs_fstat = { "fd" }, fs_fsync = { "fd" }, fs_ftruncate = { "fd", 3 }, fs_futime = { "fd", 1, 1 },
  fs_lchown = { "path", -1, -1 }, fs_link = { "path", "new" }, fs_lstat = { "path" },
  fs_lutime = { "path", 1, 1 }, fs_mkdir = { "new" }, fs_mkdtemp = { "template" },
  fs_mkstemp = { "template" }, fs_open = { "path" }, fs_opendir = { "folder" },
  fs_read = { "fd", 3, 0 }, fs_readdir = { "dir" }, fs_readlink = { "link" },
  fs_realpath = { "path" }, fs_rename = { "path", "new" }, fs_rmdir = { "empty" },
  fs_scandir = { "folder" }, fs_sendfile = { "fd", "fd", 0, 1 }, fs_stat = { "path" },
  fs_statfs = { "path" }, fs_symlink = { "path", "new" }, fs_unlink = { "path" },
  fs_utime = { "path", 1, 1 }, fs_write = { "fd", "x" },
}

--- Things of all these kinds, in a folder of their own.
local function things()
  local folder = assert(luv.fs_mkdtemp(luv.os_tmpdir() .. "/ctx_XXXXXX"))
  local path = folder .. "/file"
  local fd = assert(luv.fs_open(path, "w+", 384))
  luv.fs_write(fd, "content", 0)
  luv.fs_symlink(path, folder .. "/link")
  luv.fs_mkdir(folder .. "/empty", 448)
  return {
    folder = folder, path = path, fd = fd, link = folder .. "/link", empty = folder .. "/empty",
    new = folder .. "/new", template = folder .. "/XXXXXX", dir = luv.fs_opendir(folder, nil, 8),
  }
end

--- What came of it that must be closed or removed.
local function undo(name, thing, result)
  if result and (name == "fs_open" or name == "fs_mkstemp") then
    luv.fs_close(result)
  elseif result and name == "fs_opendir" then
    luv.fs_closedir(result)
  end
  if name ~= "fs_close" then
    luv.fs_close(thing.fd)
  end
  if name ~= "fs_closedir" then
    luv.fs_closedir(thing.dir)
  end
  os.execute("rm -rf '" .. thing.folder .. "'")
end

local made = {}

for name, given in pairs(ARGUMENTS) do
  made["ctx.uv." .. name] = function()
    local thing, result = things(), nil
    local arguments = {}
    for i, each in ipairs(given) do
      arguments[i] = thing[each] or each
    end
    return {
      call = function(c)
        local err
        result, err = uv[name](c, table.unpack(arguments))
        return result, err
      end,
      wake = function() end,
      close = function() undo(name, thing, result) end,
    }
  end
end

return made
