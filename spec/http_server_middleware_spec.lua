-- SPDX-License-Identifier: MIT
-- What stands around handlers: the chain, request ids, time limits; and the lines that
-- the access log is made of.
local bed = require "spec.support.http"
local cjson = require "cjson"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local reports = require "spec.support.reports"
local timeout = require "ctx.http.server.timeout"

local function with(handler, fn, fake)
  return bed.with(handler, fn, nil, fake)
end

describe("http.chain", function()
  it("puts the first one outermost", function()
    local order = {}
    local function note(name)
      return function(next)
        return function(req, res)
          table.insert(order, name)
          return next(req, res)
        end
      end
    end
    with(http.chain(function() table.insert(order, "handler") end, note "a", note "b"),
      function(client)
        client:get()
        assert.same({ "a", "b", "handler" }, order)
      end)
  end)

  it("needs functions", function()
    assert.has_error(function() http.chain(5) end)
    assert.has_error(function() http.chain(print, print, 5) end)
  end)
end)

describe("http.request_id", function()
  local function ids(options, ...)
    local seen
    local fields = { ... }
    local answer
    with(http.chain(function(req) seen = http.request_id.of(req.ctx) end,
      http.request_id(options)), function(client)
      answer = client:get("/", table.unpack(fields))
    end)
    local echoed = answer.headers[(options and options.header or "x-request-id"):lower()]
    assert.equal(seen, echoed)
    return seen
  end

  local UUID = "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"

  it("makes one where there is none, each time another", function()
    local one, two = ids(), ids()
    assert.truthy(one:find(UUID))
    assert.truthy(two:find(UUID))
    assert.not_equal(one, two)
  end)

  it("takes over what is harmless, unless it is told not to", function()
    local good = "a.B_c-1~:/+="
    assert.equal(good, ids(nil, "X-Request-ID: " .. good))
    assert.equal(("x"):rep(128), ids(nil, "X-Request-ID: " .. ("x"):rep(128)))
    assert.equal(good, ids({ header = "X-Correlation" }, "x-correlation: " .. good))
    assert.truthy(ids({ trust = false }, "X-Request-ID: " .. good):find(UUID))
  end)

  it("knows its options", function()
    for _, options in ipairs { { trsut = false }, { trust = 0 }, { header = 5 }, 5 } do
      local ok, err = pcall(http.request_id, options)
      assert.is_false(ok)
      assert.truthy(err:find("bad argument #1 to 'request_id' (options", 1, true), err)
    end
  end)

  it("takes over nothing else", function()
    for _, bad in ipairs { "", ("x"):rep(129), "a b", 'a"b', "a\tb", "a;b", "<b>", "caf\xe9",
      "a\\b", "one, two", "${x}" } do
      assert.truthy(ids(nil, "X-Request-ID: " .. bad):find(UUID), bad)
    end
    assert.truthy(ids(nil, "X-Request-ID: a", "X-Request-ID: b"):find(UUID))
  end)
end)

describe("the id of a request", function()
  -- A failure's answer has its own headers: the id was missing where it is needed most.
  it("stands on the answers to failures, too", function()
    local router = http.router()
    router:get("/failure", function() return nil, http.failure(409) end)
    router:get("/defect", function() error("oops", 0) end)
    router:get("/error", function(_, res) return http.error(res, 400, "text") end)
    for _, around in ipairs { { http.request_id() }, { http.request_id(), http.timeout(60000) },
      { http.timeout(60000), http.request_id() } } do
      with(http.chain(router:handler(), table.unpack(around)), function(client)
        for path, status in pairs { failure = 409, defect = 500, error = 400, nowhere = 404 } do
          local answer = client:get("/" .. path, "X-Request-ID: " .. path)
          assert.same({ status, path }, { answer.status, answer.headers["x-request-id"] })
        end
      end)
    end
  end)
end)

describe("http.timeout", function()
  it("hands over what the handler wrote in time, as one piece", function()
    with(http.chain(function(req, res)
      res.status, res.headers["X-A"] = 201, "b"
      assert(res:write(req.ctx, "one "))
      assert(res:inform(req.ctx, 103))
      assert(res:finish(req.ctx, "two"))
      assert.is_nil((res:write(req.ctx, "three")))
    end, http.timeout(1000)), function(client)
      local answer = client:get()
      assert.same({ 201, "b", "7", "one two" }, { answer.status, answer.headers["x-a"],
        answer.headers["content-length"], answer.body })
    end)
  end)

  it("answers 503 at the deadline, drops what was written, and refuses what comes late", function()
    local late, cause, headers
    with(http.chain(function(req, res)
      res.status, res.headers.X = 201, "y"
      res:write(req.ctx, "lost")
      ctx.sleep(ctx.background(), 150)
      cause = req.ctx:cause()
      late = { res:write(ctx.background(), "x"), select(2, res:write(ctx.background(), "x")),
        select(2, res:finish(ctx.background())), select(2, res:inform(ctx.background(), 103)) }
    end, http.timeout(100, "too slow")), function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      client:settle()
      b.clock:advance(100)
      local answer = client:answer()
      headers = answer.headers
      assert.same({ 503, "too slow\n" }, { answer.status, answer.body })
      assert.is_nil(headers.x)
      b.clock:advance(50)
      assert.equal(http.request_timeout, cause)
      local expected = timeout.handler_timeout
      assert.same({ expected, expected, expected }, { late[2], late[3], late[4] })
      assert.same({}, b.errors)
      assert.equal(200, #b.records == 1 and 200)
    end, true)
  end)

  -- The handler's own write failed by its deadline, it returned that error, as all do, and the
  -- message was lost. What decides is the context, not what the task returned.
  for name, way in pairs {
    ["returns the error of its late write"] = function(req, res) return res:finish(req.ctx,
      "late") end,
    ["raises it"] = function(req, res) error(select(2, res:finish(req.ctx, "late"))) end,
    ["returns true"] = function() return true end,
    ["returns nothing"] = function() end,
    ["returns a failure"] = function() return nil, http.failure(418) end,
    ["has written under another context"] = function(_, res)
      return res:finish(ctx.background(), "late")
    end,
  } do
    it("answers for a handler that computed past its time and " .. name, function()
      with(http.chain(function(req, res)
        repeat until req.ctx:err()
        return way(req, res)
      end, http.timeout(5, "try again")), function(client, b)
        local answer = client:get()
        assert.same({ 503, "try again\n" }, { answer.status, answer.body })
        assert.same({}, b.errors)
        assert.equal(503, client:get().status) -- so the first one is in the log
        assert.truthy(b.records[1].error:find("503", 1, true))
      end)
    end)
  end

  -- Cause: the handler's task was only asked at the deadline, so what it raised later was a failed
  -- task's, and http.abort and failures counted as defects. Cure: one rule, whenever it raises.
  local LATE = {
    ["a message"] = { function() error("oops", 0) end, "oops" },
    ["an error"] = { function() error(errors.new("oops")) end, "oops" },
    ["a failure of status 500"] = { function() error(http.failure(500)) end,
      "500 Internal Server Error" },
    ["a failure of another status"] = { function() error(http.failure(418)) end },
    ["http.abort"] = { function() error(http.abort) end },
    ["the end of its context"] = { function(req) error(req.ctx:ended()) end },
    ["that it was answered for"] = { function(_, res)
      error(select(2, res:finish(ctx.background(), "late")) or timeout.handler_timeout)
    end },
  }
  for name, row in pairs(LATE) do
    for when, wait in pairs { ["at once"] = function(req) repeat until req.ctx:err() end,
      ["later"] = function() ctx.sleep(ctx.background(), 30) end } do
      it(("tells of defects alone: past its time, %s, %s is raised"):format(when, name), function()
        local list = reports(function()
          local over = false
          with(http.chain(function(req, res)
            wait(req)
            over = true
            row[1](req, res)
          end, http.timeout(5)), function(client, b)
            assert.equal(503, client:get().status)
            b:wait_until(function() return over and #b.errors == (row[2] and 1 or 0) end)
            client:settle()
            assert.equal(row[2], b.errors[1] and tostring(b.errors[1].err))
            assert.is_true(#b.errors < 2)
            assert.is_true(not row[2] or b.errors[1].where:find("^GET /,") ~= nil)
          end)
        end)
        assert.same({}, list)
      end)
    end
  end

  it("tells of what a handler raises past its time, and answers for it", function()
    with(http.chain(function(req)
      repeat until req.ctx:err()
      error("oops", 0)
    end, http.timeout(5, "try again")), function(client, b)
      local answer = client:get()
      assert.same({ 503, "try again\n" }, { answer.status, answer.body })
      assert.equal("oops", tostring(b.errors[1].err))
      assert.truthy(b.errors[1].trace)
      assert.equal(1, #b.errors)
    end)
  end)

  it("forwards failures", function()
    local way
    with(http.chain(function() return way() end, http.timeout(1000)), function(client, b)
      way = function() return nil, http.failure(404) end
      assert.equal(404, client:get().status)
      way = function() return false, http.failure(409) end
      assert.equal(409, client:get().status)
      way = function() error(http.failure(410)) end
      assert.equal(410, client:get().status)
      way = function() error("oops", 0) end
      assert.equal(500, client:get().status)
      assert.equal("oops", tostring(b.errors[1].err))
      way = function() error(http.abort) end
      assert.is_nil((client:get()))
      assert.equal(1, #b.errors)
    end)
  end)

  it("ends with the client", function()
    local cause
    with(http.chain(function(req)
      req.ctx:wait()
      cause = req.ctx:cause()
    end, http.timeout(60000)), function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      client:settle()
      client:close()
      b:wait_empty()
      b:wait_until(function() return cause end)
      assert.is_true(errors.is(cause, http.client_gone))
    end)
  end)

  -- The buffer takes all at once: a handler that writes on and on held the loop until its deadline.
  it("lets the server see, in the midst of many writes, that the client has gone", function()
    local MANY = 100000
    local writes, cause = 0, nil
    with(http.chain(function(req, res)
      while writes < MANY and res:write(req.ctx, "") do
        writes = writes + 1
      end
      cause = req.ctx:cause()
    end, http.timeout(60000)), function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      b:wait_until(function() return writes > 0 end)
      client:close()
      b:wait_until(function() return cause end)
      assert.is_true(errors.is(cause, http.client_gone))
    end)
  end)

  it("needs a time", function()
    assert.has_error(function() http.timeout("1s") end)
    assert.has_error(function() http.timeout(0 / 0) end)
  end)
end)

describe("lines of the access log", function()
  local HOSTILE = 'a"b\\c\nd\re\tf\0g\127h=i j\27[31m'

  it("are key=value, in quotes where that is needed", function()
    local line = http.logfmt { time = 1, method = "GET", path = HOSTILE, status = 200, bytes = 5,
      ms = 1.23456, remote = "::1", error = "" }
    assert.equal([[time=1 method=GET path="a\"b\\c\nd\re\tf\u0000g\u007fh=i j\u001b[31m" ]]
      .. [[status=200 bytes=5 ms=1.235 remote=::1 error=""]], line)
  end)

  it("are JSON", function()
    local of = { time = 1, method = "GET", path = HOSTILE, status = 200, bytes = 5, ms = 1.5,
      remote = "::1", left = 12.0, cause = "x" }
    assert.same(of, cjson.decode(http.json(of)))
    assert.is_nil(http.json(of):find("%c"))
  end)

  it("are UTF-8 in either shape, whatever the path is", function()
    for _, line in ipairs { http.logfmt { path = "/\xff" }, http.logfmt { path = "/ \xff" },
      http.json { path = "/\xff" } } do
      assert.truthy(utf8.len(line), line)
    end
    assert.equal("path=/é\u{fffd}", http.logfmt { path = "/é\xff" })
  end)

  it("are JSON for bytes that are no UTF-8, too", function()
    local decoded = cjson.decode(http.json { path = "/caf\xe9\xff", method = "GET" })
    assert.equal("GET", decoded.method)
    assert.equal("/caf\u{fffd}\u{fffd}", decoded.path)
    assert.equal("/café", cjson.decode(http.json { path = "/café" }).path)
  end)

  it("that the program cannot write cost no request", function()
    local list = reports(function()
      bed.run({ handler = function() end, access_log = function() error("disk full", 0) end },
        function(b)
          local client <close> = b:connect()
          assert.equal(200, client:get().status)
          assert.equal(200, client:get().status)
        end)
    end)
    assert.truthy(list[1].message:find("disk full", 1, true))
  end)
end)
