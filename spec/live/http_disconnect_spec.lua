-- SPDX-License-Identifier: MIT
--- What becomes of a request's work when its client leaves: wherever the handler is,
--- and however the client goes.
local client = require "ctx.http.client"
local ctx = require "ctx"
local descriptors = require "spec.support.descriptors"
local errors = require "ctx.errors"
local http = require "ctx.http"
local luv = require "luv"
local process = require "spec.support.process"
local web = require "spec.support.web"

local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

--- What is observed of one request: what its handler did, and in which turn of the loop.
local function watch(port)
  return { turn = 0, port = port, reads = 0 }
end

--- Counts the loop's turns, and notes the one in which the context ended.
local function count_turns(seen)
  local check = luv.new_check()
  check:start(function()
    seen.turn = seen.turn + 1
    if seen.ctx and not seen.noticed and seen.ctx:done() then
      seen.noticed = seen.turn
    end
  end)
  check:unref()
  return check
end

-- Each waits for ever, unless something ends it.
local places = {
  {
    name = "parked in a sleep",
    text = [["GET / HTTP/1.1\r\nHost: x\r\n\r\n"]],
    work = function(_, c)
      return ctx.sleep(c, math.huge)
    end,
  },
  {
    name = "in a downstream call",
    text = [["GET / HTTP/1.1\r\nHost: x\r\n\r\n"]],
    work = function(seen, c)
      local own <close> = client.new()
      return own:get(c, ("http://127.0.0.1:%d/downstream"):format(seen.port))
    end,
    parked = function(seen) return seen.downstream end,
    after = function(c, seen)
      web.wait_for(c, function() return seen.downstream:done() end)
      assert.is_true(errors.is(seen.downstream:cause(), http.client_gone))
    end,
  },
  {
    name = "reading the body",
    text = [["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n0123456789"]],
    work = function(seen, c, req)
      local chunk, err
      repeat
        chunk, err = req:read(c)
        seen.reads = seen.reads + 1
      until not chunk
      return nil, err
    end,
    parked = function(seen) return seen.reads == 1 end,
  },
  {
    name = "writing into a full socket",
    text = [["GET / HTTP/1.1\r\nHost: x\r\n\r\n"]],
    work = function(_, c, _, res)
      local ok, err
      repeat
        ok, err = res:write(c, ("x"):rep(100000))
      until not ok
      return nil, err
    end,
    parked = function(_, handle) return handle:get_write_queue_size() > 0 end,
  },
  {
    name = "with a pipelined request waiting",
    text = [[("GET / HTTP/1.1\r\nHost: x\r\n\r\n"):rep(2)]],
    work = function(_, c)
      return ctx.sleep(c, math.huge)
    end,
  },
  {
    name = "with pipelined requests waiting, more than are kept",
    text = [[("GET / HTTP/1.1\r\nHost: x\r\n\r\n"):rep(4000)]],
    work = function(_, c)
      return ctx.sleep(c, math.huge)
    end,
    parked = function(_, _, conn) return not conn.transport.reading end,
  },
  {
    name = "with more of the body unread than is kept",
    text = [["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n" .. ("x"):rep(140000)]],
    work = function(_, c)
      return ctx.sleep(c, math.huge)
    end,
    parked = function(_, _, conn) return not conn.transport.reading end,
  },
}

local function by_hand(leave)
  return function(c, port, text)
    local stream = web.connect(c, port, load("return " .. text)())
    return function()
      leave(c, stream)
      return stream
    end
  end
end

-- Each connects and sends a text, and returns a function that leaves.
local ways = {
  { name = "closes the connection", by_hand(function(_, stream) stream:close() end) },
  { name = "closes its half of it", by_hand(function(c, stream) assert(stream:finish(c)) end) },
  { name = "resets it", by_hand(function(_, stream) web.reset(stream) end) },
  { name = "is killed", function(c, port, text)
    local peer = process.lua(here .. "/../support/http_peer.lua", tostring(port), text)
    peer:expect(c, "sent")
    return function()
      peer:kill "sigkill"
      peer:wait(c)
    end
  end },
}

--- The handler of a spec: runs the work of a place, and writes down how it ended.
local function handler(place, seen)
  return function(req, res)
    if req.path == "/downstream" then
      seen.downstream = req.ctx
      return req.ctx:wait()
    end
    seen.begun = (seen.begun or 0) + 1
    seen.ctx = req.ctx
    local _, err = place.work(seen, req.ctx, req, res)
    seen.ended, seen.err, seen.cause = seen.turn, err, req.ctx:cause()
    return nil, err
  end
end

--- Waits until the handler is where the place says.
local function until_parked(c, server, place, seen)
  web.wait_for(c, function()
    local conn = server._connections[1]
    return seen.ctx
      and (not place.parked or place.parked(seen, conn.transport.stream:handle(), conn))
  end)
  assert(ctx.sleep(c, 0))
  assert.is_nil(seen.ended, tostring(seen.err))
end

for _, place in ipairs(places) do
  for _, way in ipairs(ways) do
    describe(("a handler %s, whose client %s,"):format(place.name, way.name), function()
      it("ends within one turn of its noticing, and leaves nothing", function()
        local seen = watch()
        web.run(handler(place, seen), function(c, port, server)
          seen.port = port
          local turns = count_turns(seen)
          local before = descriptors()
          local leave = way[1](c, port, place.text)
          until_parked(c, server, place, seen)
          local stream = leave()
          web.wait_for(c, function() return seen.ended end)
          assert.is_true(seen.ended - seen.noticed <= 1,
            ("noticed in turn %d, ended in %d"):format(seen.noticed, seen.ended))
          assert.is_true(errors.is(seen.cause, http.client_gone)
            or errors.is(seen.cause, http.write_failed), tostring(seen.cause))
          assert.truthy(seen.err)
          assert.equal(1, seen.begun)
          if place.after then
            place.after(c, seen)
          end
          if stream then
            stream:close()
          end
          web.wait_for(c, function() return server:stats().connections == 0 end)
          web.wait_for(c, function() return descriptors() == before end)
          turns:close()
        end)
      end)
    end)
  end
end

describe("a handler whose client stays", function()
  -- Go, and Node, take what comes during a request for a reason to stop, or do not look at all.
  it("is not disturbed by pipelined requests, however many, and each is answered", function()
    local n, go_on = 0, nil
    web.run(function(req, res)
      n = n + 1
      if n == 1 then
        ctx.await(req.ctx, function(resolve) go_on = resolve end)
      end
      return res:finish(req.ctx, req.query.n)
    end, function(c, port, server)
      local texts = {}
      for i = 1, 3000 do
        texts[i] = ("GET /?n=%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(i)
      end
      local stream <close> = web.connect(c, port)
      local writing = ctx.go(stream.write, stream, c, table.concat(texts))
      web.wait_for(c, function()
        local conn = server._connections[1]
        return go_on and not conn.transport.reading
      end)
      assert.equal(1, n)
      go_on(true)
      for i = 1, 3000 do
        local status, body = web.response(c, stream)
        assert.same({ 200, tostring(i) }, { status, body })
      end
      assert(writing:wait(c))
    end)
  end)

  it("can read all of a body that it left lying for long", function()
    local go_on
    web.run(function(req, res)
      ctx.await(req.ctx, function(resolve) go_on = resolve end)
      return res:finish(req.ctx, tostring(#assert(req:body())))
    end, function(c, port, server)
      local stream <close> = web.connect(c, port,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
      local writing = ctx.go(stream.write, stream, c, ("x"):rep(1000000))
      web.wait_for(c, function()
        local conn = server._connections[1]
        return go_on and not conn.transport.reading
      end)
      go_on(true)
      local status, body = web.response(c, stream)
      assert.same({ 200, "1000000" }, { status, body })
      assert(writing:wait(c))
    end)
  end)

  it("has its own time: the read timeout is for the client", function()
    web.run({ read_timeout = 10, handler = function(req, res)
      req:body()
      assert(ctx.sleep(req.ctx, 60))
      return res:finish(req.ctx, "done")
    end }, function(c, port)
      local stream <close> = web.connect(c, port,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok")
      local status, _, headers = web.response(c, stream)
      assert.same({ 200, nil }, { status, headers.connection })
    end)
  end)
end)
