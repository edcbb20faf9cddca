-- SPDX-License-Identifier: MIT
-- The programs that the table compares. Each knows the same two commands, `list` and `ROW SCALE`
-- (see bench/lua/main.lua). To add a peer, add an entry to `peers`; --peers then knows its name.
--
--   name, title    in options and in the table
--   prepare()      builds it, if need be; gives the command that runs it, or nil and why not
--   mode           what follows ROW SCALE in the command, or nil
--   version()      for the head of the table

local shell = require "bench.shell"

local build = os.getenv("CTX_BUILD") or "build"

local function lua_command()
  return shell.quote(arg[-1]) .. " bench/lua/main.lua"
end

local function lua_version()
  return shell.line(shell.quote(arg[-1]) .. " -v", "Lua"):match("^Lua %S+")
end

local function prepare_c()
  for _, path in ipairs { build .. "/bench/bench_core", build .. "/bin/bench_core" } do
    if shell.exists(path) then
      return shell.quote(path)
    end
  end
  return nil, "there is no bench_core in " .. build
end

-- The standard library is all it needs: no network, and no other toolchain than the one here.
local GO_BUILD = "GOFLAGS=-mod=mod GOTOOLCHAIN=local GOPROXY=off "
  .. "go build -C bench/peers/go -buildvcs=false -o %s ."

local function prepare_go()
  if not shell.has("go") then
    return nil, "there is no `go` on the path (Debian 12: golang-1.23-go from bookworm-backports)"
  end
  local out = shell.quote(build .. "/bench/go-peer")
  local ok, why = shell.output(GO_BUILD:format('"$(realpath -m ' .. out .. ')"'))
  if not ok then
    return nil, why
  end
  return "GOMAXPROCS=1 " .. out
end

local programs = {
  -- Twice, since the collector's mode changes the figures and each mode is somebody's default.
  ours = {
    { name = "lua", title = "Lua", prepare = lua_command, mode = "generational",
      version = lua_version },
    { name = "lua_incremental", title = "Lua incr.", prepare = lua_command, mode = "incremental" },
    { name = "c", title = "C", prepare = prepare_c },
  },
  peers = {
    { name = "go", title = "Go", prepare = prepare_go,
      version = function() return shell.line("go version", "Go"):match("go[%d.]+") end },
  },
}

return programs
