-- SPDX-License-Identifier: MIT
--- A client for one service: its defaults hold for all requests, and text from a user goes into a
--- URL as data, not as a part of its structure.
--
-- Usage: ./dev lua examples/http_client.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local http = require("ctx.http")

local failed = false
local function must(ok, what)
  print((ok and "as it must: " or "NOT AS IT MUST: ") .. what)
  failed = failed or not ok
end

--- The service: says what it was asked.
local function handle(req, res)
  if req.headers.authorization ~= "Bearer secret" then
    return nil, http.failure(401)
  end
  local said = ("%s tags=%s page=%s"):format(req.path, table.concat(req:values("tag"), ","),
    tostring(req.query.page))
  return res:finish(req.ctx, said)
end

ctx.run(function(root)
  local server = http.server { handler = handle }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local base = ("http://127.0.0.1:%d"):format(server:address().port)

  local shop <close> = http.client {
    headers = { Authorization = "Bearer secret" },
    connect_timeout = 1000, -- ms to reach the service
    idle_timeout = 5000,    -- ms without a byte
  }

  local typed = "tea & cake/50%?admin=1"
  local got = assert(shop:get(root, base .. "/search/" .. http.escape(typed),
    { query = { tag = { "hot", "new" }, page = 2 } }))
  must(got.body:find("tags=hot,new page=2", 1, true), "the query: " .. got.body)
  must(got.url:find("/search/tea%20%26%20cake%2F50%25%3Fadmin%3D1?", 1, true),
    "what was typed is one segment: " .. got.url)

  local refused = assert(shop:get(root, base .. "/", { headers = { authorization = false } }))
  must(refused.status == 401, "a request may leave a default out: " .. refused.status)
  server:close()
end)

os.exit(not failed)
