-- SPDX-License-Identifier: MIT
-- W11: loads a server with wrk from another core, and prints what that cost it.
--
--   lua bench/http/drive.lua SCALE COMMAND...
--
-- Starts `COMMAND... PORT`, which inherits the core that this program is pinned to. Prints the ns
-- of processor time and of wall time per request, the 99th percentile in us, and for 10^4 idle
-- keep-alive connections the resident bytes of each.

local uv = require "luv"
local visits = require "bench.http.visits"

local SECONDS, CONNECTIONS, IDLE = 5, 64, 10000

local scale = tonumber(arg[1])
local command = table.move(arg, 2, #arg, 1, {})

local server

local function fail(text)
  io.stderr:write("drive: ", text, "\n")
  if server then
    server:kill("sigkill")
  end
  os.exit(1)
end

-- Runs a program to its end; its output.
local function output_of(file, args)
  local out, text, code = uv.new_pipe(false), {}, nil
  assert(uv.spawn(file, { args = args, stdio = { nil, out, 2 } }, function(status)
    code = status
  end))
  out:read_start(function(_, chunk)
    if chunk then
      text[#text + 1] = chunk
    else
      out:close()
    end
  end)
  while not code or not out:is_closing() do
    uv.run("once")
  end
  return code == 0 and table.concat(text) or fail(file .. " failed")
end

-- Seconds of processor time so far, of all threads.
local function cpu_of(pid)
  local file = assert(io.open(("/proc/%d/stat"):format(pid)))
  local user, system = file:read("a"):match("%) " .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
  file:close()
  return (tonumber(user) + tonumber(system)) / 100
end

local function resident_of(pid)
  local file = assert(io.open(("/proc/%d/statm"):format(pid)))
  local pages = file:read("a"):match("^%d+ (%d+)")
  file:close()
  return tonumber(pages) * 4096
end

-- The core that wrk gets: the first one that is not the server's.
local function other_core()
  local status = assert(io.open("/proc/self/status")):read("a")
  return status:match("Cpus_allowed_list:%s*0\n") and "1" or "0"
end

local UNITS = { us = 1, ms = 1000, s = 1000000 }

local function load(port, pid)
  local before = cpu_of(pid)
  local seconds = math.max(1, math.ceil(SECONDS * scale))
  local text = output_of("taskset", { "-c", other_core(), "wrk", "-t1", "-c" .. CONNECTIONS,
    ("-d%ds"):format(seconds), "--latency", ("http://127.0.0.1:%d/"):format(port) })
  local requests = tonumber(text:match("(%d+) requests in"))
  local rate = tonumber(text:match("Requests/sec:%s*([%d.]+)"))
  local p99, unit = text:match("99%%%s+([%d.]+)(%a+)")
  print(("W11.cpu %.0f"):format((cpu_of(pid) - before) / requests * 1e9))
  print(("W11.wall %.0f"):format(1e9 / rate))
  print(("W11.p99 %.0f"):format(tonumber(p99) * UNITS[unit]))
end

local function idle(port, pid)
  local count = math.floor(IDLE * math.min(1, scale))
  local before, open = resident_of(pid), 0
  local clients = {}
  local function more()
    if #clients + open < count then
      open = open + 1
      visits.visit(port, function(client)
        open = open - 1
        clients[#clients + 1] = client or fail("a connection failed; is `ulimit -n` enough?")
        more()
      end)
    end
  end
  for _ = 1, 50 do
    more()
  end
  while #clients < count do
    uv.run("once")
  end
  local each = (resident_of(pid) - before) / count
  print(("W11.idle %.0f - %.0f"):format(each, each))
end

local port = visits.free_port()
local arguments = table.move(command, 2, #command, 1, {})
arguments[#arguments + 1] = tostring(port)
local pid
server, pid = uv.spawn(command[1], { args = arguments, stdio = { nil, 2, 2 } }, function() end)
if not server then
  fail(command[1] .. ": " .. pid)
end
visits.wait_for(port)
load(port, pid)
idle(port, pid)
server:kill("sigkill")
