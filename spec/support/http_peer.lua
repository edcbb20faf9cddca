-- SPDX-License-Identifier: MIT
--- A client that can be killed: sends what it is told to a port, and then does nothing at all.
--- Usage: http_peer.lua PORT LUA-EXPRESSION
local luv = require "luv"
require "spec.support.orphan"

local port, text = math.tointeger(arg[1]), load("return " .. arg[2])()
local socket = luv.new_tcp()
socket:connect("127.0.0.1", port, function(failed)
  assert(not failed, failed)
  socket:write(text, function()
    print("sent")
    io.flush()
  end)
end)
luv.new_timer():start(math.maxinteger, 0, function() end) -- there is nothing else to wait for
luv.run()
