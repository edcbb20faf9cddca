-- SPDX-License-Identifier: MIT
--- Signals that this process sends to itself. What would kill it is in spec/live/signal_spec.lua.
local ctx = require "ctx"
local errors = require "ctx.errors"
local signal = require "ctx.signal"
local testing = require "ctx.testing"
local misuse = require "spec.support.misuse"
local uv = require "luv"

local function raise(name)
  assert(uv.kill(uv.os_getpid(), name))
end

--- How many active handles there are for signals, SIGPIPE's not counted.
local function watchers()
  local count = 0
  uv.walk(function(handle)
    local is_signal = tostring(handle):find("uv_signal", 1, true)
    if is_signal and handle:is_active() and not handle:is_closing() then
      count = count + 1
    end
  end)
  return count - 1
end

describe("signal.notify", function()
  it("ends the context when the signal comes, with a cause that names it", function()
    testing.run(function(root)
      local c, stop <close> = signal.notify(root, "sigusr1", "sigusr2")
      assert.is_nil(c:err())
      raise "sigusr2"
      assert.equal(ctx.canceled, c:wait())
      assert.equal("sigusr2", c:cause().signal)
      assert.is_nil(root:err())
    end)
  end)

  it("has Go's texts for causes", function()
    local texts = {
      sigint = "interrupt", sigterm = "terminated", sighup = "hangup", sigquit = "quit",
      sigusr1 = "user defined signal 1", sigwinch = "sigwinch",
    }
    testing.run(function(root)
      for name, text in pairs(texts) do
        local c, stop <close> = signal.notify(root, name)
        raise(name)
        c:wait()
        assert.equal(text .. " signal received", tostring(c:cause()))
      end
    end)
  end)

  it("ends everything below, and every wait there says why", function()
    testing.run(function(root)
      local c, stop <close> = signal.notify(root, "sigusr1")
      local child, cancel <close> = ctx.with_timeout(c, 60000)
      local sleeper = ctx.go(ctx.sleep, child, 50000)
      raise "sigusr1"
      c:wait()
      local ok, err = sleeper:wait()
      assert.is_nil(ok)
      assert.is_true(errors.is(err, ctx.canceled))
      assert.is_true(errors.is(err, c:cause()))
    end)
  end)

  it("ends every context that waits for the signal, and no other", function()
    testing.run(function(root)
      local c1, stop1 = signal.notify(root, "sigusr1")
      local c2, stop2 = signal.notify(root, "sigusr2", "sigusr1")
      local c3, stop3 = signal.notify(root, "sigusr2")
      raise "sigusr1"
      c1:wait()
      assert.equal("sigusr1", c2:cause().signal)
      assert.is_nil(c3:err())
      stop1() stop2() stop3()
    end)
  end)

  it("registers nothing below a parent that is done", function()
    testing.run(function(root)
      local parent, cancel <close> = ctx.with_cancel(root)
      cancel("over")
      local c, stop <close> = signal.notify(parent, "sigusr1")
      assert.equal("over", c:cause())
      assert.equal(0, watchers())
    end)
  end)

  it("catches signals no longer than the context lives", function()
    testing.run(function(root)
      local parent, cancel <close> = ctx.with_cancel(root)
      local c, stop <close> = signal.notify(parent, "sigusr1", "sigusr2")
      assert.equal(2, watchers())
      cancel()
      assert.equal(ctx.canceled, c:err())
      ctx.sleep(root, 1)
      assert.equal(0, watchers())
    end)
  end)

  it("has one handle a signal, which the last context takes with it", function()
    testing.run(function(root)
      local _, stop1 = signal.notify(root, "sigusr1")
      local _, stop2 = signal.notify(root, "sigusr1")
      assert.equal(1, watchers())
      stop1()
      assert.equal(1, watchers())
      stop2()
      assert.equal(0, watchers())
    end)
  end)

  it("hears the next signal by a context made after the first", function()
    testing.run(function(root)
      local c1, stop1 = signal.notify(root, "sigusr1")
      raise "sigusr1"
      c1:wait()
      local c2, stop2 = signal.notify(root, "sigusr1")
      raise "sigusr1"
      c2:wait()
      assert.equal("sigusr1", c2:cause().signal)
      stop1() stop2()
    end)
  end)

  it("hears it also while the last one's other signals are still deadly", function()
    testing.run(function(root)
      local c1, stop1 = signal.notify(root, "sigusr1", "sigusr2")
      raise "sigusr1"
      c1:wait()
      local c2, stop2 = signal.notify(root, "sigusr2")
      raise "sigusr2"
      c2:wait()
      assert.equal("sigusr2", c2:cause().signal)
      assert.equal("sigusr1", c1:cause().signal)
      stop1() stop2()
      assert.equal(0, watchers())
    end)
  end)

  it("does not keep the loop alive by itself", function()
    local c, stop <close> = signal.notify(ctx.background(), "sigusr1")
    assert.is_false((uv.run()))
    assert.is_nil(c:err())
  end)

  it("keeps it alive for any wait, since a signal may end that", function()
    local c, stop <close> = signal.notify(ctx.background(), "sigusr1")
    local timer = uv.new_timer()
    timer:unref()
    timer:start(5, 0, function()
      timer:close()
      raise "sigusr1"
    end)
    assert.equal(ctx.canceled, c:wait()) -- on the main thread, with nothing else in the loop
  end)

  it("survives a program that closes all of luv's handles", function()
    local c1, stop1 = signal.notify(ctx.background(), "sigusr1")
    uv.walk(function(handle)
      if tostring(handle):find("uv_signal", 1, true) and not handle:is_closing() then
        handle:close()
      end
    end)
    signal.ignore_sigpipe()
    local c2, stop2 = signal.notify(ctx.background(), "sigusr1")
    raise "sigusr1"
    c2:wait()
    assert.is_nil(c1:err()) -- its handle was taken away: only stop ends it now
    stop1() stop2()
  end)

  it("has a name that lists the signals, in luv's spelling and each once", function()
    local c, stop <close> = signal.notify(ctx.background(), "SIGINT", "sigterm", "sigint")
    assert.equal("signal.notify(sigint, sigterm)", c:name())
  end)
end)

describe("stop", function()
  it("ends the context at once, and again does nothing", function()
    local c, stop = signal.notify(ctx.background(), "sigusr1")
    stop("enough")
    stop("more")
    assert.equal(ctx.canceled, c:err())
    assert.equal("enough", c:cause())
    assert.equal(0, watchers())
  end)

  it("is closable, and an error that leaves the scope is the cause", function()
    local outer
    local ok, err = pcall(function()
      local c, stop <close> = signal.notify(ctx.background(), "sigusr1")
      outer = c
      error("went wrong", 0)
    end)
    assert.is_false(ok)
    assert.equal("went wrong", err)
    assert.equal("went wrong", outer:cause())
    assert.equal(0, watchers())
  end)
end)

describe("SIGPIPE", function()
  it("does not kill a program that has loaded ctx.signal", function()
    raise "sigpipe"
    uv.run("nowait")
  end)
end)

describe("misuse of signal.notify", function()
  local background = ctx.background()

  it("raises without a parent", function()
    misuse.raises(function() signal.notify("sigint") end,
      "bad argument #1 to 'notify' (parent: a context expected, got \"sigint\")")
  end)

  it("raises without a signal", function()
    misuse.raises(function() signal.notify(background) end, "bad argument #2 to 'notify'", "signal")
  end)

  it("raises for unknown names, at their place", function()
    misuse.raises(function() signal.notify(background, "sigint", "sigfoo") end,
      "bad argument #3 to 'notify'", "got \"sigfoo\"")
    misuse.raises(function() signal.notify(background, 15) end, "got 15")
    misuse.raises(function() signal.notify(background, "af_inet") end, "got \"af_inet\"")
  end)

  it("raises for signals that nobody can catch", function()
    misuse.raises(function() signal.notify(background, "sigkill") end, "can be caught")
    misuse.raises(function() signal.notify(background, "sigstop") end, "can be caught")
  end)

  it("leaves no handle behind", function()
    assert.equal(0, watchers())
  end)
end)
