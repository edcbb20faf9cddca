-- SPDX-License-Identifier: MIT
-- Starts a server, asks it so many times on one connection, one request after the other, and ends
-- it by SIGTERM.
--
--   lua bench/http/ask.lua REQUESTS COMMAND...
--
-- Starts `COMMAND... PORT`; fails unless each request has an answer and the server ends well.

local uv = require "luv"
local visits = require "bench.http.visits"

local left = assert(math.tointeger(arg[1]))
local port = visits.free_port()
local arguments = table.move(arg, 3, #arg, 1, {})
arguments[#arguments + 1] = tostring(port)

local code
local server = assert(uv.spawn(arg[2], { args = arguments, stdio = { nil, 2, 2 } },
  function(status) code = status end))
visits.wait_for(port)

visits.visit(port, function(client)
  client:read_start(function(err, bytes)
    left = left - 1
    if left == 0 or not bytes then
      assert(not err and bytes, "the server has closed the connection")
      client:close()
      server:kill("sigterm")
    else
      client:write(visits.REQUEST)
    end
  end)
  client:write(visits.REQUEST)
end)
while not code do
  uv.run("once")
end
os.exit(code == 0 and left == 0)
