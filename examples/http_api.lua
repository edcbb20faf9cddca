-- SPDX-License-Identifier: MIT
--- A JSON API whose errors are JSON, too. An error may come from a handler, the router, a
--- deadline, or from the server, for a request that is not HTTP: one function writes them all.
--
-- Usage: ./dev lua examples/http_api.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local http = require("ctx.http")
local uv = require("ctx.uv")

local stock = { tea = 3, coffee = 0 }

local router = http.router()
router:get("/stock/{item}", function(req, res)
  local n = stock[req.params.item]
  if not n then
    return nil, http.failure(404, "no such item")
  end
  return res:json(req.ctx, 200, { item = req.params.item, left = n })
end)
router:post("/orders", function(req, res)
  local order, err = req:json()
  if err then
    return nil, err -- 400 or 413
  elseif (stock[order.item] or 0) < 1 then
    return nil, http.failure(409, "sold out")
  end
  stock[order.item] = stock[order.item] - 1
  return res:json(req.ctx, 201, { left = stock[order.item] })
end)

local function failure(_, res, status, message)
  return res:json(res.ctx, status, { error = message })
end

ctx.run(function(root)
  local server = http.server { handler = router:handler(), failure = failure }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local port = server:address().port
  local url = ("http://127.0.0.1:%d"):format(port)

  local function ask(method, path, body)
    local answer = assert(http.request(root, { method = method, url = url .. path, body = body }))
    print(method, path, answer.status, answer.body)
    assert(answer.headers["content-type"] == "application/json")
    return answer.status
  end
  assert(ask("GET", "/stock/tea") == 200)
  assert(ask("GET", "/stock/milk") == 404)
  assert(ask("GET", "/nowhere") == 404)
  assert(ask("DELETE", "/orders") == 405)
  assert(ask("GET", "/stock/..%2Fsecret") == 400)
  assert(ask("POST", "/orders", '{"item":"tea"}') == 201)
  assert(ask("POST", "/orders", '{"item":"coffee"}') == 409)
  assert(ask("POST", "/orders", "tea, please") == 400)

  local stream <close> = assert(uv.connect(root, "127.0.0.1", port))
  assert(stream:write(root, "HELLO?\r\n\r\n"))
  local answer = ""
  for piece in function() return stream:read(root) end do
    answer = answer .. piece
  end
  print("HELLO?", answer:match("^HTTP/1.1 (%d+)"), answer:match("\r\n\r\n(.*)$"))
  assert(answer:find("^HTTP/1.1 400 ") and answer:find('{"error":', 1, true))
  assert(server:shutdown(root))
end)
