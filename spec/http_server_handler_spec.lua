-- SPDX-License-Identifier: MIT
-- What a handler is given: the request, its body, the connection; and the router that finds it.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"

local with = bed.with

describe("a request", function()
  it("shows its target as it came, and decoded", function()
    with(function(req, _, seen)
      seen.req = { req.method, req.target, req.raw_path, req.path, req.raw_query, req.minor }
      seen.query, seen.values = req.query, req:values("a")
      seen.text = tostring(req)
    end, function(client, _, seen)
      client:get("/caf%C3%A9/a%2Fb?a=1&b=x+y%26&a=2&c&=d&e=%zz")
      assert.same({ "GET", "/caf%C3%A9/a%2Fb?a=1&b=x+y%26&a=2&c&=d&e=%zz", "/caf%C3%A9/a%2Fb",
        "/café/a/b", "a=1&b=x+y%26&a=2&c&=d&e=%zz", 1 }, seen.req)
      assert.same({ a = "1", b = "x y&", c = "", [""] = "d" }, seen.query)
      assert.same({ "1", "2" }, seen.values)
      assert.truthy(seen.text:find("^ctx%.http%.Request %(GET /caf"))
      client:get("/?")
      assert.same({}, seen.query)
    end)
  end)

  it("has its headers in lower case, those of one name joined", function()
    with(function(req, _, seen)
      seen.headers = req.headers
    end, function(client, _, seen)
      client:get("/", "X-A: 1", "x-a:2", "COOKIE: a=b", "Cookie: c=d", "Empty:")
      assert.same({ host = "spec", ["x-a"] = "1, 2", cookie = "a=b; c=d", empty = "" },
        seen.headers)
    end)
  end)

  it("knows where it came from", function()
    with(function(req, _, seen)
      seen.peer, seen.remote = req:peer(), req:remote()
    end, function(client, b, seen)
      client:get()
      assert.equal("127.0.0.1", seen.remote)
      assert.equal(client.stream:address().port, seen.peer.port)
      local local_client <close> = b:pair()
      local_client:get()
      assert.equal("unix", seen.remote)
    end)
  end)

  it("that came from where nobody is any more, and nobody had asked, says so", function()
    with(function(req, _, seen)
      seen.begun = true
      req.ctx:wait()
      seen.remote = req:remote()
    end, function(client, b, seen)
      b.server._log = nil -- it asks at once
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      b:wait_until(function() return seen.begun end)
      assert(client.stream:handle():close_reset())
      b:wait_until(function() return seen.remote end)
      assert.equal("unknown", seen.remote)
    end)
  end)

  it("under another context is the same in all else", function()
    with(function(req, res, seen)
      local c, cancel <close> = ctx.with_value(req.ctx, "key", "value"), nil
      local inner = req:with_context(c)
      seen.same = inner.ctx == c and req.ctx ~= c and inner.path == req.path
      seen.body = inner:body()
      seen.error = select(2, pcall(req.with_context, req, 5))
      res:finish(inner.ctx)
    end, function(client, _, seen)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
      client:answer()
      assert.is_true(seen.same)
      assert.equal("hello", seen.body)
      assert.truthy(seen.error:find("bad argument #1 to 'with_context'", 1, true))
    end)
  end)
end)

describe("the body of a request", function()
  it("comes in pieces as the client sends them, then nil alone", function()
    with(function(req, _, seen)
      repeat
        local piece, err = req:read()
        seen[#seen + 1] = piece
        seen.err = err
      until not piece
      seen.again = { req:read() }
      seen.rest = req:body()
      seen.trailers = req.trailers
    end, function(client, b, seen)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
      b:wait_until(function() return seen[1] end)
      client:send("3\r\ntwo\r\n")
      b:wait_until(function() return seen[2] end)
      client:send("0\r\nX-Sum: 6\r\nX-Sum: 7\r\n\r\n")
      client:answer()
      assert.same({ "one", "two", again = {}, rest = "", trailers = { ["x-sum"] = "6, 7" } }, seen)
    end)
  end)

  it("is nothing where there is none, and has no trailers", function()
    with(function(req, _, seen)
      seen.read, seen.body, seen.trailers = table.pack(req:read()), req:body(), req.trailers
    end, function(client, _, seen)
      client:get()
      assert.same({ read = { n = 1 }, body = "" }, seen)
    end)
  end)

  it("is not read under a context that is done", function()
    with(function(req, _, seen)
      local c, cancel <close> = ctx.with_cancel(req.ctx)
      cancel("enough")
      seen.err = select(2, req:body(c))
      seen.body = req:body()
    end, function(client, _, seen)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab")
      client:answer()
      assert.equal("context canceled: enough", tostring(seen.err))
      assert.equal("ab", seen.body)
    end)
  end)

  -- The next call returned what came after, as if that were all.
  it("is whole for the next call when a wait for it has ended", function()
    with(function(req, res, seen)
      local c, cancel <close> = ctx.with_cancel(req.ctx)
      seen.cancel = cancel
      seen.err = select(2, req:body(c))
      seen.first = req:read()
      res:finish(req.ctx, req:body())
    end, function(client, b, seen)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
      b:wait_until(function() return seen.cancel end)
      client:send("3\r\ntwo\r\n")
      client:settle()
      seen.cancel("enough")
      b:wait_until(function() return seen.first end)
      client:send("5\r\nthree\r\n0\r\n\r\n")
      assert.equal("twothree", client:answer().body)
      assert.same({ "one", "context canceled: enough" }, { seen.first, tostring(seen.err) })
    end)
  end)

  -- Such a reader waited for ever, and its go-ahead went into the next request.
  it("ends for a reader that outlives the request", function()
    with(function(req, res, seen)
      if req.method == "POST" then
        seen.req = req
        seen.reader = ctx.go(req.body, req, ctx.background())
        res:finish(req.ctx, "early")
      elseif seen.req then
        seen.late = { seen.req:read(ctx.background()) }
      end
    end, function(client, b, seen)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab")
      assert.equal("early", client:answer().body)
      assert.same({ nil, http.handler_returned }, { seen.reader:wait(b.c) })
      client:send("cd")
      assert.equal("0", client:get().headers["content-length"])
      assert.equal("ab", seen.late[1])
    end)
  end)

  it("makes the client wait while nobody reads it, and all of it comes", function()
    local SIZE = 20000000
    local gate, open = ctx.with_cancel(ctx.background())
    with(function(req, res)
      gate:wait()
      local size = 0
      for piece in function() return req:read() end do
        size = size + #piece
      end
      res:finish(req.ctx, tostring(size))
    end, function(client)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " .. SIZE .. "\r\n\r\n")
      local writer = ctx.go(client.send, client, ("x"):rep(SIZE))
      for _ = 1, 20 do client:settle() end
      assert.equal("waiting", writer:status())
      open()
      assert.equal(tostring(SIZE), client:answer().body)
      assert.is_true(writer:wait(client.c))
    end, { max_body = SIZE })
  end)
end)

describe("Expect: 100-continue", function()
  local POST = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"

  it("is answered when the handler wants the body", function()
    with(function(req, res)
      res:finish(req.ctx, req:body())
    end, function(client)
      client:send(POST)
      assert.equal(100, client:answer().status)
      client:send("ab")
      assert.equal("ab", client:answer().body)
      assert.equal(200, client:get().status)
    end)
  end)

  it("is not when the handler does not: then the connection ends", function()
    with(function() end, function(client)
      client:send(POST)
      local answer = client:answer()
      assert.same({ 200, "close" }, { answer.status, answer.headers.connection })
      assert.equal("", client:rest())
    end)
  end)

  -- The 100 stood in the middle of the response's body.
  it("is not behind the head of the response", function()
    with(function(req, res, seen)
      seen.begun = res:write(req.ctx, "first ")
      res:finish(req.ctx, req:body())
    end, function(client, b, seen)
      client:send(POST)
      b:wait_until(function() return seen.begun end)
      client:settle()
      client:send("ab")
      assert.equal("first ab", client:answer().body)
    end)
  end)
end)

describe("hijack", function()
  it("fails while the body is not read, the second time, and when all is over", function()
    with(function(req, _, seen)
      seen.early = select(2, req:hijack())
      req:body()
      local stream <close> = req:with_context(req.ctx):hijack()
      seen.twice = select(2, req:hijack())
      seen.req = req
      stream:write(req.ctx, "raw")
    end, function(client, b, seen)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n")
      b:wait_until(function() return seen.early end)
      client:send("ab")
      assert.equal("raw", (client:rest()))
      b:wait_empty()
      assert.equal("hijack: read the body first", tostring(seen.early))
      assert.truthy(tostring(seen.twice):find("^hijack: "))
      assert.equal("hijack: the request is over", tostring(select(2, seen.req:hijack())))
    end)
  end)

  it("is not for a response that has begun, and no response comes behind it", function()
    with(function(req, res, seen)
      if req.path == "/begun" then
        res:write(req.ctx, "half")
        seen.late = select(2, req:hijack())
        return
      end
      local stream <close> = req:hijack()
      stream:write(req.ctx, "raw")
      for _, name in ipairs { "write", "finish" } do
        seen[name] = select(2, res[name](res, req.ctx, "x"))
      end
      seen.inform = select(2, res:inform(req.ctx, 103))
    end, function(client, _, seen)
      assert.equal("half", client:get("/begun").body)
      assert.equal("hijack: the response has begun", tostring(seen.late))
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("raw", (client:rest()))
      for _, name in ipairs { "write", "finish", "inform" } do
        assert.equal(name .. ": the connection is hijacked", tostring(seen[name]))
      end
    end)
  end)

  -- An HTTP response came into the midst of the other protocol.
  it("under http.timeout is the end of HTTP, too", function()
    with(http.chain(function(req)
      local stream = assert(req:hijack())
      ctx.go(function()
        ctx.sleep(ctx.background(), 0)
        stream:write(ctx.background(), "raw")
        stream:close()
      end)
    end, http.timeout(60000)), function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("raw", (client:rest()))
      assert.is_nil(b.records[1].error)
    end)
  end)

  -- Nobody heard of it: there is no response that could say so.
  it("does not hide what the handler raises", function()
    with(function(req)
      local _ <close> = assert(req:hijack())
      error(req.path == "/abort" and http.abort or "boom", 0)
    end, function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("", (client:rest()))
      b:wait_until(function() return b.errors[1] end)
      assert.equal("boom", b.errors[1].err)
      local other <close> = b:connect()
      other:send("GET /abort HTTP/1.1\r\nHost: h\r\n\r\n")
      other:rest()
      b:wait_until(function() return b.records[2] end)
      assert.equal(1, #b.errors)
    end)
  end)

  -- Requests without a body have the same empty one: that made the old one pass for the new one.
  it("is not for a request that had its answer, while the next one is served", function()
    with(function(req, _, seen)
      if seen.old then
        seen.err = select(2, seen.old:hijack())
      end
      seen.old = req
    end, function(client, _, seen)
      client:get()
      assert.equal(200, client:get().status)
      assert.equal("hijack: the request is over", tostring(seen.err))
    end)
  end)
end)

describe("the router", function()
  local function routed(fn, routes)
    local router = http.router()
    routes(router)
    bed.run({ handler = router:handler() }, function(b)
      local client <close> = b:connect()
      fn(client, router)
    end)
  end

  local function show(name)
    return function(req, res)
      local params = {}
      for key, value in pairs(req.params) do
        params[#params + 1] = key .. "=" .. value
      end
      table.sort(params)
      res:finish(req.ctx, name .. " " .. table.concat(params, ","))
    end
  end

  it("prefers a segment in clear to a name, and a name to the rest", function()
    routed(function(client)
      for path, text in pairs {
        ["/"] = "root ", ["/users/me"] = "me ", ["/users/7"] = "user id=7",
        ["/users/a%2Fb"] = "user id=a/b", ["/users/me/posts"] = "posts id=me",
        ["/users/7/x/y"] = "rest path=users/7/x/y", ["/users/"] = "rest path=users/",
        ["/users/me/"] = "rest path=users/me/", ["/other"] = "rest path=other",
        ["/users/m%65"] = "me ",
      } do
        assert.equal(text, client:get(path).body)
      end
    end, function(router)
      router:get("/", show "root")
      router:get("/users/me", show "me")
      router:get("/users/{id}", show "user")
      router:get("/users/{id}/posts", show "posts")
      router:get("/{path...}", show "rest")
    end)
  end)

  it("answers 404 and 405, HEAD and OPTIONS", function()
    routed(function(client, router)
      assert.equal(404, client:get("/none").status)
      local answer = client:ask("DELETE /a HTTP/1.1", "Host: h")
      assert.same({ 405, "GET, HEAD, POST" }, { answer.status, answer.headers.allow })
      answer = client:ask("OPTIONS /a HTTP/1.1", "Host: h")
      assert.same({ 204, "GET, HEAD, POST" }, { answer.status, answer.headers.allow })
      answer = client:ask("HEAD /a HTTP/1.1", "Host: h")
      assert.same({ 200, "4" }, { answer.status, answer.headers["content-length"] })
      assert.equal("any ", client:ask("PURGE /b HTTP/1.1", "Host: h").body)
      assert.equal("get ", client:get("/b").body)
      router:not_found(show "nowhere")
      assert.equal("nowhere ", client:get("/none").body)
    end, function(router)
      router:get("/a", show "get")
      router:post("/a", show "post")
      router:handle("*", "/b", show "any")
      router:get("/b", show "get")
    end)
  end)

  it("raises where a route is wrong or taken", function()
    local router = http.router()
    router:get("/users/{id}", show "one")
    local here = "spec/http_server_handler_spec.lua:"
    for _, case in ipairs {
      { function() router:get("/users/{name}", show "two") end,
        "get: GET /users/{name} is taken already, by /users/{id}" },
      { function() router:get("users", show "x") end, "bad argument #1 to 'get' (pattern: " },
      { function() router:post("/{a...}/b", show "x") end, "bad argument #1 to 'post' (pattern: " },
      { function() router:get("/{1}", show "x") end, "bad argument #1 to 'get' (pattern: " },
      { function() router:get("/a", 5) end, "bad argument #2 to 'get' (handler: " },
      { function() router:handle("GET", "x", show "x") end,
        "bad argument #2 to 'handle' (pattern: " },
      { function() router:handle(5, "/", show "x") end, "bad argument #1 to 'handle' (method: " },
    } do
      local ok, err = pcall(case[1])
      assert.is_false(ok)
      assert.truthy(err:find(case[2], 1, true), err)
      assert.truthy(err:find(here, 1, true), err)
    end
  end)

  it("keeps the handler's failures", function()
    routed(function(client)
      assert.equal(418, client:get("/").status)
    end, function(router)
      router:get("/", function() return nil, errors.wrap(http.failure(418, "short"), "teapot") end)
    end)
  end)
end)

describe("http.server", function()
  it("says which option is wrong", function()
    for _, case in ipairs {
      { { handler = 5 }, "options.handler: a function expected, got 5" },
      { {}, "options.handler: a function expected, got nil" },
      { { handler = print, idle_timeout = 0 }, "options.idle_timeout: a positive number of ms" },
      { { handler = print, max_head = 1.5 }, "options.max_head: a whole number from 1 to 2^30" },
      { { handler = print, max_target = 2 ^ 32 }, "options.max_target: a whole number from 1 to" },
      { { handler = print, hander = print }, "options: the name of an option expected" },
      { 5, "options: a table expected, got 5" },
    } do
      local ok, err = pcall(http.server, case[1])
      assert.is_false(ok)
      assert.truthy(err:find(case[2], 1, true), err)
    end
  end)
end)
