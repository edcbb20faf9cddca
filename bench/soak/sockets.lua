-- SPDX-License-Identifier: MIT
-- Work on real loopback sockets that fail: a server that answers, hangs, drops and floods, and
-- clients that leave in the middle.

local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local uv = require "ctx.uv"

local SERVER_MS = 200
local FLOOD = ("x"):rep(64 * 1024)
local FLOODS = 8

local kinds = {}

-- ---- the server -------------------------------------------------------------------------------

local answers = {}

function answers.echo(c, socket, line)
  return socket:write(c, line .. "\n")
end

function answers.hang(c)
  c:wait()
end

function answers.drop() end

function answers.half(c, socket, line)
  return socket:write(c, line)
end

function answers.flood(c, socket)
  for _ = 1, FLOODS do
    local ok, err = socket:write(c, FLOOD)
    if not ok then
      return nil, err
    end
  end
  return socket:write(c, "\n")
end

local function serve(parent, socket)
  local _ <close> = socket
  local c, cancel <close> = ctx.with_timeout(parent, SERVER_MS)
  for _ = 1, 10 do
    local line = socket:read_line(c)
    local answer = line and answers[line:match("^%a+")]
    if not answer then
      break
    end
    answer(c, socket, line)
    if c:err() or not line:find("^echo") then
      break
    end
  end
  return true
end

-- Serves until c is done; returns when the last connection is closed.
local function accept_all(c, listener)
  local _ <close> = listener
  local group <close> = errgroup.new()
  while true do
    local socket = listener:accept(c)
    if c:err() then
      if socket then
        socket:close()
      end
      break
    elseif socket then
      group:go(serve, c, socket)
    end
  end
  group:wait()
  return true
end

-- Opens the server of one round; tells its port and one where nobody listens. `group` has its task.
local function open(group, c)
  local listener = assert(uv.listen("127.0.0.1", 0))
  local silent = assert(uv.listen("127.0.0.1", 0))
  local ports = { open = listener:address().port, closed = silent:address().port }
  silent:close()
  group:go(accept_all, c, listener)
  return ports
end

-- ---- clients -----------------------------------------------------------------------------------

local requests = { "echo", "echo", "echo", "hang", "drop", "half", "flood" }

local function must_echo(line, request)
  assert(line == nil or line == request, "the server sent something else")
end

-- Several requests on one connection, until one fails or time is up.
function kinds.request(soak, c)
  local socket <close> = uv.connect(c, "127.0.0.1", soak.ports.open)
  for _ = 1, socket and soak.random(4) or 0 do
    local kind = requests[soak.random(#requests)]
    local request = kind .. soak.random(1000)
    if not socket:write(c, request .. "\n") or soak.random(6) == 1 then
      break -- also a client that leaves without reading
    end
    local line, err = socket:read_line(c, kind == "flood" and FLOODS * #FLOOD + 1 or nil)
    if kind == "echo" then
      must_echo(line, request)
    end
    if err or not line then
      break
    end
  end
end

-- The same at several at once; the first failure ends the others.
function kinds.requests(soak, c)
  local group <close>, gctx = errgroup.with_context(c)
  for _ = 1, soak.random(5) do
    group:go(function()
      local socket <close>, err = uv.connect(gctx, "127.0.0.1", soak.ports.open)
      if not socket then
        return nil, err
      end
      local kind = requests[soak.random(#requests)]
      local ok
      ok, err = socket:write(gctx, kind .. "\n")
      if not ok then
        return nil, err
      end
      return socket:read(gctx)
    end)
  end
  group:wait()
end

function kinds.refused(soak, c)
  local socket <close> = uv.connect(c, "127.0.0.1", soak.ports.closed)
  assert(not socket, "somebody answered where nobody listens")
end

-- Closed by another task while one is parked in a read.
function kinds.closed(soak, c)
  local socket <close> = uv.connect(c, "127.0.0.1", soak.ports.open)
  if socket then
    local task = ctx.go(function()
      socket:read(c)
    end)
    ctx.sleep(c, soak.random(5))
    socket:close()
    task:wait()
  end
end

return { kinds = kinds, open = open }
