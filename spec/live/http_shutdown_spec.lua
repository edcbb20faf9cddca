-- SPDX-License-Identifier: MIT
--- A server told to stop by SIGTERM while it is under load: every request that
--- it has accepted is answered.
local deafens = require "spec.support.deafens"
local load = require "spec.support.load"
local uv = require "ctx.uv"
local web = require "spec.support.web"

-- Loads the server until it is told to stop, and says what it had.
local function wrk(c, port)
  local running = assert(uv.start(c, "wrk", { stdout = "pipe",
    args = { "-t", "2", "-c", "200", "-d", "300s", ("http://127.0.0.1:%d/"):format(port) } }))
  return running, function()
    running:kill "sigint"
    local parts = {}
    for part in function() return (running.stdout:read(c)) end do
      parts[#parts + 1] = part
    end
    return table.concat(parts)
  end
end

describe("a server under load", function()
  it("answers what it has accepted, says wrk with 200 connections", function()
    web.with_service({}, function(c, p, port)
      local running <close>, stop = wrk(c, port)
      local asked, busy = 0
      repeat
        asked = asked + 1
        local stream <close> = web.connect(c, port, "GET /stats HTTP/1.0\r\n\r\n")
        local _, text = web.response(c, stream)
        busy = tonumber(text:match("connections=(%d+)")) > 200
      until busy
      p:kill "sigterm"
      assert.same({ 0, 0 }, { p:wait(c) }, p.output)
      local output = stop()
      assert.is_true(running:wait(c) ~= nil)
      assert.is_nil(output:find("Non-2xx", 1, true), output)
      -- Once nobody listens any more, its connections fail; wrk says that of the write, if it has
      -- tried meanwhile.
      local read, timeout = output:match("connect %d+, read (%d+), write %d+, timeout (%d+)")
      assert.same({ "0", "0" }, { read or "0", timeout or "0" }, output)
      local answered = tonumber(output:match("(%d+) requests in "))
      assert.equal(answered + asked, tonumber(p.output:match("served=(%d+)")), output)
    end)
  end)

  it("answers what it has accepted, on new and old connections, fast and slow", function()
    web.with_service({}, function(c, p, port)
      local load_on = load.start(c, port, {
        { n = 50, path = "/", keep_alive = true },
        { n = 20, path = "/slow?ms=50", keep_alive = true },
        { n = 20, path = "/", keep_alive = false },
      })
      load_on:wait_for(c, 1000)
      p:kill "sigterm"
      load_on:wait(c)
      for _, lost in ipairs(load_on.lost) do
        local reset = lost:find(": nil, read: ECONNRESET", 1, true)
        assert.is_true(load_on.late or reset and not deafens(), lost)
      end
      assert.equal(90, load_on.refused) -- a client that has lost a request asks again
      assert.same({ 0, 0 }, { p:wait(c) }, p.output)
      assert.equal(load_on.answered, tonumber(p.output:match("served=(%d+)")))
    end)
  end)

  it("ends its drain at the deadline when a handler does not end, and says what it cut", function()
    web.with_service({ "drain=500" }, function(c, p, port)
      local stuck = web.connect(c, port, "GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
      p:expect(c, "stuck")
      local load_on = load.start(c, port, { { n = 30, path = "/", keep_alive = true } })
      load_on:wait_for(c, 100)
      p:kill "sigterm"
      load_on:wait(c)
      assert.same({}, load_on.late and {} or load_on.lost)
      assert.is_nil((web.response(c, stuck)))
      stuck:close()
      assert.same({ 1, 0 }, { p:wait(c) }, p.output)
      assert.truthy(p.output:find("shutdown: shutdown: 1 requests on 1 connections were cut: "
        .. "context deadline exceeded served=%d+ cut=1\n"), p.output)
    end)
  end)
end)
