-- SPDX-License-Identifier: MIT
--- Peers that mean no good, or are ill: the server does what is written here, and serves the
--- others.
local ctx = require "ctx"
local process = require "spec.support.process"
local uv = require "ctx.uv"
local sockets = require "spec.support.sockets"
local web = require "spec.support.web"

local REQUEST = "GET %s HTTP/1.1\r\nHost: x\r\n\r\n"

--- One request on a connection of its own: the status and the body.
local function ask(c, port, path)
  local stream <close> = web.connect(c, port, REQUEST:format(path))
  return web.response(c, stream)
end

--- One of the server's numbers; nil while it has no time for that.
local function stats(c, port, name)
  local stream <close> = uv.connect(c, "127.0.0.1", port)
  local ok, status, text = pcall(function()
    assert(stream:write(c, REQUEST:format "/stats"))
    return web.response(c, stream)
  end)
  return ok and status == 200 and tonumber(text:match(name .. "=(%d+)")) or nil
end

--- Waits until the server has no connection but that which asks it.
local function until_alone(c, port)
  while stats(c, port, "connections") ~= 1 do
    assert(ctx.sleep(c, 10))
  end
end

local function count(list, value)
  local n = 0
  for _, each in ipairs(list) do
    n = n + (each == value and 1 or 0)
  end
  return n
end

describe("slow clients", function()
  it("that drip the head of a request are told 408 in time, and hold up nobody", function()
    web.with_service({ "read_header_timeout=400" }, function(c, _, port)
      local statuses, served = {}, 0
      local function drip(before)
        local stream <close> = web.connect(c, port, before)
        assert(before == "" or web.response(c, stream) == 200)
        stream:write(c, "GET / HTTP/1.1\r\nX-Drip: ")
        local reading = ctx.go(web.response, c, stream)
        repeat
          stream:write(c, "x")
          ctx.sleep(c, 20)
        until reading:status() ~= "waiting"
        local status = reading:wait(c) -- which may wait: no place in the list is known before
        statuses[#statuses + 1] = status
      end
      for i = 1, 300 do
        ctx.go(drip, i % 2 == 0 and "" or REQUEST:format "/")
      end
      while #statuses < 300 do
        assert.equal(200, (ask(c, port, "/")))
        served = served + 1
      end
      assert.equal(300, count(statuses, 408))
      assert.is_true(served > 0)
      until_alone(c, port)
    end)
  end)

  it("that say nothing at all are left", function()
    web.with_service({ "read_header_timeout=200" }, function(c, _, port)
      local streams = {}
      for i = 1, 100 do
        streams[i] = web.connect(c, port)
      end
      for _, stream in ipairs(streams) do
        assert.same({ nil, nil }, { stream:read(c) })
        stream:close()
      end
      until_alone(c, port)
    end)
  end)

  it("that drip the body are told 408", function()
    web.with_service({ "read_timeout=200" }, function(c, _, port)
      local stream <close> = web.connect(c, port,
        "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
      local status, _, headers = web.response(c, stream)
      assert.same({ 408, "close" }, { status, headers.connection })
      until_alone(c, port)
    end)
  end)
end)

describe("too many connections", function()
  it("20 000 over the limit are turned away, and those within go on", function()
    web.with_service({ "max_connections=50" }, function(c, p, port)
      local friends = {}
      for i = 1, 50 do
        friends[i] = web.connect(c, port, REQUEST:format "/")
        assert.equal(200, (web.response(c, friends[i])))
      end
      local floods = {}
      for i = 1, 2 do
        floods[i] = process.lua(web.here .. "/flood.lua", tostring(port), "10000")
      end
      for _, friend in ipairs(friends) do
        assert(friend:write(c, REQUEST:format "/"))
        assert.equal(200, (web.response(c, friend)))
      end
      for _, flood in ipairs(floods) do
        assert.equal(0, (flood:wait(c)), flood.output)
        assert.truthy(flood.output:find("over=10000 503=%d+ 200=0 closed=%d+ failed=0"),
          flood.output)
        assert.is_true(tonumber(flood.output:match("503=(%d+)")) > 0, flood.output)
      end
      local status, _, headers = ask(c, port, "/")
      assert.same({ 503, "1" }, { status, headers["retry-after"] })
      for _, friend in ipairs(friends) do
        assert(friend:write(c, REQUEST:format "/"))
        assert.equal(200, (web.response(c, friend)))
        friend:close()
      end
      until_alone(c, port)
      assert.is_nil(p.code)
    end)
  end)
end)

describe("a server without descriptors", function()
  it("turns others away, goes on serving whom it has, and serves again when it has some", function()
    web.with_service({}, function(c, p, port)
      local friend = web.connect(c, port, REQUEST:format "/")
      assert.equal(200, (web.response(c, friend)))
      local limit = stats(c, port, "descriptors") + 10
      local _, said, code = web.run_program(c, "prlimit", "--pid", tostring(p.pid),
        ("--nofile=%d:%d"):format(limit, limit))
      assert.equal(0, code, said)
      local streams, closed = {}, 0
      for i = 1, 60 do
        streams[i] = web.connect(c, port)
        ctx.go(function()
          streams[i]:read(c)
          closed = closed + 1
        end)
      end
      -- It can take some ten; libuv closes the others at once.
      web.wait_for(c, function() return closed >= 40 end)
      for _ = 1, 20 do
        assert(friend:write(c, REQUEST:format "/"))
        assert.equal(200, (web.response(c, friend)))
      end
      assert.is_nil(p.code)
      for _, stream in ipairs(streams) do
        stream:close()
      end
      friend:close()
      until_alone(c, port)
      for _ = 1, 20 do
        assert.equal(200, (ask(c, port, "/")))
      end
    end)
  end)
end)

describe("peers that are not there any more", function()
  -- SIGPIPE would end the process; a poll of a socket that was reset made luv print EBADF.
  it("have reset the connection: the server lives, and prints nothing", function()
    web.with_service({}, function(c, p, port)
      local texts = { REQUEST:format "/stream?size=100000&n=1000", REQUEST:format "/wait",
        "POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" .. ("x"):rep(150000),
        "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" .. ("x"):rep(150000),
        REQUEST:format("/slow?ms=5"):rep(3000) }
      for i = 1, 100 do
        web.reset(web.connect(c, port, texts[i % #texts + 1]))
      end
      until_alone(c, port)
      assert.is_nil(p.code)
      local noise = p.output:gsub("serving on %d+\n", ""):gsub("waiting\n", "")
        :gsub("cause: [^\n]*\n", "")
      assert.equal("", noise)
    end)
  end)

  --- A peer in a process of its own that has sent its text, and will never run again.
  local function stopped(c, port, text)
    local peer = process.lua(web.here .. "/http_peer.lua", tostring(port), ("%q"):format(text))
    peer:expect(c, "sent")
    peer:kill "sigstop"
    return peer
  end

  it("are stopped: each of the times that a peer has ends it, and its handler", function()
    web.with_service({ "read_header_timeout=300", "read_timeout=300", "write_timeout=300",
      "idle_timeout=300" }, function(c, p, port)
      local peers = {}
      for i, text in ipairs {
        "GET / HTTP/1.1\r\nHo",
        "POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx",
        REQUEST:format "/stream?size=100000&n=100000000",
        REQUEST:format "/",
      } do
        peers[i] = stopped(c, port, text)
      end
      p:expect(c, "cause: the response could not be written")
      until_alone(c, port)
      for _, peer in ipairs(peers) do
        peer:kill "sigkill"
        peer:wait(c)
      end
    end)
  end)

  -- 02 in the column "tr": a timer of the kernel's that asks the peer whether it is there.
  it("have vanished silently: the kernel asks for them", function()
    web.with_service({}, function(c, p, port)
      local stream <close> = web.connect(c, port, REQUEST:format "/wait")
      p:expect(c, "waiting")
      assert.equal("02", sockets.of(port, stream:address().port).timer)
    end)
  end)
end)
