-- SPDX-License-Identifier: MIT
-- Cause: each wake-up looked again at all that had come before, and lists were shifted for each
-- entry that left them: a line that came byte by byte, pieces that were read away, waits that ended
-- last in, first out, and writers of one stream cost the square of their number. Cure: what was
-- looked at is remembered, and what leaves a list leaves its place. Twice as much costs about twice
-- as much.
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local uv = require "ctx.uv"

--- The processor time that fn(n) takes.
local function cost(fn, n)
  local spent
  loopback.run(function(root)
    collectgarbage()
    collectgarbage("stop")
    spent = fn(root, n)
    collectgarbage("restart")
  end)
  return math.max(spent, 1e-4)
end

--- Eight times as much may cost sixteen times as much, and not sixty-four times.
local function assert_linear(fn, n)
  cpu.at_most(24, function() return cost(fn, n) end, function() return cost(fn, 8 * n) end)
end

--- What luv calls back, n times with one byte, as if each came in a turn of its own.
local function feed(stream, n)
  for _ = 1, n do
    stream._on_read(nil, "x")
    coroutine.yield() -- the task that waits looks
  end
end

describe("the cost grows as the number", function()
  it("of the pieces of a line", function()
    assert_linear(function(root, n)
      local stream, peer = loopback.pair(root)
      local reader = ctx.go(function() return stream:read_line(root, math.maxinteger) end)
      coroutine.yield()
      local began = os.clock()
      feed(stream, n)
      stream._on_read(nil, "\n")
      assert.equal(n, #reader:wait(root))
      local spent = os.clock() - began
      stream:close()
      peer:close()
      return spent
    end, 500)
  end)

  it("of the pieces that are read away", function()
    assert_linear(function(root, n)
      local stream, peer = loopback.pair(root)
      for _ = 1, n do
        stream._on_read(nil, "x")
      end
      local began = os.clock()
      for _ = 1, n do
        stream:read(root)
      end
      local spent = os.clock() - began
      stream:close()
      peer:close()
      return spent
    end, 1000)
  end)

  --- Tasks that wait in fn(c, …), and whose contexts end, the last one first.
  local function leave(root, n, fn, ...)
    local cancels, tasks = {}, {}
    for i = 1, n do
      local c
      c, cancels[i] = ctx.with_cancel(root)
      tasks[i] = ctx.go(fn, c, ...)
    end
    coroutine.yield()
    local began = os.clock()
    for i = n, 1, -1 do
      cancels[i]()
    end
    for i = 1, n do
      tasks[i]:wait(root)
    end
    return os.clock() - began
  end

  it("of the waits that end, last in, first out", function()
    assert_linear(function(root, n)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      return leave(root, n, function(c) listener:accept(c) end)
    end, 500)
    assert_linear(function(root, n)
      local socket <close> = assert(uv.udp("127.0.0.1"))
      return leave(root, n, function(c) socket:recv(c) end)
    end, 500)
    assert_linear(function(root, n)
      local stream, peer = loopback.pair(root)
      local spent = leave(root, n, function(c) stream:read(c) end)
      stream:close()
      peer:close()
      return spent
    end, 500)
  end)

  it("of the datagrams, though all wait for each", function()
    assert_linear(function(root, n)
      local socket <close> = assert(uv.udp("127.0.0.1"))
      local tasks = {}
      for i = 1, n do
        tasks[i] = ctx.go(socket.recv, socket, root)
      end
      coroutine.yield()
      local began = os.clock()
      for _ = 1, n do
        socket._on_receive(nil, "x", { ip = "127.0.0.1" })
        coroutine.yield()
      end
      for i = 1, n do
        tasks[i]:wait(root)
      end
      return os.clock() - began
    end, 300)
  end)

  -- Each has more to write than the kernel takes at once.
  it("of the tasks that write to a stream which is full", function()
    assert_linear(function(root, n)
      local fds = assert(luv.socketpair("stream", nil, { nonblock = true }, { nonblock = true }))
      local stream, peer = assert(uv.open(fds[1])), assert(uv.open(fds[2]))
      stream:handle():send_buffer_size(4096)
      local tasks, data = {}, ("x"):rep(16384)
      local began = os.clock()
      for i = 1, n do
        tasks[i] = ctx.go(stream.write, stream, root, data)
      end
      for _ = 1, n do
        assert.equal(#data, #peer:read_exactly(root, #data))
      end
      for i = 1, n do
        assert.is_true(tasks[i]:wait(root))
      end
      local spent = os.clock() - began
      stream:close()
      peer:close()
      return spent
    end, 100)
  end)
end)
