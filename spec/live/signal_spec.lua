-- SPDX-License-Identifier: MIT
--- Signals that kill, in processes of their own.
local ctx = require "ctx"
local process = require "spec.support.process"

local SIGINT, SIGTERM = 2, 15

local PRELUDE = [[
  local ctx, signal, uv = require "ctx", require "ctx.signal", require "luv"
  local function say(...) io.write(...) io.write("\n") io.flush() end
  local background = ctx.background()
]]

--- Starts a program of a few lines, and lets `fn` deal with it.
local function with_program(body, fn)
  process.play(function()
    return process.lua("-e", PRELUDE .. body)
  end, "ready", fn)
end

describe("a program that waits for signals", function()
  it("goes on after the first one", function()
    with_program([[
      ctx.run(function(root)
        local c, stop <close> = signal.notify(root, "sigint", "sigterm")
        say "ready"
        c:wait()
        say(tostring(c:cause()))
      end)
    ]], function(c, p)
      p:kill "sigterm"
      local code, killed_by = p:wait(c)
      assert.equal(0, code)
      assert.equal(0, killed_by)
      assert.equal("ready\nterminated signal received\n", p.output)
    end)
  end)

  it("is killed by the second one, of any of its kinds, while it cleans up", function()
    with_program([[
      ctx.run(function(root)
        local c, stop <close> = signal.notify(root, "sigint", "sigterm")
        say "ready"
        c:wait()
        say "cleaning up"
        ctx.sleep(background, 1e6)
      end)
    ]], function(c, p)
      p:kill "sigterm"
      p:expect(c, "cleaning up")
      p:kill "sigint"
      local _, killed_by = p:wait(c)
      assert.equal(SIGINT, killed_by)
    end)
  end)

  it("is killed by the second one though it computes and never waits again", function()
    with_program([[
      ctx.run(function(root)
        local c, stop <close> = signal.notify(root, "sigint")
        ctx.after_func(c, function()
          say "computing"
          while true do end
        end)
        say "ready"
        c:wait()
      end)
    ]], function(c, p)
      p:kill "sigint"
      p:expect(c, "computing")
      p:kill "sigint"
      local _, killed_by = p:wait(c)
      assert.equal(SIGINT, killed_by)
    end)
  end)

  it("is killed by the second one though it never saw the first", function()
    with_program([[
      local c, stop = signal.notify(background, "sigint")
      say "ready"
      while true do end
    ]], function(c, p)
      -- The system makes one of two that come before the program has had its time slice.
      while not p.code and ctx.sleep(c, 20) do
        p:kill "sigint"
      end
      local _, killed_by = p:wait(c)
      assert.equal(SIGINT, killed_by)
    end)
  end)

  it("is killed by the second one also when both come in one turn of the loop", function()
    with_program([[
      ctx.run(function(root)
        local c, stop <close> = signal.notify(root, "sigint")
        say "ready"
        uv.kill(uv.os_getpid(), "sigint")
        uv.kill(uv.os_getpid(), "sigint")
        c:wait()
        say "heard"
        ctx.sleep(background, 1e6)
      end)
    ]], function(c, p)
      local _, killed_by = p:wait(c)
      assert.equal(SIGINT, killed_by)
      assert.is_nil(p.output:find("heard", 1, true))
    end)
  end)

  it("and also when these are of two kinds", function()
    with_program([[
      ctx.run(function(root)
        local c, stop <close> = signal.notify(root, "sigint", "sigterm")
        say "ready"
        uv.kill(uv.os_getpid(), "sigint")
        uv.kill(uv.os_getpid(), "sigterm")
        c:wait()
        ctx.sleep(background, 1e6)
      end)
    ]], function(c, p)
      local _, killed_by = p:wait(c)
      assert.truthy(killed_by == SIGTERM or killed_by == SIGINT)
    end)
  end)

  it("is killed by the first one after stop()", function()
    with_program([[
      local c, stop = signal.notify(background, "sigterm")
      stop()
      say "ready"
      while true do end
    ]], function(c, p)
      p:kill "sigterm"
      local _, killed_by = p:wait(c)
      assert.equal(SIGTERM, killed_by)
    end)
  end)

  it("ends by itself when it has nothing to do", function()
    with_program([[
      local c = signal.notify(background, "sigterm")
      say "ready"
      uv.run()
      say "over"
    ]], function(c, p)
      assert.equal(0, (p:wait(c)))
      assert.equal("ready\nover\n", p.output)
    end)
  end)

  it("outlives its closed stdout pipe, and gets an error there", function()
    with_program([[
      say "ready"
      local ok, err
      repeat
        ok, err = io.write("x")
        ok, err = io.flush()
        ctx.sleep(background, 1)
      until not ok
      os.exit(err:find "[Bb]roken pipe" and 7 or 1)
    ]], function(c, p)
      p:hang_up()
      local code, killed_by = p:wait(c)
      assert.equal(0, killed_by)
      assert.equal(7, code)
    end)
  end)
end)
