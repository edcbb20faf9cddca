-- SPDX-License-Identifier: MIT
local channel = require "ctx.channel"
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local testing = require "ctx.testing"

local raises = misuse.raises

--- Starts a task that receives with c; its handle gives value, err.
local function receiver(ch, c)
  return ctx.go(function()
    local value, err = ch:recv(c)
    return { value = value, err = err }
  end)
end

local function sender(ch, c, value)
  return ctx.go(function()
    local ok, err = ch:send(c, value)
    return { ok = ok, err = err }
  end)
end

describe("a channel without a buffer", function()
  it("lets a sender and a receiver meet", function()
    testing.run(function(root, clock)
      local ch, log = channel.new(), {}
      local sending = ctx.go(function()
        assert(ch:send(root, "value"))
        log[#log + 1] = ("sent after %d"):format(clock:elapsed())
      end)
      ctx.sleep(root, 10)
      assert.same({}, log)
      assert.equal("value", (ch:recv(root)))
      sending:wait()
      assert.same({ "sent after 10" }, log)
    end)
  end)

  it("serves senders and receivers first come first served", function()
    testing.run(function(root)
      local ch, got = channel.new(), {}
      for i = 1, 3 do
        sender(ch, root, i)
      end
      ctx.sleep(root, 1)
      for i = 1, 3 do
        got[i] = ch:recv(root)
      end
      assert.same({ 1, 2, 3 }, got)
      local waiting = {}
      for i = 1, 3 do
        waiting[i] = receiver(ch, root)
      end
      ctx.sleep(root, 1)
      for i = 1, 3 do
        assert.is_true(ch:try_send(i * 10))
      end
      for i = 1, 3 do
        assert.equal(i * 10, waiting[i]:wait().value)
      end
    end)
  end)

  it("carries everything but nil, false too", function()
    testing.run(function(root)
      local ch, thing = channel.new(3), {}
      for _, value in ipairs({ false, thing, 0 }) do
        ch:send(root, value)
      end
      assert.same({ false }, { ch:recv(root) })
      assert.equal(thing, (ch:recv(root)))
      assert.equal(0, (ch:recv(root)))
    end)
  end)
end)

describe("a channel with a buffer", function()
  it("takes as many as fit without waiting, and then waits", function()
    testing.run(function(root)
      local ch = channel.new(2)
      assert.is_true(ch:send(root, 1))
      assert.is_true(ch:send(root, 2))
      assert.same({ 2, 2 }, { ch:len() })
      local third = sender(ch, root, 3)
      ctx.sleep(root, 1)
      assert.equal("waiting", third:status())
      assert.equal(1, (ch:recv(root)))
      assert.is_true(third:wait().ok)
      assert.equal(2, (ch:recv(root)))
      assert.equal(3, (ch:recv(root)))
      assert.same({ 0, 2 }, { ch:len() })
    end)
  end)

  it("keeps the order of many values through a small buffer", function()
    testing.run(function(root)
      local ch, got = channel.new(3), {}
      ctx.go(function()
        for i = 1, 100 do
          ch:send(root, i)
        end
        ch:close()
      end)
      for value in ch:iter(root) do
        got[#got + 1] = value
      end
      assert.equal(100, #got)
      for i = 1, 100 do
        assert.equal(i, got[i])
      end
    end)
  end)

  it("is tried without waiting", function()
    testing.run(function(root)
      local ch = channel.new(1)
      assert.same({}, { ch:try_recv() })
      assert.is_true(ch:try_send(1))
      assert.is_false(ch:try_send(2))
      assert.equal(1, (ch:try_recv()))
      local unbuffered = channel.new()
      assert.is_false(unbuffered:try_send(1))
      sender(unbuffered, root, "from its hands")
      ctx.sleep(root, 1)
      assert.equal("from its hands", (unbuffered:try_recv()))
    end)
  end)
end)

describe("closing a channel", function()
  it("lets receivers have what is left, and then tells them", function()
    testing.run(function(root)
      local ch = channel.new(2)
      ch:send(root, 1)
      ch:send(root, 2)
      ch:close()
      assert.is_true(ch:is_closed())
      assert.equal(1, (ch:recv(root)))
      assert.equal(2, (ch:try_recv()))
      assert.same({ nil, channel.closed }, { ch:recv(root) })
      assert.same({ nil, channel.closed }, { ch:try_recv() })
    end)
  end)

  it("tells those who wait", function()
    testing.run(function(root)
      local ch = channel.new()
      local first, second = receiver(ch, root), receiver(ch, root)
      ctx.sleep(root, 1)
      ch:close()
      assert.equal(channel.closed, first:wait().err)
      assert.equal(channel.closed, second:wait().err)
    end)
  end)

  it("raises in a task that sends, or waits to, and when it is closed again", function()
    testing.run(function(root)
      local ch = channel.new()
      local sending = sender(ch, root, 1)
      ctx.sleep(root, 1)
      ch:close()
      local ok, err = sending:wait()
      assert.is_nil(ok)
      assert.truthy(err:find("channel_spec.lua:%d+: channel:send: the channel was closed while"))
      raises(function() ch:send(root, 1) end, "channel:send: the channel is closed")
      raises(function() ch:try_send(1) end, "channel:try_send: the channel is closed")
      raises(function() ch:close() end, "channel:close: it is closed already")
    end)
  end)

  it("ends a loop, which a context ends as well", function()
    testing.run(function(root, clock)
      local ch, got = channel.new(), {}
      local c, cancel <close> = ctx.with_timeout(root, 10)
      sender(ch, root, "only")
      for value in ch:iter(c) do
        got[#got + 1] = value
      end
      assert.same({ "only" }, got)
      assert.equal(10, clock:elapsed())
      assert.equal(ctx.deadline_exceeded, c:err())
    end)
  end)
end)

describe("a wait at a channel", function()
  it("does not begin on a context that is done, whatever is there", function()
    testing.run(function(root)
      local ch = channel.new(2)
      ch:send(root, 1)
      local c, cancel = ctx.with_cancel(root)
      cancel("why")
      local value, err = ch:recv(c)
      assert.is_nil(value)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, "why"))
      assert.is_nil((ch:send(c, 2)))
      assert.same({ 1, 2 }, { ch:len() })
      ch:close()
      assert.is_nil((ch:send(c, 2))) -- the end of the context comes first
    end)
  end)

  it("ends with its context, and leaves nothing behind", function()
    testing.run(function(root, clock)
      local ch = channel.new()
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local sending = sender(ch, c, "never sent")
      assert.equal(ctx.deadline_exceeded, sending:wait().err)
      assert.equal(10, clock:elapsed())
      assert.same({}, { ch:try_recv() })
      local d, cancel_d <close> = ctx.with_timeout(root, 10)
      assert.same({ nil, ctx.deadline_exceeded }, { ch:recv(d) })
      assert.is_false(ch:try_send("nobody there"))
      cancel_d()
    end)
  end)

  it("loses no value that comes in the turn of the cancel: the next gets it", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local first, second = receiver(ch, c), receiver(ch, root)
      ctx.sleep(root, 1)
      assert.is_true(ch:try_send("value"))
      cancel()
      assert.is_true(errors.is(first:wait().err, ctx.canceled))
      assert.equal("value", second:wait().value)
    end)
  end)

  it("or it goes back to the front, even where there is no buffer", function()
    testing.run(function(root)
      for _, capacity in ipairs({ 0, 1 }) do
        local ch = channel.new(capacity)
        local c, cancel = ctx.with_cancel(root)
        local first = receiver(ch, c)
        ctx.sleep(root, 1)
        assert.is_true(ch:try_send("first"))
        assert.equal(capacity == 1, ch:try_send("second"))
        cancel()
        first:wait()
        assert.is_false(ch:try_send("third"))
        if capacity == 0 then
          sender(ch, root, "second")
          ctx.sleep(root, 1)
        end
        assert.equal("first", (ch:recv(root)))
        assert.equal("second", (ch:recv(root)))
        assert.same({}, { ch:try_recv() })
      end
    end)
  end)

  -- Cause: each was put in front of those that had come back before it. Cure: grants are numbered.
  it("or several go back to the front, in their order, and before what came later", function()
    testing.run(function(root)
      local ch = channel.new(1)
      local c, cancel = ctx.with_cancel(root)
      local receivers = {}
      for i = 1, 3 do receivers[i] = receiver(ch, c) end
      ctx.sleep(root, 1)
      for i = 1, 4 do assert.is_true(ch:try_send(i)) end
      cancel()
      for i = 1, 3 do receivers[i]:wait() end
      assert.equal(4, (ch:len()))
      for i = 1, 4 do assert.equal(i, (ch:try_recv())) end
      assert.same({}, { ch:try_recv() })
    end)
  end)

  -- Cause: the close told the second receiver that nothing will come while the value was still with
  -- the first. Cure: one that is told so looks again.
  it("or, when the channel was closed meanwhile, to those who were told of that", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local first, second = receiver(ch, c), receiver(ch, root)
      local third = ctx.go(function() return channel.select(root, { { recv = ch } }) end)
      local fourth = receiver(ch, root)
      local fifth = receiver(ch, c)
      ctx.sleep(root, 1)
      assert.is_true(ch:try_send("a value"))
      cancel()
      ch:close()
      assert.is_nil(first:wait().value)
      assert.same({ value = "a value" }, second:wait())
      assert.same({ 1, nil, channel.closed }, { third:wait() })
      assert.same({ err = channel.closed }, fourth:wait())
      assert.is_nil(fifth:wait().value)
    end)
  end)

  it("gets no value when the cancel came before it: that waits for others", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local first, second = receiver(ch, c), receiver(ch, root)
      ctx.sleep(root, 1)
      cancel()
      assert.is_true(ch:try_send("value"))
      assert.is_nil(first:wait().value)
      assert.equal("value", second:wait().value)
    end)
  end)

  it("has sent what was taken, though its context ended in that turn", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local taken, kept = sender(ch, c, "taken"), sender(ch, c, "kept")
      ctx.sleep(root, 1)
      assert.equal("taken", (ch:try_recv()))
      cancel()
      assert.same({}, { ch:try_recv() })
      assert.is_true(taken:wait().ok)
      assert.is_nil(kept:wait().ok)
    end)
  end)

  it("of a sender that is closed and cancelled in one turn is cancelled", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local sending = sender(ch, c, 1)
      ctx.sleep(root, 1)
      ch:close()
      cancel()
      assert.is_true(errors.is(sending:wait().err, ctx.canceled))
    end)
  end)

  it("leaves no value with a coroutine that its owner closes", function()
    testing.run(function(root)
      local ch = channel.new()
      local function wait() ch:recv(root) end
      local parked, handed = coroutine.create(wait), coroutine.create(wait)
      local sending = coroutine.create(function() ch:send(root, "never sent") end)
      coroutine.resume(parked)
      coroutine.resume(handed)
      coroutine.close(parked)
      assert.is_true(ch:try_send("value")) -- to `handed`, which has not run on yet
      coroutine.close(handed)
      coroutine.resume(sending)
      coroutine.close(sending)
      assert.equal("value", (ch:try_recv()))
      assert.same({}, { ch:try_recv() })
    end)
  end)

  it("raises where nothing can wait, at the caller's line, and leaves its place", function()
    testing.run(function(root)
      local ch = channel.new()
      raises(function()
        table.sort({ 1, 2 }, function() ch:recv(root) end)
      end, "channel:recv: cannot wait here")
      raises(function()
        table.sort({ 1, 2 }, function() ch:send(root, 1) end)
      end, "channel:send: cannot wait here")
      assert.is_false(ch:try_send(1))
      assert.same({}, { ch:try_recv() })
    end)
  end)
end)

describe("a channel raises", function()
  it("at arguments that make no sense", function()
    local ch, root = channel.new(5), ctx.background()
    for _, capacity in ipairs({ -1, 1.5, "1", {}, math.huge, 0 / 0, false }) do
      raises(function() channel.new(capacity) end, "#1", "'new'", "capacity")
    end
    for _, c in ipairs({ 5, "c", {}, ch }) do
      raises(function() ch:recv(c) end, "#1", "'recv'")
      raises(function() ch:send(c, 1) end, "#1", "'send'")
      raises(function() ch:iter(c) end, "#1", "'iter'")
    end
    raises(function() ch:send(root) end, "#2", "'send'", "nil")
    raises(function() ch:try_send(nil) end, "#1", "'try_send'", "nil")
    for _, name in ipairs({ "send", "recv", "try_send", "try_recv", "close", "iter", "len",
      "is_closed" }) do
      raises(function() ch[name]({}, root, 1) end, "'" .. name .. "'", "colon")
    end
    assert.same({ 0, 5 }, { ch:len() })
  end)
end)
