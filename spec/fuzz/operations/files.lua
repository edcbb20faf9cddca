-- SPDX-License-Identifier: MIT
--- ctx.uv: files, changes, threads, programs. All paths are in the round's own folder.
local core = require "ctx.core"
local ctx = require "ctx"
local luv = require "luv"
local uv = require "ctx.uv"

local operations, classes = {}, {}

local function path(play)
  return play:pick { "a", "b", "c", "d/e", "folder", "folder/a" }
end

classes["file"] = {
  make = function(play)
    return play:keep("file", (luv.fs_open(play:pick { "a", "b" }, "w+", 420)))
  end,
  retire = function(_, fd) luv.fs_close(fd) end,
}

--- Calls of the form name(c, …), where each argument is a function of the play.
local function call(name, ...)
  local makers = table.pack(...)
  operations["ctx.uv." .. name] = function(play)
    local arguments = {}
    for i, make in ipairs(makers) do
      arguments[i] = make(play)
      if arguments[i] == nil then
        error(play.skipped, 0)
      end
    end
    return play:outcome(name, uv[name](play:brief(), table.unpack(arguments)))
  end
end

local function of(...)
  local list = { ... }
  return function(play) return play:pick(list) end
end

local function kept_file(play)
  return play:one("file")
end

call("fs_read", kept_file, of(1, 100, 70000), of(0, 5))
call("fs_write", kept_file, of("", "text", ("w"):rep(100000)))
call("fs_stat", path)
call("fs_fstat", kept_file)
call("fs_lstat", path)
call("fs_statfs", of("."))
call("fs_scandir", of(".", "folder"))
call("fs_access", path, of("r", "w"))
call("fs_mkdir", of("folder", "d"), of(448))
call("fs_rmdir", of("folder", "d"))
call("fs_unlink", path)
call("fs_rename", path, path)
call("fs_link", path, path)
call("fs_symlink", path, path)
call("fs_copyfile", path, path)
call("fs_readlink", path)
call("fs_realpath", path)
call("fs_chmod", path, of(420, 448))
call("fs_fchmod", kept_file, of(420))
call("fs_chown", path, of(0), of(0))
call("fs_fchown", kept_file, of(0), of(0))
call("fs_lchown", path, of(0), of(0))
call("fs_utime", path, of(1), of(2))
call("fs_futime", kept_file, of(1), of(2))
call("fs_lutime", path, of(1), of(2))
call("fs_fsync", kept_file)
call("fs_fdatasync", kept_file)
call("fs_ftruncate", kept_file, of(0, 10))
call("fs_sendfile", kept_file, kept_file, of(0), of(10))
call("fs_mkdtemp", of("tmp-XXXXXX"))

operations["ctx.uv.fs_mkstemp"] = function(play)
  play:keep("file", (uv.fs_mkstemp(play:brief(), "tmp-XXXXXX")))
end

operations["ctx.uv.fs_open"] = function(play)
  play:keep("file", (uv.fs_open(play:brief(), play:pick { "a", "b", "c" }, "a+", 420)))
end

-- Without a deadline: after one, nobody knows whether the descriptor is closed.
operations["ctx.uv.fs_close"] = function(play)
  local fd = luv.fs_open("a", "a", 420)
  if fd and pcall(core.check_wait, nil, "uv.fs_close") then -- else it raises, and has done nothing
    play:outcome("fs_close", uv.fs_close(ctx.background(), fd))
  elseif fd then
    luv.fs_close(fd)
  end
end

classes["folder"] = {
  make = function(play) return play:keep("folder", (uv.fs_opendir(play:brief(), ".", 2))) end,
  retire = function(_, folder) luv.fs_closedir(folder) end,
}

operations["ctx.uv.fs_opendir"] = classes["folder"].make

operations["ctx.uv.fs_readdir"] = function(play)
  uv.fs_readdir(play:brief(), play:need("folder"))
end

operations["ctx.uv.fs_closedir"] = function(play)
  local folder = uv.fs_opendir(play:brief(), ".")
  if folder then
    uv.fs_closedir(play:brief(), folder)
  end
end

-- -- Changes --------------------------------------------------------------------------------------

classes["ctx.uv.Watcher"] = {
  make = function(play) return play:keep("ctx.uv.Watcher", (uv.watch("."))) end,
  retire = function(_, watcher) watcher:close() end,
}

operations["ctx.uv.watch"] = classes["ctx.uv.Watcher"].make

operations["ctx.uv.Watcher:next"] = function(play)
  play:outcome("next", play:need("ctx.uv.Watcher"):next(play:brief()))
end

operations["ctx.uv.Watcher:close"] = function(play)
  play:need("ctx.uv.Watcher"):close(play:why())
end

-- -- Threads --------------------------------------------------------------------------------------

operations["ctx.uv.work"] = function(play)
  play:outcome("work", uv.work(play:brief(), function(n)
    if n == 3 then
      error("on purpose")
    end
    return n, "text", true
  end, play.random(4)))
end

-- -- Programs -------------------------------------------------------------------------------------

local PROGRAMS = { { "true" }, { "false" }, { "echo", "text" }, { "cat" }, { "sleep", "0.01" },
  { "sh", "-c", "trap '' TERM; sleep 0.03" }, { "not-there" } }

local function options_of(play, program)
  return {
    args = table.move(program, 2, #program, 1, {}), grace = play.random(20),
    env = play:chance(4) and { PATH = os.getenv("PATH"), X = 1 } or nil,
    cwd = play:chance(6) and play:pick { ".", "nowhere" } or nil,
    stderr = play:chance(2) and "pipe" or nil,
  }
end

local function start(play)
  local program = play:pick(PROGRAMS)
  local options = options_of(play, program)
  options.stdin = play:chance(2) and "pipe" or nil
  options.stdout = play:chance(2) and "pipe" or nil
  return play:keep("ctx.uv.Process", (uv.start(play:brief(), program[1], options)))
end

classes["ctx.uv.Process"] = { make = start, retire = function(_, process) process:close() end }

operations["ctx.uv.spawn"] = function(play)
  local program = play:pick(PROGRAMS)
  local options = options_of(play, program)
  options.stdin = play:chance(2) and ("i"):rep(play.random(100000)) or nil
  options.limit = play:chance(4) and play.random(100) or nil
  options.stderr, options.linger = nil, 10
  play:outcome("spawn", uv.spawn(play:brief(), program[1], options))
end

operations["ctx.uv.start"] = start

operations["ctx.uv.Process:wait"] = function(play)
  play:outcome("wait", play:need("ctx.uv.Process"):wait(play:brief()))
end

operations["ctx.uv.Process:kill"] = function(play)
  play:need("ctx.uv.Process"):kill(play:pick { "sigterm", "sigkill", "sigusr1" })
end

operations["ctx.uv.Process:close"] = function(play)
  play:need("ctx.uv.Process"):close(play:chance(2) and play:brief() or nil)
end

return { operations = operations, classes = classes }
