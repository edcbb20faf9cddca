-- SPDX-License-Identifier: MIT
-- W11 without HTTP: luv reads something and writes an answer that was made beforehand. No server on
-- luv can be faster than that.
--
--   lua bench/http/luv.lua PORT

local uv = require "luv"

collectgarbage("incremental")
if arg[1] == "list" then
  return
end

local ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
  .. "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nhello, world\n"

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", tonumber(arg[1])))
server:listen(4096, function()
  local client = uv.new_tcp()
  server:accept(client)
  client:read_start(function(_, bytes)
    if bytes then
      client:try_write(ANSWER)
    else
      client:close()
    end
  end)
end)
uv.run()
