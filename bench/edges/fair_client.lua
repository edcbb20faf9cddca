-- SPDX-License-Identifier: MIT
-- The other side of bench/edges/fair.lua: sends lines, waits for each to come back, then sends
-- SIGTERM. Prints the median of the waits in ms, and the time of the signal in ns.
--
--   lua bench/edges/fair_client.lua PORT PID

local uv = require "luv"

local LINES, LEAST_NS = 9, 3.2e9

local began = uv.hrtime()
local client, waits, sent = uv.new_tcp(), {}, nil

local function send()
  sent = uv.hrtime()
  client:write("line\n")
end

client:connect("127.0.0.1", tonumber(arg[1]), function(err)
  assert(not err, err)
  client:read_start(function(_, bytes)
    if bytes then
      waits[#waits + 1] = (uv.hrtime() - sent) / 1e6
    end
    if not bytes or #waits == LINES then
      client:close()
    else
      send()
    end
  end)
  send()
end)
uv.run()
table.sort(waits)
while uv.hrtime() - began < LEAST_NS do
  uv.sleep(50)
end
print(("echo %.2f"):format(waits[(#waits + 1) // 2] or 0 / 0))
print(("sent %d"):format(uv.hrtime()))
uv.kill(tonumber(arg[2]), "sigterm")
