-- SPDX-License-Identifier: MIT
-- Handlers that fail: what the client gets, and who is told.
local bed = require "spec.support.http"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local no_error = require "spec.support.no_error"
local reports = require "spec.support.reports"

local framing, with = bed.framing, bed.with

describe("a handler that fails", function()
  local object = setmetatable({}, { __tostring = function() return "an object" end })
  local ways = {
    raises = function() error("oops", 0) end,
    ["raises an object"] = function() error(object) end,
    ["raises nil"] = function() error(nil) end,
    ["returns nil and an error"] = function() return nil, "oops" end,
    ["returns false and an error"] = function() return false, object end,
  }
  for name, way in pairs(ways) do
    it(name .. " before the head: 500, a report, and the connection goes on", function()
      with(function(req, res)
        res.headers["X-Secret"] = "x"
        if req.path == "/fail" then
          return way()
        end
      end, function(client, b)
        for i = 1, 2 do
          local answer = client:get("/fail")
          assert.same({ 500, "Internal Server Error\n" }, { answer.status, answer.body })
          assert.is_nil(answer.headers["x-secret"])
          assert.equal(i, #b.errors)
          assert.equal("/fail", b.errors[i].req.path)
          assert.equal(name:find("^raises") ~= nil, b.errors[i].trace ~= nil)
        end
        assert.equal(200, client:get().status)
      end)
    end)
  end

  it("in the middle of the body: the connection ends, for all the client can see", function()
    with(function(req, res)
      res:write(req.ctx, "half")
      error("oops", 0)
    end, function(client, b)
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      local rest = client:rest()
      assert.truthy(rest:find("\r\n\r\n4\r\nhalf\r\n$"))
      assert.equal("oops", b.errors[1].err)
    end)
  end)

  it("behind the end: a report, and the connection goes on", function()
    with(function(req, res)
      res:finish(req.ctx, "whole")
      error("oops", 0)
    end, function(client, b)
      assert.equal("whole", client:get().body)
      assert.equal("whole", client:get().body)
      b:wait_until(function() return #b.errors == 2 end)
    end)
  end)

  it("with a status of its own, however deep: that, and no report", function()
    with(function(req)
      local failure = http.failure(404, "no such product", "sql: no rows")
      if req.path == "/raise" then
        error(errors.wrap(failure, "find"))
      end
      return nil, errors.wrap(failure, "find")
    end, function(client, b)
      for _, path in ipairs { "/", "/raise" } do
        local answer = client:get(path)
        assert.same({ 404, "no such product\n" }, { answer.status, answer.body })
        assert.same({ "text/plain; charset=utf-8", "nosniff" },
          { answer.headers["content-type"], answer.headers["x-content-type-options"] })
      end
      assert.equal(0, #b.errors)
      assert.equal("find: 404 Not Found: no such product: sql: no rows", b.records[1].error)
    end)
  end)

  it("with http.abort: the connection is cut, and nobody says why", function()
    with(function(req, res)
      if req.path == "/half" then
        res:write(req.ctx, "half")
      end
      error(http.abort)
    end, function(client, b)
      client:send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.truthy(client:rest():find("half\r\n$"))
      local other <close> = b:connect()
      other:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      assert.equal("", other:rest())
      assert.equal(0, #b.errors)
    end)
  end)

  it("of its deadline: 503, and no report", function()
    bed.run({ request_timeout = 100, handler = function(req)
      return ctx.sleep(req.ctx, 1000)
    end }, function(b)
      local client <close> = b:connect()
      client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
      client:settle()
      b.clock:advance(100)
      assert.equal(503, client:answer().status)
      assert.equal(0, #b.errors)
      assert.equal(tostring(http.request_timeout), b.records[1].cause)
    end, true)
  end)

  -- The client got a 200 with nothing, or half a body with its end.
  it("to look whether its answer came in time: the client is not told that this was all", function()
    for _, path in ipairs { "/write", "/finish", "/half" } do
      bed.run({ request_timeout = 100, handler = function(req, res)
        if path == "/half" then
          assert(res:write(req.ctx, "half"))
        end
        ctx.sleep(req.ctx, 1000)
        res[path == "/finish" and "finish" or "write"](res, req.ctx, "page")
      end }, function(b)
        local client <close> = b:connect()
        client:send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        b:wait_until(function() return b.server:stats().requests == 1 end)
        client:settle()
        b.clock:advance(100)
        if path == "/half" then
          assert.truthy(client:rest():find("\r\n4\r\nhalf\r\n$"))
        else
          assert.equal(503, client:answer().status)
        end
        assert.truthy(b.records[1].error:find("context deadline exceeded", 1, true))
        assert.equal(0, #b.errors)
      end, true)
    end
  end)

  it("to write under a context of its own has not failed", function()
    with(function(req, res)
      local c, cancel <close> = ctx.with_cancel(req.ctx)
      if req.path == "/half" then
        res:write(req.ctx, "half")
      end
      cancel("enough")
      res:write(c, "event")
    end, function(client, b)
      assert.equal("", client:get().body)
      assert.equal("half", client:get("/half").body)
      assert.same({}, b.errors)
    end)
  end)

  it("under http.timeout has raised, as by itself: nil, too, and with where it did", function()
    local way
    local function deep()
      error("deep", 0)
    end
    with(http.chain(function() way() end, http.timeout(60000)), function(client, b)
      way = function() error(nil) end
      assert.equal(500, client:get().status)
      assert.is_true(no_error(b.errors[1].err))
      way = deep
      assert.equal(500, client:get().status)
      assert.truthy(b.errors[2].trace:find("in upvalue 'deep'") or
        b.errors[2].trace:find("in upvalue 'way'"))
    end)
  end)

  it("cannot write lines into the report by its path", function()
    local list = reports(function()
      with(function() error("oops", 0) end, function(client, b)
        b.server._on_error = nil
        client:get("/a%0Actx:%20forged%1b[31m")
      end)
    end)
    assert.truthy(list[1].message:find("^ctx%.http: GET /a%%0Actx:%%20forged%%1b%[31m: oops\n"))
  end)

  it("with what cannot be printed costs neither its answer nor its line in the log", function()
    local mute = setmetatable({}, { __tostring = function() error "no" end })
    local list = reports(function()
      with(function() error(mute) end, function(client, b)
        b.server._on_error = nil
        assert.equal(500, client:get().status)
        assert.equal(500, client:get().status)
        assert.equal("(an error object that cannot be printed)", b.records[1].error)
      end)
    end)
    assert.truthy(list[1].message:find("cannot be printed", 1, true))
  end)

  it("is reported where nobody asked for it, also when the one who asked fails", function()
    for _, on_error in ipairs { false, function() error("worse", 0) end } do
      local list = reports(function()
        bed.run({ on_error = on_error or nil, handler = function() error("oops", 0) end,
          access_log = on_error and function() error("log", 0) end or nil }, function(b)
          if not on_error then
            b.server._on_error = nil
          end
          local client <close> = b:connect()
          assert.equal(500, client:get("/path").status)
          assert.equal(500, client:get("/path").status)
        end)
      end)
      local text = list[1].message
      assert.truthy(text:find("^ctx%.http: GET /path: oops\n"), text)
      if on_error then
        assert.truthy(list[2].message:find("^ctx%.http: on_error failed: worse\n"))
        assert.truthy(list[3].message:find("^http: access_log failed: log\n"), list[3].message)
      end
    end
  end)
end)

describe("http.failure", function()
  -- With anything else the connection was closed, and nobody was told.
  it("takes a status and a text", function()
    for _, case in ipairs {
      { 99, "x", "#1 to 'failure' (status: a status from 200 to 999 expected, got 99)" },
      { "404", "x", "#1 to 'failure' (status: " },
      { nil, nil, "#1 to 'failure' (status: " },
      { 404, { "x" }, "#2 to 'failure' (message: a string expected, got table)" },
    } do
      local ok, err = pcall(function() return { http.failure(case[1], case[2]) } end)
      assert.is_false(ok)
      assert.truthy(err:find("http_server_failures_spec.lua:", 1, true), err)
      assert.truthy(err:find("bad argument " .. case[3], 1, true), err)
    end
  end)
end)

describe("http.error", function()
  it("answers with a text, in place of what was set", function()
    with(function(_, res)
      res.status, res.headers = 201, { ["Content-Length"] = "99" }
      assert(http.error(res, 410, "gone"))
    end, function(client)
      local answer = client:get()
      assert.same({ 410, "gone\n", "5" }, { answer.status, answer.body, framing(answer) })
    end)
  end)

  -- Its text became a part of the body.
  it("is an error when the response has begun", function()
    for _, around in ipairs { { }, { http.timeout(60000) } } do
      local err
      with(http.chain(function(req, res)
        res:write(req.ctx, "half")
        err = select(2, http.error(res, 500, "broken"))
      end, table.unpack(around)), function(client)
        local answer = client:get()
        assert.same({ 200, "half" }, { answer.status, answer.body })
        assert.equal("error: the response has begun", tostring(err))
      end)
    end
  end)
end)
