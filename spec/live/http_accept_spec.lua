-- SPDX-License-Identifier: MIT
--- How connections come to the server.
local luv = require "luv"
local web = require "spec.support.web"

describe("a server", function()
  -- luv hands out one or two in a turn of the loop. Beside a hundred busy connections, with turns
  -- of 2 ms, 200 new ones had to wait for 180 ms.
  it("accepts in one turn of the loop what is there", function()
    web.run(function() end, function(c, _, server)
      local sockets, seen, check = {}, {}, luv.new_check()
      for i = 1, 60 do
        sockets[i] = luv.new_tcp()
        -- Not waited for: loopback connects at once.
        sockets[i]:connect("127.0.0.1", server:address().port, function() end)
      end
      local turn = 0
      check:start(function()
        turn = turn + 1
        seen[server:stats().connections] = turn
      end)
      web.wait_for(c, function() return seen[60] end)
      local first = math.huge
      for n, at in pairs(seen) do
        first = n > 0 and math.min(first, at) or first
      end
      assert.is_true(seen[60] - first <= 1, ("it took %d turns"):format(seen[60] - first))
      check:close()
      for _, socket in ipairs(sockets) do
        socket:close()
      end
    end)
  end)

  it("accepts no more than its limit, and leaves no more behind", function()
    web.run({ max_connections = 5, handler = function() end }, function(c, port, server)
      local streams = {}
      for i = 1, 100 do
        streams[i] = web.connect(c, port)
      end
      web.wait_for(c, function() return server:stats().refused == 95 end)
      assert.equal(5, server:stats().connections)
      for _, stream in ipairs(streams) do
        stream:close()
      end
      web.wait_for(c, function() return server:stats().connections == 0 end)
    end)
  end)
end)
