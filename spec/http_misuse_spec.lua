-- SPDX-License-Identifier: MIT
-- Misuse of ctx.http raises at the caller's line, and changes nothing: a method called with a dot,
-- a call that would wait where nothing can, an argument that the call would use otherwise than it
-- was checked.
local bed = require "spec.support.http"
local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local raises = misuse.raises

--- Calls fn in a callback of luv's; returns what pcall does.
local function in_callback(fn)
  local result
  local timer = luv.new_timer()
  timer:start(0, 0, function()
    timer:close()
    result = table.pack(pcall(fn))
  end)
  repeat ctx.sleep(ctx.background(), 1) until result
  return table.unpack(result, 1, result.n)
end

local function cannot_wait(name, fn)
  local ok, err = in_callback(fn)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(name .. ": cannot wait here", 1, true), tostring(err))
end

describe("a method called with a dot", function()
  it("of a server", function()
    local server <close> = http.server { handler = print }
    for _, name in ipairs { "listen", "address", "serve", "serve_stream", "shutdown", "close",
      "draining",
      "is_draining", "stats" } do
      raises(function() server[name]() end, "bad self to '" .. name .. "'", "call it with a colon")
      raises(function() server[name](ctx.background()) end, "bad self to '" .. name .. "'")
    end
  end)

  it("of a router", function()
    local router = http.router()
    for _, name in ipairs { "get", "post", "put", "patch", "delete", "head", "options", "handle",
      "not_found",
      "handler", "dispatch" } do
      raises(function() router[name]() end, "bad self to '" .. name .. "'")
      raises(function() router[name]("/", print) end, "bad self to '" .. name .. "'")
    end
  end)

  it("of a request or a response, or of the buffer of http.timeout", function()
    local function handler(req, res)
      for _, name in ipairs { "body", "read", "json", "values", "with_context", "peer", "remote",
        "draining",
        "hijack" } do
        raises(function() req[name]() end, "bad self to '" .. name .. "'")
      end
      for _, name in ipairs { "write", "finish", "json", "inform" } do
        raises(function() res[name]() end, name)
        raises(function() res[name](req.ctx, "x") end, name)
      end
      raises(function() res:inform(req.ctx, 200) end, "inform", "a status from 100 to 199")
      return res:finish(req.ctx, "fine")
    end
    for _, outer in ipairs { handler, http.timeout(60000)(handler) } do
      bed.with(outer, function(client, b)
        assert.equal("fine", client:get().body)
        assert.same({}, b.errors)
      end)
    end
  end)
end)

-- A field beside a list, or a second value where one is allowed, was silently ignored: a pinned
-- address, or one of two places to listen on.
describe("a value that would be ignored raises:", function()
  it("two places to listen on", function()
    local server <close> = http.server { handler = print }
    for _, where in ipairs { { host = "127.0.0.1", port = 0, pipe = "/x" }, { pipe = "/x", fd = 3 },
      { host = "127.0.0.1", port = 0, fd = 3 }, { port = 1, fd = 3 }, { host = "::1", pipe = "/x" },
      { port = 1 }, { host = "::1" }, {} } do
      raises(function() server:listen(where) end, "#1 to 'listen'", "an address, or a table")
    end
    raises(function() server:listen({ host = "127.0.0.1", port = 0 }, 80) end, "#2 to 'listen'")
  end)

  it("a field beside a list of addresses, values or headers", function()
    ctx.run(function(c)
      for _, list in ipairs { { h = "127.0.0.1" }, { "h:80:127.0.0.1", h = "127.0.0.1" },
        { "*:80:127.0.0.1" }, { "h:99999:127.0.0.1" }, { "h:0:127.0.0.1" }, { ":80:127.0.0.1" },
        { "h:80" }, { "h/:80:127.0.0.1" }, { [2] = "h:80:127.0.0.1" } } do
        raises(function() http.get(c, "http://h/", { resolve = list }) end, "options.resolve")
      end
      for _, list in ipairs { { a = "b" }, { "a", b = "c" }, { [2] = "a" }, { "a", [3] = "b" } } do
        raises(function() http.get(c, "http://h/", { query = { q = list } }) end, "options.query")
        raises(function() http.get(c, "http://h/", { headers = { q = list } }) end,
          "options.headers")
      end
    end)
  end)

  it("a field beside a list in a response's headers", function()
    local lists = { { a = "b" }, { "a", b = "c" }, { [2] = "a" }, { "a", [1.5] = "b" } }
    bed.with(function(req, res)
      for _, list in ipairs(lists) do
        res.headers.Link = list
        raises(function() res:finish(req.ctx) end, "header link: ", "a list of them")
      end
      res.headers.Link = table.pack("a", "b")
      return res:finish(req.ctx)
    end, function(client, b)
      assert.equal("a | b", client:get().headers.link)
      assert.same({}, b.errors)
    end)
  end)
end)

describe("where nothing can wait", function()
  it("serve raises, and the proper call serves", function()
    ctx.run(function(root)
      local server <close> = http.server { handler = function(req, res) return res:finish(req.ctx,
        "ok") end }
      assert(server:listen("127.0.0.1", 0))
      cannot_wait("server:serve", function() server:serve(root) end)
      local ended, cancel = ctx.with_cancel(root)
      cancel()
      cannot_wait("server:serve", function() server:serve(ended) end)
      ctx.go(server.serve, server, root)
      local url = ("http://127.0.0.1:%d"):format(server:address().port)
      assert.equal("ok", assert(http.get(root, url)).body)
    end)
  end)

  it("shutdown raises, and the server serves on", function()
    bed.run({ handler = function(req, res) return res:finish(req.ctx, "ok") end }, function(b)
      cannot_wait("server:shutdown", function() b.server:shutdown(b.c) end)
      assert.is_false(b.server:is_draining())
      local client <close> = b:connect()
      assert.equal("ok", client:get().body)
      assert.is_true((b.server:shutdown(b.c)))
    end)
  end)

  it("listen, close, stats and a shutdown under a context that has ended work", function()
    ctx.run(function(root)
      local server <close> = http.server { handler = print }
      local ok, found = in_callback(function() return server:listen("127.0.0.1", 0) end)
      assert.truthy(ok and found)
      assert.truthy((in_callback(function() return server:stats() end)))
      local ended, cancel = ctx.with_cancel(root)
      cancel()
      assert.truthy((in_callback(function() return server:shutdown(ended) end)))
    end)
  end)

  it("no read of a request and no write of a response changes anything", function()
    bed.with(function(req, res)
      cannot_wait("req:body", function() req:body() end)
      cannot_wait("req:read", function() req:read() end)
      cannot_wait("req:json", function() req:json() end)
      cannot_wait("res:write", function() res:write(req.ctx, "lost") end)
      cannot_wait("res:finish", function() res:finish(req.ctx, "lost") end)
      cannot_wait("res:json", function() res:json(req.ctx, 201, "lost") end)
      cannot_wait("res:inform", function() res:inform(req.ctx, 103) end)
      cannot_wait("http.error", function() http.error(res, 500, "lost") end)
      assert.same({ 200, false, false, 0 }, { res.status, res.sent, res.finished, res.bytes })
      return res:finish(req.ctx, req:body())
    end, function(client, b)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
      local answer = client:answer()
      assert.same({}, b.errors)
      assert.same({ 200, "abc" }, { answer.status, answer.body })
    end)
  end)

  it("no write into the buffer of http.timeout does", function()
    bed.with(http.chain(function(req, res)
      cannot_wait("res:write", function() res:write(req.ctx, "lost") end)
      cannot_wait("res:write", function() res:finish(req.ctx, "lost") end)
      cannot_wait("res:json", function() res:json(req.ctx, 201, "lost") end)
      return res:finish(req.ctx, "kept")
    end, http.timeout(60000)), function(client, b)
      local answer = client:get()
      assert.same({}, b.errors)
      assert.same({ 200, "kept" }, { answer.status, answer.body })
    end)
  end)
end)

describe("what is checked is what is used:", function()
  it("ports and descriptors that are written as floats", function()
    ctx.run(function()
      local server <close> = http.server { handler = print, max_headers = 10.0, max_head = 1000.0 }
      assert.equal("integer", math.type(server.limits.max_headers))
      assert(server:listen("127.0.0.1", 0.0))
      assert(server:listen { host = "127.0.0.1", port = 0.0, backlog = 5.0 })
      local fds = assert(luv.socketpair())
      local other <close> = http.server { handler = print }
      -- That it is not a listening socket is the system's to say.
      pcall(function() return other:listen { fd = fds[1] + 0.0 } end)
      raises(function() server:listen("127.0.0.1", 80.5) end, "port")
      raises(function() server:listen("127.0.0.1") end, "port")
      raises(function() server:listen("127.0.0.1", "80") end, "port")
      raises(function() server:listen { fd = 1.5 } end, "fd")
      raises(function() server:listen { fd = -1 } end, "fd")
      raises(function() server:listen { host = "a\0b", port = 1 } end, "host")
      raises(function() server:listen {} end, "where")
      raises(function() server:listen(5) end, "where")
      luv.fs_close(fds[2])
    end)
  end)

  it("the arguments of http.error, http.timeout, http.chain and http.request_id", function()
    bed.with(function(req, res)
      raises(function() http.error(res) end, "#2 to 'error' (status: ")
      raises(function() http.error(res, 99, "x") end, "#2 to 'error' (status: ")
      raises(function() http.error(res, 500) end, "#3 to 'error' (message: ")
      raises(function() http.error(res, 500, 5) end, "#3 to 'error' (message: ")
      raises(function() http.error(500, res, "x") end, "#1 to 'error' (res: ")
      raises(function() http.error({ bytes = 0 }, 500, "x") end, "#1 to 'error' (res: ")
      -- The former order: a program that still has it is told what to write.
      local told = "#2 to 'error' (status: the status comes before the message now: "
        .. "http.error(res, status, message))"
      raises(function() http.error(res, "x", 500) end, told)
      raises(function() http.error(res, "x") end, told)
      raises(function() http.error() end, "#1 to 'error' (res: ")
      return res:finish(req.ctx, "fine")
    end, function(client, b)
      assert.equal("fine", client:get().body)
      assert.same({}, b.errors)
    end)
    raises(function() http.timeout() end, "timeout")
    raises(function() http.timeout("5") end, "timeout")
    raises(function() http.timeout(0 / 0) end, "timeout")
    raises(function() http.timeout(5, {}) end, "#2 to 'timeout' (message: ")
    raises(function() http.chain(print, function() end) end, "#2 to 'chain' (middleware: ")
    raises(function() http.chain(print, 5) end, "#2 to 'chain' (middleware: ")
    for _, header in ipairs { "bad name", "", "a:b", "a\r\nb", 5, "Content-Length",
      "transfer-encoding",
      "Connection", "Date", "Set-Cookie", "Content-Type", "Keep-Alive" } do
      raises(function() http.request_id { header = header } end, "options.header: ")
    end
    raises(function() http.request_id { trust = 1 } end, "options.trust: ")
    raises(function() http.request_id(5) end, "options")
  end)

  it("a status and a length that are written as floats", function()
    bed.with(function(req, res)
      assert(res:inform(req.ctx, 103.0))
      res.status, res.headers["Content-Length"] = 201.0, 3.0
      res.headers["X-Part"] = 0.5
      return res:finish(req.ctx, "abc")
    end, function(client)
      assert.equal(103, client:get().status)
      local answer = client:answer()
      assert.same({ 201, "3", "0.5", "abc" }, { answer.status, answer.headers["content-length"],
        answer.headers["x-part"], answer.body })
    end)
  end)

  it("the methods of a router", function()
    local router = http.router()
    for _, method in ipairs { "", "a b", 5, "GET\r\n", "get", "BREW" } do
      raises(function() router:handle(method, "/", print) end, "#1 to 'handle' (method: ")
    end
    raises(function() router:not_found("x") end, "#1 to 'not_found' (handler: ")
  end)

  it("a stream", function()
    local server <close> = http.server { handler = print }
    for _, stream in ipairs { 5, {}, io.stdout, uv } do
      raises(function() server:serve_stream(stream) end, "#1 to 'serve_stream' (stream: ")
    end
  end)
end)
