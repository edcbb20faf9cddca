-- SPDX-License-Identifier: MIT
--- A middleware that gives each request an id, written by hand. It takes the client's id if that
--- is harmless in headers and logs, or makes one, puts it into the context, and sends it in the
--- response. http.request_id() does the same, and the access log shows it.
--
-- Usage: ./dev lua examples/http_request_id.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local http = require("ctx.http")

local REQUEST_ID = ctx.key("request id")
local count = 0

local function is_harmless(id)
  return id and #id <= 64 and id:find("^[%w-]+$")
end

local function with_request_id(next)
  return function(req, res)
    local id = req.headers["x-request-id"]
    if not is_harmless(id) then
      count = count + 1
      id = ("request-%d"):format(count)
    end
    res.headers["X-Request-ID"] = id
    return next(req:with_context(ctx.with_value(req.ctx, REQUEST_ID, id)), res)
  end
end

--- Far away from the request, the context knows whose work it is.
local function note(c, text)
  return ("[%s] %s"):format(c:value(REQUEST_ID), text)
end

local function handler(req, res)
  return res:finish(req.ctx, note(req.ctx, "hello"))
end

ctx.run(function(root)
  local server = http.server { handler = http.chain(handler, with_request_id) }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local url = ("http://127.0.0.1:%d/"):format(server:address().port)
  for _, case in ipairs({
    { sent = "abc-7", got = "abc-7" }, { got = "request-1" },
    { sent = 'x" admin="yes', got = "request-2" }, { sent = ("a"):rep(65), got = "request-3" },
  }) do
    local page = assert(http.get(root, url, { headers = { ["X-Request-ID"] = case.sent } }))
    local id = page.headers["x-request-id"]
    print(id, page.body)
    assert(id == case.got and page.body == ("[%s] hello"):format(case.got))
  end
  assert(server:shutdown(root))
end)
