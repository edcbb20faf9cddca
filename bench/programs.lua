-- SPDX-License-Identifier: MIT
-- The programs that the table compares. Each knows the same two commands, `list` and `ROW SCALE`
-- (see bench/lua/main.lua). To add a peer, add an entry to `peers`; --peers then knows its name.
--
--   name, title    in options and in the table
--   prepare()      builds it, if need be; gives the command that runs it, or nil and why not
--   needs          what its `list` wants, to be told if that fails
--   mode           what follows ROW SCALE in the command, or nil
--   serve          W11: the command of its server, before a port; "%s" is the program's own command
--   note           what its rows do differently, or nil
--   version()      for the head of the table

local shell = require "bench.shell"

local build = os.getenv("CTX_BUILD") or "build"
local this_lua = shell.quote(arg[-1])

local function lua_command()
  return this_lua .. " bench/lua/main.lua"
end

local function lua_version()
  return shell.line(this_lua .. " -v", "Lua"):match("^Lua %S+")
end

local function prepare_c()
  for _, path in ipairs { build .. "/bench/bench_core", build .. "/bin/bench_core" } do
    if shell.exists(path) then
      return shell.quote(path)
    end
  end
  return nil, "there is no bench_core in " .. build
end

-- No network, no other toolchain than the one here, and nothing in the user's home: go.mod says
-- where Debian has x/sync.
local GO = 'D="$PWD/build/go-home"; export XDG_CONFIG_HOME="$D" GOCACHE="$D/cache" GOPATH="$D"; '
  .. "GOENV=off GOFLAGS=-mod=mod GOTOOLCHAIN=local GOPROXY=off go "
local GO_BUILD = GO .. "build -C bench/peers/go -buildvcs=false -o %s ."

local function prepare_go()
  if not shell.has("go") then
    return nil, "there is no `go` on the path (./dev bench takes the newest of Debian's backports)"
  end
  local out = shell.quote(build .. "/bench/go-peer")
  local ok, why = shell.output(GO_BUILD:format('"$(realpath -m ' .. out .. ')"'))
  if not ok then
    return nil, why .. "; it needs Debian's golang-golang-x-sync-dev"
  end
  return "GOMAXPROCS=1 " .. out
end

-- A program that runs as it is.
local function script(interpreter, file)
  return function()
    if not shell.has(interpreter:match("^%S+")) then
      return nil, "there is no `" .. interpreter:match("^%S+") .. "` on the path"
    end
    return interpreter .. " bench/peers/" .. file
  end
end

local function copas()
  local with_this = this_lua .. " bench/peers/lua/copas.lua"
  if shell.line(with_this .. " list") then
    return with_this
  end
  return script("lua5.1", "lua/copas.lua")()
end

local function version(command, pattern)
  return function()
    return shell.line(command, ""):match(pattern)
  end
end

local TENTH = "W9 with 10^5 tasks"

local programs = {
  -- Twice, since the collector's mode changes the figures and each mode is somebody's default.
  ours = {
    { name = "lua", title = "Lua", prepare = lua_command, mode = "generational",
      version = lua_version, serve = this_lua .. " bench/http/hello.lua generational" },
    { name = "lua_incremental", title = "Lua incr.", prepare = lua_command, mode = "incremental",
      serve = this_lua .. " bench/http/hello.lua incremental" },
    { name = "c", title = "C", prepare = prepare_c },
  },
  peers = {
    { name = "go", title = "Go", prepare = prepare_go,
      version = version(GO .. "version", "go[%d.]+"),
      serve = "%s serve", note = "W7 and W8 by errgroup of x/sync" },
    { name = "node", title = "Node", prepare = script("node --expose-gc", "node.mjs"),
      needs = "Node.js", version = version("echo Node $(node --version)", ".+"),
      serve = "node bench/peers/http.mjs",
      note = "W7 and W8: an AbortController that follows the parent's; W9: all await one promise" },
    { name = "luv", title = "bare luv",
      prepare = function() return this_lua .. " bench/http/luv.lua" end,
      serve = this_lua .. " bench/http/luv.lua",
      note = "no HTTP: whatever it reads, it writes one answer that was made beforehand" },
    { name = "tarantool", title = "Tarantool", prepare = script("tarantool", "lua/tarantool.lua"),
      needs = "Tarantool", version = version("tarantool --version", "Tarantool %S+"),
      note = "no contexts: fibers, joined and cancelled one by one; W9 with 10^4 tasks, as Linux's "
        .. "limit of maps ends it before 10^5" },
    { name = "cqueues", title = "cqueues",
      prepare = function() return this_lua .. " bench/peers/lua/cqueues.lua" end,
      needs = "cqueues for this Lua",
      version = version(this_lua .. " -e 'print(\"cqueues \" .. require(\"cqueues\").VERSION)'",
        ".+"),
      note = "no contexts: one condition to stop, one to join; " .. TENTH },
    { name = "copas", title = "Copas", prepare = copas,
      needs = "Copas 4: in Debian's, 1.1.7 for Lua 5.1 and 5.2, a task can wait for a socket only, "
        .. "so it can do none of these rows",
      note = "no contexts: tasks that sleep and are woken; " .. TENTH },
    { name = "asyncio", title = "asyncio", prepare = script("python3", "aio.py"),
      needs = "Python 3.11", version = version("python3 --version", "Python %S+"),
      note = "TaskGroup; W9: all await one Event; " .. TENTH },
  },
}

return programs
