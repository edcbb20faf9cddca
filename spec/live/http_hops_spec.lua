-- SPDX-License-Identifier: MIT
--- A request over three real processes, A to B to C: one deadline, one trace, one end. The exact
--- arithmetic is tested by a hand-moved clock.
local ctx = require "ctx"
local http = require "ctx.http"
local process = require "spec.support.process"
local propagate = require "ctx.propagate"
local testing = require "ctx.testing"
local web = require "spec.support.web"

local LIMIT_MS = 200000
local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

local function hop(c, ...)
  local p = process.lua(here .. "/../support/hop.lua", ...)
  p:expect(c, "/\n")
  return p, p.output:match("http://%S+")
end

--- Runs fn(c, url of A, processes by name); each works for that long, and C with 0 for ever.
local function with_chain(ms, fn)
  testing.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, LIMIT_MS)
    local processes, url = {}, nil
    local function kill()
      for _, p in pairs(processes) do
        p:kill "sigkill"
      end
    end
    do
      local _ <close> = setmetatable({}, { __close = kill })
      for i, name in ipairs { "C", "B", "A" } do
        processes[name], url = hop(c, name, tostring(ms[i]), url)
      end
      fn(c, url, processes)
    end
    for _, p in pairs(processes) do
      p:wait(c)
    end
  end, { real = true })
end

local function number(p, pattern)
  return tonumber(p.output:match(pattern)) or error(pattern .. " is not in:\n" .. p.output)
end

local function connect(c, url)
  return web.connect(c, tonumber(url:match(":(%d+)/")), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
end

--- The ids of one of a service's two spans.
local function span(p, name)
  local id, parent, trace = p.output:match(name .. " id=(%x+) parent=(%w+) trace=(%x+)")
  return { id = id, parent = parent, trace = trace }
end

local TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

describe("three services in processes of their own", function()
  it("have what A's caller gave it, less what was spent, and one trace", function()
    with_chain({ 1, 1, 200 }, function(c, url, p)
      local response = assert(http.get(c, url, { propagate = false, headers = {
        ["grpc-timeout"] = "50S", traceparent = ("00-%s-%s-01"):format(TRACE, CALLER),
      } }))
      assert.equal("from C", response.body)
      for _, name in ipairs { "A", "B", "C" } do
        p[name]:expect(c, "server id=")
      end
      local a_got, a_sends = number(p.A, "got left=(%S+)"), number(p.A, "sends left=(%S+)")
      local b_got, b_sends = number(p.B, "got left=(%S+)"), number(p.B, "sends left=(%S+)")
      local c_got = number(p.C, "got left=(%S+)")
      assert.is_true(a_got <= 50000 and a_sends <= a_got - 200, p.A.output)
      -- What the way takes is the callee's gain, so this holds however long it took.
      assert.is_true(b_got <= a_sends and b_sends <= b_got - 1, p.A.output .. p.B.output)
      assert.is_true(c_got <= b_sends and c_got > 0, p.B.output .. p.C.output)
      assert.equal("50S", p.A.output:match("header=(%S+)"))
      assert.is_true(number(p.C, "header=(%d+)u") / 1000 <= b_sends)

      local callers = CALLER
      for _, name in ipairs { "A", "B", "C" } do
        local server, client = span(p[name], "server"), span(p[name], "client")
        assert.same({ TRACE, callers }, { server.trace, server.parent })
        if name ~= "C" then
          assert.same({ TRACE, server.id }, { client.trace, client.parent })
        end
        callers = client.id
      end
    end)
  end)

  it("stop working, all of them, when the client of A leaves", function()
    with_chain({ 0, 0, 0 }, function(c, url, p)
      local client = connect(c, url)
      p.C:expect(c, "got left=")
      client:close()
      for _, name in ipairs { "A", "B", "C" } do
        p[name]:expect(c, "ended cause=the client has gone")
      end
    end)
  end)

  it("stop when A is killed", function()
    with_chain({ 0, 0, 0 }, function(c, url, p)
      local _ <close> = connect(c, url)
      p.C:expect(c, "got left=")
      p.A:kill "sigkill"
      p.B:expect(c, "ended cause=the client has gone")
      p.C:expect(c, "ended cause=the client has gone")
    end)
  end)

  it("stop at the deadline of A's caller", function()
    with_chain({ 0, 0, 0 }, function(c, url, p)
      local ms = 100
      repeat -- on a busy machine C may not have begun by then
        ms = ms * 2
        local limited, cancel <close> = ctx.with_timeout(c, ms)
        http.get(limited, url)
      until p.C.output:find("got left=", 1, true)
      for _, name in ipairs { "A", "B", "C" } do
        p[name]:expect(c, "ended cause=")
      end
      -- The caller leaves at the same time: that may be seen first.
      for _, name in ipairs { "A", "B", "C" } do
        local cause = p[name].output:match("ended cause=([^\n]+)")
        assert.truthy(cause == "context deadline exceeded" or cause == "the client has gone", cause)
      end
    end)
  end)
end)

describe("a chain of three under a hand-moved clock", function()
  local function serve(handler)
    local server = http.server { handler = handler }
    assert(server:listen("127.0.0.1", 0))
    ctx.go(server.serve, server, ctx.background())
    return server, ("http://127.0.0.1:%d/"):format(server:address().port)
  end

  it("leaves C exactly 1 s of 5 s, of which A has used 4", function()
    testing.run(function(root, clock)
      local left, header = {}, nil
      local c_server, c_url = serve(function(req, res)
        left.c, header = req.ctx:remaining(), req.headers["grpc-timeout"]
        return res:finish(req.ctx, "")
      end)
      local b_server, b_url = serve(function(req, res)
        left.b = req.ctx:remaining()
        return res:finish(req.ctx, assert(http.get(req.ctx, c_url)).body)
      end)
      local a_server, a_url = serve(function(req, res)
        left.a = req.ctx:remaining()
        clock:advance(4000)
        return res:finish(req.ctx, assert(http.get(req.ctx, b_url)).body)
      end)
      local c, cancel <close> = ctx.with_timeout(root, 5000)
      local response = assert(http.get(c, a_url))
      assert.equal(200, response.status)
      assert.same({ a = 5000, b = 1000, c = 1000 }, left)
      assert.equal(1000, propagate.deadline({ header = "x", unit = "grpc" }):decode(header))
      for _, server in ipairs { a_server, b_server, c_server } do
        server:close()
      end
    end)
  end)
end)
