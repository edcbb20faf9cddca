-- SPDX-License-Identifier: MIT
-- The trees that are compared: this one, as ./dev has built it, and another commit, built in
-- build/against/COMMIT. The programs are this tree's; only the library is the other's.

local shell = require "bench.shell"

local against = {}

local ROOT = assert(shell.line("pwd"))
local TARGETS = "ctx_core ctx_http_wire ctx_http_curl"

-- The environment, for the shell, in which a program finds the modules of this tree.
local function environment(tree, build)
  return ("env LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;;' LUA_CPATH='%s/lib/?.so;;'")
    :format(tree, tree, ROOT, build)
end

-- This tree: { title, environment }.
function against.this()
  local build = assert(os.getenv("CTX_BUILD"), "CTX_BUILD is not set")
  return { title = "this tree", environment = environment(ROOT, build) }
end

local BUILD = [[set -e; mkdir -p %s/tree
git archive %s | tar -x -C %s/tree
cmake -S %s/tree -B %s/build -DCMAKE_BUILD_TYPE=Release -DCTX_TESTS=OFF >%s/log 2>&1
cmake --build %s/build --target %s >>%s/log 2>&1 && touch %s/done]]

-- Another commit, built if it has not been: the same, or nil and why not.
function against.commit(name)
  local id = shell.line(("git rev-parse --verify --short=10 %s"):format(
    shell.quote(name .. "^{commit}")))
  if not id then
    return nil, "no commit " .. name
  end
  local folder = ROOT .. "/build/against/" .. id
  if not shell.exists(folder .. "/done") then
    io.stderr:write("building ", id, " in build/against\n")
    local at = shell.quote(folder)
    local ok = shell.output(BUILD:format(at, id, at, at, at, at, at, TARGETS, at, at))
    if not ok then
      return nil, ("%s cannot be built; %s/log says why"):format(id, folder)
    end
  end
  return { title = id, environment = environment(folder .. "/tree", folder .. "/build") }
end

-- The sides that the options ask for, the other one first.
function against.sides(options)
  if not options.against then
    return { against.this() }
  end
  local other, why = against.commit(options.against)
  if not other then
    return nil, why
  end
  return { other, against.this() }
end

return against
