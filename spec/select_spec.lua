-- SPDX-License-Identifier: MIT
local channel = require "ctx.channel"
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local raises, select = misuse.raises, channel.select

--- Starts a task that selects; its handle gives the packed results.
local function selecting(c, cases)
  return ctx.go(function()
    return table.pack(select(c, cases))
  end)
end

describe("select", function()
  it("takes a case that is ready: a value, a receiver, room in a buffer", function()
    testing.run(function(root)
      local full, empty = channel.new(1), channel.new(1)
      full:send(root, "value")
      assert.same({ 1, "value" }, { select(root, { { recv = full }, { send = full, value = 1 } }) })
      assert.same({ 2 }, { select(root, { { recv = empty }, { send = empty, value = "x" } }) })
      assert.equal("x", (empty:recv(root)))
    end)
  end)

  it("waits for the first that becomes ready, and takes that alone", function()
    testing.run(function(root)
      local a, b, out = channel.new(), channel.new(), channel.new()
      local cases = { { recv = a }, { recv = b }, { send = out, value = "mine" } }
      local first = selecting(root, cases)
      ctx.sleep(root, 1)
      assert.is_true(b:try_send("b"))
      assert.is_false(a:try_send("a"))
      assert.same({}, { out:try_recv() })
      assert.same({ 2, "b", n = 3 }, first:wait())
      local second = selecting(root, cases)
      ctx.sleep(root, 1)
      assert.equal("mine", (out:recv(root)))
      assert.is_false(a:try_send("a"))
      assert.equal(3, second:wait()[1])
    end)
  end)

  it("meets another select, in either direction", function()
    testing.run(function(root)
      local ch = channel.new()
      local both = { { recv = ch }, { send = ch, value = "v" } }
      local first, second = selecting(root, both), selecting(root, both)
      local one, other = first:wait(), second:wait()
      assert.equal(3, one[1] + other[1])
      assert.equal("v", one[1] == 1 and one[2] or other[2])
      assert.is_false(ch:try_send("nobody is left"))
    end)
  end)

  it("with a default does not wait", function()
    testing.run(function(root, clock)
      local ch = channel.new()
      assert.equal("default", (select(root, { { recv = ch }, default = true })))
      assert.equal("default", (select(root, { default = true })))
      assert.equal(0, clock:elapsed())
      assert.is_false(ch:try_send(1))
    end)
  end)

  it("with a timeout waits for so long", function()
    testing.run(function(root, clock)
      local ch = channel.new()
      assert.equal("timeout", (select(root, { { recv = ch }, timeout = 30 })))
      assert.equal(30, clock:elapsed())
      assert.is_false(ch:try_send(1))
      local waiting = selecting(root, { { recv = ch }, timeout = 30 })
      ctx.sleep(root, 10)
      ch:send(root, "in time")
      assert.same({ 1, "in time", n = 3 }, waiting:wait())
      assert.equal("timeout", (select(root, { timeout = 0 })))
    end)
  end)

  it("is over with a closed channel: nil, and channel.closed", function()
    testing.run(function(root)
      local ch = channel.new()
      local waiting = selecting(root, { { recv = false }, { recv = ch } })
      ctx.sleep(root, 1)
      ch:close()
      assert.same({ 2, nil, channel.closed, n = 3 }, waiting:wait())
      assert.same({ 1, nil, channel.closed }, { select(root, { { recv = ch } }) })
    end)
  end)

  it("never finds a case ready that is switched off with false", function()
    testing.run(function(root)
      local ch = channel.new(1)
      ch:send(root, 1)
      local cases = { { recv = false }, { send = false, value = 1 }, default = true }
      assert.equal("default", (select(root, cases)))
    end)
  end)

  it("lets none of several starve that are ready", function()
    testing.run(function(root)
      local cases, times = {}, { 0, 0, 0, 0 }
      for i = 1, 4 do
        local ch = channel.new()
        ch:close()
        cases[i] = { recv = ch }
      end
      reports(function() -- a loop that asks what has ended is told of
        for _ = 1, 4000 do
          local i = select(root, cases)
          times[i] = times[i] + 1
        end
      end)
      for i = 1, 4 do
        assert.is_true(times[i] > 900 and times[i] < 1100, table.concat(times, " "))
      end
    end)
  end)
end)

describe("select and its context:", function()
  it("done comes before everything that is ready", function()
    testing.run(function(root)
      local ch = channel.new(1)
      ch:send(root, 1)
      local c, cancel = ctx.with_cancel(root)
      cancel("why")
      for _, cases in ipairs({
        { { recv = ch } }, { { recv = ch }, default = true }, { { recv = ch }, timeout = 0 },
      }) do
        local index, err = select(c, cases)
        assert.is_nil(index)
        assert.is_true(errors.is(err, ctx.canceled))
        assert.is_true(errors.is(err, "why"))
      end
      assert.same({ 1, 1 }, { ch:len() })
    end)
  end)

  it("ends the wait, also with a timeout", function()
    testing.run(function(root, clock)
      local ch = channel.new()
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local index, err = select(c, { { recv = ch }, timeout = 20 })
      assert.is_nil(index)
      assert.equal(ctx.deadline_exceeded, err)
      assert.equal(10, clock:elapsed())
      assert.is_false(ch:try_send(1))
    end)
  end)

  it("a value that comes in the turn of the cancel goes to the next, or back", function()
    testing.run(function(root)
      local a, b = channel.new(), channel.new()
      local c, cancel = ctx.with_cancel(root)
      local first = selecting(c, { { recv = a }, { recv = b } })
      local second = selecting(root, { { recv = a } })
      ctx.sleep(root, 1)
      assert.is_true(a:try_send("a"))
      cancel()
      assert.is_nil(first:wait()[1])
      assert.same({ 1, "a", n = 3 }, second:wait())
      local d, cancel_d = ctx.with_cancel(root)
      local third = selecting(d, { { recv = a }, { recv = b } })
      ctx.sleep(root, 1)
      assert.is_true(b:try_send("b"))
      cancel_d()
      assert.is_nil(third:wait()[1])
      assert.equal("b", (b:try_recv()))
    end)
  end)

  it("what was taken from a select is sent, though its context ended in that turn", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local sending = selecting(c, { { send = ch, value = "v" } })
      ctx.sleep(root, 1)
      assert.equal("v", (ch:try_recv()))
      cancel()
      assert.equal(1, sending:wait()[1])
    end)
  end)

  it("a value that comes in the turn of the timeout is received", function()
    testing.run(function(root, clock)
      local ch = channel.new()
      local waiting = selecting(root, { { recv = ch }, timeout = 10 })
      ctx.sleep(root, 1)
      assert.is_true(ch:try_send("v"))
      clock:advance(20)
      assert.same({ 1, "v", n = 3 }, waiting:wait())
    end)
  end)

  it("a value that comes back to a channel that was closed meanwhile is received", function()
    testing.run(function(root)
      local ch = channel.new()
      local c, cancel = ctx.with_cancel(root)
      local first = ctx.go(function() return ch:recv(c) end)
      ctx.sleep(root, 1)
      local second = selecting(root, { { recv = ch } })
      ctx.sleep(root, 1)
      assert.is_true(ch:try_send("v"))
      cancel()
      ch:close()
      assert.is_nil((first:wait()))
      assert.same({ 1, "v", n = 3 }, second:wait())
    end)
  end)

  it("a coroutine that is closed in it leaves no message with itself", function()
    testing.run(function(root)
      local a, b = channel.new(), channel.new()
      local co = coroutine.create(function() select(root, { { recv = a }, { recv = b } }) end)
      coroutine.resume(co)
      assert.is_true(a:try_send("a"))
      coroutine.close(co)
      assert.is_false(b:try_send("b"))
      assert.equal("a", (a:try_recv()))
    end)
  end)
end)

describe("select raises", function()
  it("where it would send on a closed channel, also while it waits", function()
    testing.run(function(root)
      local ch, other = channel.new(), channel.new()
      local cases = { { recv = other }, { send = ch, value = 1 } }
      local waiting = selecting(root, cases)
      ctx.sleep(root, 1)
      ch:close()
      local ok, err = waiting:wait()
      assert.is_nil(ok)
      assert.truthy(err:find("select_spec.lua:%d+: channel.select: case 2 .* closed meanwhile"))
      raises(function() select(root, cases) end, "channel.select: case 2", "closed")
      assert.is_false(other:try_send(1))
    end)
  end)

  it("at arguments that make no sense, and touches nothing", function()
    testing.run(function(root)
      local ch = channel.new(1)
      local recv = { recv = ch }
      raises(function() select({}, { recv }) end, "#1", "'select'")
      raises(function() select(root) end, "#2", "'select'")
      for _, case in ipairs({ 5, {}, { recv = 5 }, { send = ch }, { send = {}, value = 1 },
        { recv = ch, send = ch, value = 1 }, { rcv = ch } }) do
        raises(function() select(root, { { send = ch, value = 1 }, case }) end, "#2", "case 2")
      end
      raises(function() select(root, { recv, nil, recv }) end, "#2", "case 2")
      raises(function() select(root, { recv, defualt = true }) end, "#2", "defualt")
      -- An index of 0, below it, or far behind a hole is a case, too: the first is missing.
      for _, index in ipairs { 0, -1, math.mininteger, 2, 1 << 40, math.maxinteger } do
        raises(function() select(root, { [index] = recv }) end, "#2", "case 1")
      end
      -- What was looked at is what counts: not what the list makes up when it is asked.
      local inventive = setmetatable({ recv }, { __index = function() return "never" end })
      ch:try_send(1)
      assert.same({ 1, 1 }, { select(root, inventive) })
      inventive.timeout = 1
      assert.equal("timeout", (select(root, inventive)))
      raises(function() select(root, setmetatable({ nil, recv }, { __index = { recv } })) end,
        "#2", "case 1")
      raises(function() select(root, { recv, default = 1 }) end, "#2", "default")
      for _, ms in ipairs({ "5", 0 / 0, 1e18, false }) do
        raises(function() select(root, { recv, timeout = ms }) end, "#2", "timeout")
      end
      assert.same({ 0, 1 }, { ch:len() })
    end)
  end)

  it("where nothing can wait, at the caller's line, and leaves its places", function()
    testing.run(function(root)
      local ch = channel.new()
      raises(function()
        table.sort({ 1, 2 }, function() select(root, { { recv = ch } }) end)
      end, "channel.select: cannot wait here")
      raises(function()
        table.sort({ 1, 2 }, function() select(root, { { recv = ch }, timeout = 5 }) end)
      end, "channel.select: cannot wait here")
      assert.is_false(ch:try_send(1))
    end)
  end)
end)
