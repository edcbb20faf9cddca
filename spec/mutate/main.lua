-- SPDX-License-Identifier: MIT
--- How much the specs see: makes small faults in the library, one at a time, in a copy of the tree,
--- and tells which no test has found.
---
---     ./dev mutate [--seed N] [--count N] [FILE...]
---
--- The faults are chosen by the seed, from all of csrc and lua, or from the files that are named.
--- One that does not compile does not count. Those that survive are shown: a test is missing there,
--- or the fault changes nothing that anybody could see.
local operators = require "spec.mutate.operators"
local running = require "spec.mutate.running"
local uv = require "luv"

local ROOT = assert(uv.cwd())
local TREE = ROOT .. "/build/mutate"
local ROOMS = { "csrc/core", "csrc/http", "csrc/include", "csrc/lua", "csrc/uv", "lua/ctx" }
local PATIENCE_MS = 20000 -- beyond what a spec took without a fault, ten times

local options = { seed = os.time(), count = 20, files = {} }
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match("^%-%-(%l+)$")
    if name then
      options[name] = assert(math.tointeger(arg[i + 1]), arg[i] .. " takes a whole number")
    else
      options.files[#options.files + 1] = arg[i]
    end
    i = i + (name and 2 or 1)
  end
end

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  return text, pipe:close()
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

-- -- The copy ----------------------------------------------------------------------------------

local ENVIRONMENT = {}
for name, value in pairs(uv.os_environ()) do
  if not name:find("^LUA_") and name ~= "CTX_BUILD" then
    ENVIRONMENT[#ENVIRONMENT + 1] = name .. "=" .. value
  end
end
for name, value in pairs { LUA_PATH = "%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;;",
  LUA_CPATH = "%s/build/lib/?.so;;", CTX_BUILD = "%s/build" } do
  ENVIRONMENT[#ENVIRONMENT + 1] = name .. "=" .. value:gsub("%%s", TREE)
end

local function command(name, text, timeout_ms)
  return { name = name, text = text .. " </dev/null >/dev/null 2>&1", folder = TREE,
    environment = ENVIRONMENT, timeout_ms = timeout_ms or 300000 }
end

local JOBS = uv.available_parallelism()

local function build()
  return running.all({ command("build", "cmake --build build -j " .. JOBS) }, 1) == nil
end

local function copy()
  assert(os.execute(("mkdir -p '%s' && git ls-files -z | tar -c --null -T - | tar -x -C '%s'")
    :format(TREE, TREE)))
  local configure = command("configure", "cmake --preset dev -DCTX_HTTP=ON")
  assert(running.all({ configure }, 1) == nil, "the tree cannot be configured")
  assert(build(), "the tree does not build")
end

-- -- The tests --------------------------------------------------------------------------------

local tests = {} -- commands
for path in output("git ls-files 'spec/*_spec.lua'"):gmatch("%S+") do
  local test = command(path, "lua5.4 /usr/bin/busted " .. path)
  test.about = path:match("([^/]*)_spec%.lua$"):gsub("_", " ") .. " " .. read(path)
  tests[#tests + 1] = test
end
local core = command("C tests", "ctest --test-dir build -j " .. JOBS)
core.about = "csrc core uv"
tests[#tests + 1] = core

-- Tests that fail with nothing changed say nothing about a fault.
local function measure()
  io.stdout:write("all tests, with nothing changed ...\n")
  local failed = running.all(tests, JOBS)
  if failed then
    error(failed.name .. " fails with nothing changed", 0)
  end
  for _, test in ipairs(tests) do
    test.usual_ms = test.ms
    test.timeout_ms = math.ceil(test.ms * 10 + PATIENCE_MS)
  end
end

-- How much a test has to do with this file, by the words of its name.
local function relation(test, path)
  local score = 0
  for word in path:gsub("^csrc/", ""):gsub("^lua/ctx/", ""):gsub("%.%w+$", ""):gmatch("%a+") do
    local title = test.about:match("^[^\n]*")
    if title:find(word, 1, true) then
      score = score + 20
    elseif test.about:find(word, 1, true) then
      score = score + 1
    end
  end
  return score - test.usual_ms / 1000
end

local function by_relation(path)
  local scores, sorted = {}, { table.unpack(tests) }
  for _, test in ipairs(tests) do
    scores[test] = relation(test, path)
  end
  table.sort(sorted, function(a, b)
    return scores[a] > scores[b]
  end)
  return sorted
end

-- -- The faults -------------------------------------------------------------------------------

local function all_sites()
  local list = {}
  local rooms = #options.files > 0 and options.files or ROOMS
  for path in output("git ls-files " .. table.concat(rooms, " ")):gmatch("%S+") do
    local lua = path:find("%.lua$") ~= nil
    if lua or path:find("%.[ch]$") then
      for _, at in ipairs(operators.sites(read(path), lua)) do
        at.path = path
        list[#list + 1] = at
      end
    end
  end
  return list
end

-- "killed" and by what, "survived", or "does not build".
local function try(at)
  local path = TREE .. "/" .. at.path
  local text = read(path)
  write(path, operators.apply(text, at))
  local c = at.path:find("^csrc") ~= nil
  local fate, by
  if c and not build() then
    fate = "does not build"
  else
    local failed = running.all(by_relation(at.path), JOBS)
    fate, by = failed and "killed" or "survived", failed and failed.name
  end
  write(path, text)
  if c then
    assert(build(), "the tree does not build any more")
  end
  return fate, by
end

local function show(at)
  local text = read(TREE .. "/" .. at.path)
  print("    - " .. text:sub(at.from, at.to):gsub("\n", "\n      "))
  print("    + " .. (at.with == "" and "(nothing)" or at.with:gsub("\n", "\n      ")))
end

copy()
measure()
math.randomseed(options.seed)
print(("seed %d"):format(options.seed))
local sites, killed, survived = all_sites(), 0, 0
while killed + survived < options.count and #sites > 0 do
  local at = table.remove(sites, math.random(#sites))
  local fate, by = try(at)
  if fate ~= "does not build" then
    local whose = by and " (" .. by .. ")" or ""
    print(("%-9s %s:%d: %s%s"):format(fate, at.path, at.line, at.what, whose))
    killed = killed + (fate == "killed" and 1 or 0)
    survived = survived + (fate == "survived" and 1 or 0)
  end
  if fate == "survived" then
    show(at)
  end
  io.stdout:flush()
end
print(("%d killed, %d survived: %.0f %%"):format(killed, survived,
  100 * killed / math.max(1, killed + survived)))
