-- SPDX-License-Identifier: MIT
-- Streams that are connected already, and were used before the server got them.
local bed = require "spec.support.http"
local ctx = require "ctx"
local luv = require "luv"
local uv = require "ctx.uv"

local GET = "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n"

--- Two ends of a connection: of ctx.uv, and as a client.
local function pair(b, options)
  local fds = assert(luv.socketpair("stream", 0, { nonblock = true }, { nonblock = true }))
  return assert(uv.open(fds[1], options)), b:client(assert(uv.open(fds[2])))
end

local function echo(req, res)
  return res:finish(req.ctx, req.path)
end

-- Luv still read for the stream's own reader, and what that had not taken was nobody's: the request
-- was lost, the connection was counted for ever, and a shutdown waited for it.
describe("serve_stream", function()
  it("begins with what was read of the stream and not taken", function()
    bed.run({ handler = echo }, function(b)
      local stream, client = pair(b)
      local _ <close> = client
      client:send("PROXY x\r\n", GET:format "one", GET:format "two")
      assert.equal("PROXY x", stream:read_line(b.c))
      b.server:serve_stream(stream)
      assert.equal("/one", client:answer().body)
      assert.equal("/two", client:answer().body)
      assert.equal("/three", client:get("/three").body)
    end)
  end)

  it("goes on where the stream's reader has stopped", function()
    bed.run({ handler = echo }, function(b)
      local stream, client = pair(b)
      local _ <close> = client
      local reader = ctx.go(stream.read_line, stream, b.c)
      client:send("PROXY x\r\n")
      assert.equal("PROXY x", reader:wait())
      b.server:serve_stream(stream)
      assert.equal(1, b.server:stats().connections)
      assert.equal("/one", client:get("/one").body)
      client:close()
      b:wait_empty()
    end)
  end)

  it("has nothing to do for one that is closed, or ended", function()
    bed.run({ handler = echo }, function(b)
      local closed, other = pair(b)
      closed:close()
      b.server:serve_stream(closed)
      assert.equal(0, b.server:stats().connections)
      other:close()
      local ended, client = pair(b)
      client:close()
      assert.is_nil((ended:read(b.c)))
      b.server:serve_stream(ended)
      b:wait_empty()
      assert.is_true(b.server:shutdown(b.c))
    end)
  end)

  it("knows a stream", function()
    bed.run({ handler = echo }, function(b)
      local _, err = pcall(b.server.serve_stream, b.server, nil)
      assert.truthy(err:find("bad argument #1 to 'serve_stream' (stream: ", 1, true))
    end)
  end)
end)

describe("a stream that may keep bytes in its queue", function()
  -- The queue was thrown away when the connection was closed after the response: the client got a
  -- part of it, though finish had said true.
  it("loses none of a response", function()
    local SIZE = 4000000
    bed.run({ handler = function(req, res)
      assert(res:finish(req.ctx, ("x"):rep(SIZE)))
    end }, function(b)
      local stream, client = pair(b, { high_water = 2 * SIZE })
      local _ <close> = client
      b.server:serve_stream(stream)
      assert.equal(SIZE, #client:get("/", "Connection: close").body)
    end)
  end)
end)
