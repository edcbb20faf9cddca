-- SPDX-License-Identifier: MIT
--- Server-sent events: a response that goes on until the client leaves or the server shuts down.
--- A shutdown would wait for it until its deadline; so the handler also looks at req:draining(),
--- says goodbye, and lets the client connect again elsewhere.
--
-- Usage: ./dev lua examples/http_events.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local http = require("ctx.http")

local endings = {}

--- One event every 10 ms. Each write waits until the client takes it: a slow one gets fewer.
local function events(req, res)
  res.headers["Content-Type"] = "text/event-stream"
  res.headers["Cache-Control"] = "no-store"
  local c, cancel <close> = ctx.any(req.ctx, req:draining())
  local n = 0
  repeat
    n = n + 1
    local ok, err = res:write(req.ctx, ("id: %d\ndata: tick\n\n"):format(n))
    if not ok then
      endings[#endings + 1] = tostring(req.ctx:cause())
      return nil, err
    end
  until not ctx.sleep(c, 10)
  endings[#endings + 1] = tostring(c:cause())
  if req.ctx:err() then
    return nil, req.ctx:cause()
  end
  return res:finish(req.ctx, "retry: 1000\nevent: bye\n\n")
end

--- Reads events until there are so many, or the stream ends.
local function watch(c, url, count)
  local response <close> = assert(http.get(c, url, { stream = true }))
  local text = ""
  repeat
    local chunk = response:read(c)
    text = text .. (chunk or "")
  until not chunk or select(2, text:gsub("data: tick\n", "")) >= count
  return text
end

ctx.run(function(root)
  local server = http.server { handler = events }
  assert(server:listen("127.0.0.1", 0))
  local serving = ctx.go(server.serve, server, root)
  local url = ("http://127.0.0.1:%d/"):format(server:address().port)

  local first = watch(root, url, 3) -- and closes the response
  local second = ctx.go(watch, root, url, math.huge)
  repeat
    ctx.sleep(root, 1)
  until #endings == 1 and server:stats().requests == 1
  assert(server:shutdown(root))
  assert(serving:wait())
  local last = second:wait()
  print(first)
  print((last:gsub("^.*\n\n(.-)\n\n$", "… %1")))
  assert(not first:find("bye") and last:find("event: bye\n\n$"))
end)
print("ended by: " .. table.concat(endings, "; "))
assert(endings[1] == tostring(http.client_gone) and endings[2] == tostring(http.server_shutdown))
