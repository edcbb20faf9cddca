-- SPDX-License-Identifier: MIT
--- A handler with a budget of 500 ms for all of its work, the database included. A client that
--- has less time sends its deadline, and the handler obeys it.
--
-- Usage: ./dev lua examples/http_user.lua     (exits 0 only if all went as it should)

local cjson = require("cjson")
local ctx = require("ctx")
local errors = require("ctx.errors")
local http = require("ctx.http")

local BUDGET_MS = 500

--- The database: takes as many ms as the id says, and stops with the context.
local function find_user(c, id)
  local ok, err = ctx.sleep(c, tonumber(id))
  if not ok then
    return nil, errors.wrap(err, "database query")
  end
  return { id = id, name = "Ada" }
end

local left -- what the last request had

local function get_user(req, res)
  left = req.ctx:remaining()
  local user, err = find_user(req.ctx, req.query.id)
  if not user then
    return nil, http.failure(500, "could not fetch the user", err)
  end
  res.headers["Content-Type"] = "application/json"
  return res:finish(req.ctx, cjson.encode(user))
end

local failed = false
local function must(ok, what)
  print((ok and "as it must: " or "NOT AS IT MUST: ") .. what)
  failed = failed or not ok
end

ctx.run(function(root)
  local server = http.server {
    handler = get_user, request_timeout = BUDGET_MS,
    on_error = function(err) print("to look into: " .. tostring(err)) end, -- whatever gets a 500
  }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local url = ("http://127.0.0.1:%d/users?id="):format(server:address().port)

  local page = assert(http.get(root, url .. "10"))
  must(page.status == 200 and cjson.decode(page.body).name == "Ada", "a user: " .. page.body)
  must(left > 400 and left <= BUDGET_MS, "within the server's budget")

  page = assert(http.get(root, url .. "60000"))
  must(page.status == 500, "the database hangs, and the budget ends it: " .. page.body)

  local c, cancel <close> = ctx.with_timeout(root, 100)
  local nothing, err = http.get(c, url .. "60000")
  must(not nothing and errors.is(err, ctx.deadline_exceeded), tostring(err))
  must(left <= 100, ("the handler had the client's time: %.0f ms"):format(left))
  assert(server:shutdown(root))
end)
os.exit(failed and 1 or 0, true)
