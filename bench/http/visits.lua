-- SPDX-License-Identifier: MIT
-- What those need that drive a server: a port for it, and requests until it answers.

local uv = require "luv"

local visits = {}

-- A port of 127.0.0.1 that nobody listens on now.
function visits.free_port()
  local probe = uv.new_tcp()
  probe:bind("127.0.0.1", 0)
  local port = probe:getsockname().port
  probe:close()
  return port
end

visits.REQUEST = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

-- Connects, sends a request, calls back with the connection when its answer is there, or with nil.
function visits.visit(port, callback)
  local client = uv.new_tcp()
  client:connect("127.0.0.1", port, function(err)
    if err then
      client:close()
      return callback(nil)
    end
    client:read_start(function(_, bytes)
      client:read_stop()
      callback(bytes and client)
    end)
    client:write(visits.REQUEST)
  end)
end

-- Waits until the server answers; a tenth of a second between attempts.
function visits.wait_for(port)
  local timer, up = uv.new_timer(), false
  local function try()
    visits.visit(port, function(client)
      if client then
        client:close()
        up = true
      else
        timer:start(100, 0, try)
      end
    end)
  end
  try()
  while not up do
    uv.run("once")
  end
  timer:close()
end

return visits
