-- SPDX-License-Identifier: MIT
-- Mistakes of handlers. A text that was returned was answered by an empty 200; the report of
-- `return res:finish("hello")`, a tail call, held lines of the library only; what ran out of memory
-- was reported as "nil"; and an on_error that failed took the handler's error with it.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local reports = require "spec.support.reports"

local FILE = "spec/http_defects_spec.lua"

local function here()
  return debug.getinfo(2, "l").currentline
end

--- Where the function is defined, as reports name it.
local function place(fn)
  local info = debug.getinfo(fn, "S")
  return ("%s:%d"):format(info.short_src, info.linedefined)
end

describe("a handler that returns", function()
  local function returns(...)
    local results = table.pack(...)
    local status, body, err, where
    bed.with(function() return table.unpack(results, 1, results.n) end, function(client, b)
      local answer = client:get()
      status, body = answer.status, answer.body
      err, where = b.errors[1] and tostring(b.errors[1].err), b.errors[1] and b.errors[1].where
      assert.truthy(client:get()) -- the connection goes on
    end)
    return status, body, err, where
  end

  it("a text, or anything but nil, true, false and an error, is told, and answers 500", function()
    for _, case in ipairs { { "hello", 'the text "hello"' }, { "", 'the text ""' }, { 200,
      "a number" },
      { {}, "a table" }, { print, "a function" }, { ctx.background(), "a ctx.Context" },
      { io.stdout, "a FILE*" }, { "a\r\nb", 'the text "a  b"' }, { ("x"):rep(99), "the text" } } do
      local status, body, err, where = returns(case[1])
      assert.same({ 500, "Internal Server Error\n" }, { status, body })
      assert.truthy(err:find("the handler returned " .. case[2], 1, true), err)
      assert.truthy(where:find("^GET /, .*spec/support/http.lua:%d+$"), where)
    end
  end)

  it("nothing, nil, true or false has answered, or answers with nothing", function()
    for _, case in ipairs { {}, { nil }, { true }, { false } } do
      local status, body, err = returns(table.unpack(case))
      assert.same({ 200, "" }, { status, body })
      assert.is_nil(err)
    end
    assert.equal(200, (returns(true, "ignored")))
  end)

  it("an error object, alone or behind nil, fails with it", function()
    assert.equal(404, (returns(http.failure(404))))
    assert.equal(404, (returns(nil, http.failure(404))))
    assert.equal(404, (returns(errors.wrap(http.failure(404), "shop"))))
    local status, _, err = returns(errors.new("oops"))
    assert.same({ 500, "oops" }, { status, err })
    status, _, err = returns(nil, "oops")
    assert.same({ 500, "oops" }, { status, err })
  end)

  it("a text behind its answer has answered, and is told", function()
    bed.with(function(req, res)
      res:finish(req.ctx, "hello")
      return "hello"
    end, function(client, b)
      assert.same({ 200, "hello" }, { client:get().status, client:get().body })
      assert.equal(2, #b.errors)
    end)
  end)

  it("a text through middlewares is told, too", function()
    for _, around in ipairs { http.timeout(60000), http.request_id() } do
      local line = here() + 1
      bed.run({ handler = http.chain(function() return "hello" end, around) }, function(b)
        local client <close> = b:connect()
        assert.equal(500, client:get().status)
        assert.equal(("GET /, %s:%d"):format(FILE, line), b.errors[1].where)
      end)
    end
  end)
end)

describe("a report of a defect", function()
  it("ends with the place of the handler and the pattern", function()
    local function handler(_, res)
      return res:finish("hello")
    end
    local routes = http.router()
    routes:get("/users/{id}", handler)
    routes:get("/chain", http.chain(handler, http.request_id(), function(next)
      return function(req, res) return next(req, res) end
    end))
    routes:not_found(handler)
    local list = reports(function()
      local server <close> = http.server { handler = http.chain(routes:handler(),
        http.timeout(60000)) }
      ctx.run(function(root)
        assert(server:listen("127.0.0.1", 0))
        ctx.go(server.serve, server, root)
        local url = ("http://127.0.0.1:%d"):format(server:address().port)
        for _, path in ipairs { "/users/7", "/chain", "/none" } do
          assert.equal(500, assert(http.get(root, url .. path)).status)
        end
        server:close()
      end)
    end)
    for i, where in ipairs { "/users/{id}", "/chain", "/none" } do
      local message = list[i].message
      assert.truthy(message:find("^ctx%.http: GET /"), message)
      local last = message:match("[^\n]*$")
      assert.equal(("in the handler of GET %s, %s"):format(where, place(handler)), last)
    end
    assert.equal(3, #list)
  end)

  it("names no line where nobody knows the handler", function()
    local list = reports(function()
      ctx.run(function(root)
        local routes = http.router()
        local server <close> = http.server { handler = http.chain(routes:handler(), function()
          return function() error("oops", 0) end -- before any route is found
        end) }
        assert(server:listen("127.0.0.1", 0))
        ctx.go(server.serve, server, root)
        local url = ("http://127.0.0.1:%d/x"):format(server:address().port)
        assert.equal(500, assert(http.get(root, url)).status)
      end)
    end)
    assert.equal("in the handler of GET /x", list[1].message:match("[^\n]*$"))
  end)

  it("knows handlers that are objects", function()
    local object = setmetatable({}, { __call = function() error("oops", 0) end })
    bed.run({ handler = object }, function(b)
      local client <close> = b:connect()
      assert.equal(500, client:get().status)
      assert.equal("GET /, " .. place(getmetatable(object).__call), b.errors[1].where)
    end)
  end)

  it("of memory that ran out has its name", function()
    bed.with(function() error("not enough memory", 0) end, function(client, b)
      assert.equal(500, client:get().status)
      assert.equal("not enough memory", b.errors[1].err)
    end)
    bed.with(function() return ("x"):rep(1 << 60) end, function(client, b)
      assert.equal(500, client:get().status)
      assert.truthy(tostring(b.errors[1].err):find("[^%s]"))
    end)
  end)

  -- debug.traceback alone took seconds on such a stack, in which the loop stood still.
  it("of a stack that overflowed is short", function()
    local function deep(n) return 1 + deep(n + 1) end
    bed.with(function() return deep(1) end, function(client, b)
      assert.equal(500, client:get().status)
      assert.truthy(tostring(b.errors[1].err):find("stack overflow", 1, true))
      local _, lines = b.errors[1].trace:gsub("\n", "\n")
      assert.is_true(lines < 45)
    end)
  end)
end)

-- Cause: nothing behind a wait runs in a coroutine that a stranger closes, so its client waited for
-- ever, and so did a shutdown. Cure: a <close> variable of the exchange ends the connection.
describe("an exchange whose coroutine is closed by a stranger", function()
  --- Closes the coroutine of the task that called, once that waits.
  local function close_me(c)
    local co = coroutine.running()
    ctx.go(function() coroutine.close(co) end)
    ctx.sleep(c, math.huge)
  end

  local function check(options, target)
    local list = reports(function()
      options.max_requests = 1
      bed.run(options, function(b)
        for _ = 1, 2 do
          local client <close> = b:connect()
          client:send("GET " .. target .. " HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\n"
            .. "Host: h\r\n\r\n")
          assert.equal("", (client:rest()))
          b:wait_empty()
          assert.equal(0, b.server:stats().requests)
        end
        assert(b.server:shutdown(b.c))
      end)
    end)
    assert.equal(2, #list)
    assert.truthy(list[1].message:find("closed", 1, true), list[1].message)
  end

  it("ends its connection", function()
    check({ handler = function(req) close_me(req.ctx) end }, "/")
  end)

  it("ends its connection in the midst of failure, too", function()
    check({ handler = function() error("oops", 0) end, on_error = function() end,
      failure = function(_, res) close_me(res.ctx) end }, "/")
    check({ handler = function() end, failure = function(_, res) close_me(res.ctx) end },
      "http:///")
  end)

  it("leaves a connection that was hijacked to its owner", function()
    local seen
    reports(function()
      bed.with(function(req)
        seen = req:hijack()
        close_me(req.ctx)
      end, function(client, b)
        client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        b:wait_until(function() return seen and b.server:stats().requests == 0 end)
        assert(seen:write(b.c, "mine\n"))
        assert.equal("mine", client.stream:read_line(b.c))
        seen:close()
      end)
    end)
  end)
end)

describe("what the program's callbacks raise", function()
  it("replaces neither the handler's error nor the answer", function()
    local list = reports(function()
      bed.run({ handler = function() error("oops", 0) end, on_error = function() error("worse",
        0) end,
        access_log = function() error("log", 0) end }, function(b)
        local client <close> = b:connect()
        assert.equal(500, client:get("/a").status)
        assert.equal(500, client:get("/a").status)
      end)
    end)
    assert.truthy(list[1].message:find("^ctx%.http: GET /a: oops\n"))
    assert.truthy(list[2].message:find("worse", 1, true))
    assert.truthy(list[3].message:find("log", 1, true))
  end)

  it("may be nothing at all", function()
    local list = reports(function()
      bed.run({ handler = function() error() end, on_error = function() error() end,
        access_log = function() error() end }, function(b)
        local client <close> = b:connect()
        assert.equal(500, client:get("/a").status)
        assert.equal(500, client:get("/a").status)
      end)
    end)
    assert.is_true(#list >= 5)
  end)
end)

describe("http.failure", function()
  it("says its name once", function()
    assert.equal("502 Bad Gateway", tostring(http.failure(502)))
    assert.equal("502 Bad Gateway: refused", tostring(http.failure(502, nil, "refused")))
    assert.equal("502 Bad Gateway: no stock: refused", tostring(http.failure(502, "no stock",
      "refused")))
    assert.equal("599 failed", tostring(http.failure(599)))
    assert.equal("599 odd", tostring(http.failure(599.0, "odd")))
  end)
end)
