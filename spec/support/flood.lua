-- SPDX-License-Identifier: MIT
--- Opens that many connections, keeps those that it can, and prints what became of them all: it has
--- been told 503, closed silently, served, or refused.
--- Usage: flood.lua PORT N
local luv = require "luv"

local AT_ONCE = 300 -- connects under way, so that the kernel's queue does not overflow

local port, n = math.tointeger(arg[1]), math.tointeger(arg[2])
local counts = { ["503"] = 0, ["200"] = 0, closed = 0, failed = 0 }
local begun, over, open_next = 0, 0, nil

local function ended(how, socket)
  counts[how] = counts[how] + 1
  over = over + 1
  socket:close()
end

local function connected(socket)
  local text = ""
  socket:write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", function() end)
  socket:read_start(function(_, chunk)
    text = text .. (chunk or "")
    local status = text:match("^HTTP/1.1 (%d+) ")
    if not chunk and not (status and counts[status]) then
      ended("closed", socket)
    elseif status == "200" or not chunk then
      ended(status, socket)
    end
  end)
end

open_next = function()
  if begun == n then
    return
  end
  begun = begun + 1
  local socket = luv.new_tcp()
  socket:connect("127.0.0.1", port, function(failed)
    if failed then
      ended("failed", socket)
    else
      connected(socket)
    end
    open_next()
  end)
end

for _ = 1, AT_ONCE do
  open_next()
end
luv.run()
print(("over=%d 503=%d 200=%d closed=%d failed=%d"):format(over, counts["503"], counts["200"],
  counts.closed, counts.failed))
