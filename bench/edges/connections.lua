-- SPDX-License-Identifier: MIT
-- What a connection costs the server beside many idle ones: bench/http/hello.lua, on the same core.

local uv = require "luv"
local visits = require "bench.http.visits"

local ROUNDS, AT_ONCE = 1500, 100

local port = visits.free_port()
local server, pid = uv.spawn(arg[-1], {
  args = { "bench/http/hello.lua", "incremental", tostring(port) }, stdio = { nil, 2, 2 },
}, function() end)
assert(server, pid)
visits.wait_for(port)

-- Microseconds of processor time so far.
local function spent_us()
  local file = assert(io.open(("/proc/%d/stat"):format(pid)))
  local user, system = file:read("a"):match("%) " .. ("%S+ "):rep(11) .. "(%d+) (%d+)")
  file:close()
  return (tonumber(user) + tonumber(system)) * 1e4
end

local idle = {}

local function open(count)
  while #idle < count do
    local left = math.min(AT_ONCE, count - #idle)
    for _ = 1, left do
      visits.visit(port, function(client)
        idle[#idle + 1] = client or error("a connection failed; is `ulimit -n` enough?")
        left = left - 1
      end)
    end
    while left > 0 do
      uv.run("once")
    end
  end
end

local function one_more()
  local over = false
  visits.visit(port, function(client)
    client:close()
    over = true
  end)
  while not over do
    uv.run("once")
  end
end

local function beside(name, count)
  open(count)
  local began = spent_us()
  for _ = 1, ROUNDS do
    one_more()
  end
  print(("%s %.1f us"):format(name, (spent_us() - began) / ROUNDS))
end

beside("connections.few", 1000)
beside("connections.many", 16381)
server:kill("sigkill")
