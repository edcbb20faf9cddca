-- SPDX-License-Identifier: MIT
-- Idle times of streams.
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local uv = require "ctx.uv"

local pair, run, run_with_clock = loopback.pair, loopback.run, loopback.run_with_clock

-- More than the kernel keeps for both ends of a connection.
local MUCH = ("0123456789abcdef"):rep(1024 * 1024)

describe("an idle time, together with a deadline,", function()
  local function is_idle(err)
    assert.is_true(errors.is(err, uv.idle))
    assert.is_true(errors.is(err, ctx.deadline_exceeded))
  end

  it("ends a read to which nothing comes, and the stream is as it was", function()
    run_with_clock(function(root, clock)
      local client <close>, server = pair(root, { idle = 20 })
      local _ <close> = server
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      local reading = ctx.go(server.read, server, c)
      clock:advance(19)
      assert.equal("waiting", reading:status())
      clock:advance(1)
      is_idle(select(2, reading:wait(root)))
      assert.is_nil(c:err())
      assert(client:write(c, "late"))
      assert.equal("late", server:read(c))
    end)
  end)

  it("does not count what is slow, but moves", function()
    run_with_clock(function(root, clock)
      local client <close>, server = pair(root)
      local _ <close> = server
      server:set_idle(60)
      local task = ctx.go(server.read_exactly, server, root, 8)
      for _ = 1, 8 do
        loopback.turns(root)
        clock:advance(50)
        assert(client:write(root, "x"))
      end
      assert.equal("xxxxxxxx", task:wait(root))
    end)
  end)

  it("leaves the deadline of the context the last word", function()
    run(function(root)
      local client <close>, server = pair(root, { idle = 60000 })
      local _ <close>, _ = server, client
      local c, cancel <close> = ctx.with_timeout(root, 10)
      local chunk, err = server:read(c)
      assert.is_nil(chunk)
      assert.equal(ctx.deadline_exceeded, err)
    end)
  end)

  it("closes what is written to a peer that reads nothing", function()
    run(function(root)
      local client <close>, server = pair(root, { idle = 20 })
      local _ <close> = server
      is_idle(select(2, client:write(root, MUCH)))
      assert.is_true(client:is_closed())
    end)
  end)
end)
