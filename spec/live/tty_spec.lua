-- SPDX-License-Identifier: MIT
-- ctx.uv on a real terminal.
local process = require "spec.support.process"

local COLUMNS, ROWS = 101, 37

local PRELUDE = [[
  local ctx, errors, uv = require "ctx", require "ctx.errors", require "ctx.uv"
  local function say(...) io.write(...) io.write("\n") io.flush() end
]]

--- Runs a program of a few lines on a terminal, and lets `fn` deal with it. Lines end with "\r\n":
--- that is how a terminal shows them.
local function on_terminal(body, fn)
  process.play(function()
    return process.on_terminal(COLUMNS, ROWS, "-e", PRELUDE .. body)
  end, "ready\r\n", function(c, p)
    fn(c, p)
    assert.equal(0, (p:wait(c)))
  end)
end

describe("a terminal", function()
  it("is read by the line", function()
    on_terminal([[
      ctx.run(function(root)
        local terminal <close> = assert(uv.open(0))
        say "ready"
        say("1st: ", terminal:read_line(root))
        say("2nd: ", terminal:read_line(root))
      end)
    ]], function(c, p)
      p:write "one\n"
      p:expect(c, "1st: one\r\n")
      p:write "two\n"
      p:expect(c, "2nd: two\r\n")
    end)
  end)

  it("lets a reader go at its deadline, and keeps what is typed for the next", function()
    on_terminal([[
      ctx.run(function(root)
        local terminal <close> = assert(uv.open(0))
        say "ready"
        local c, cancel <close> = ctx.with_timeout(root, 30)
        local line, err = terminal:read_line(c)
        say(tostring(line), ", ", tostring(err))
        say("then: ", terminal:read_line(root))
      end)
    ]], function(c, p)
      p:write "half a "
      p:expect(c, "nil, context deadline exceeded\r\n")
      p:write "line\n"
      p:expect(c, "then: half a line\r\n")
    end)
  end)

  it("ends where its user types ^D", function()
    on_terminal([[
      ctx.run(function(root)
        local terminal <close> = assert(uv.open(0))
        say "ready"
        local line, err = terminal:read_line(root)
        say("over: ", tostring(line), ", ", tostring(err))
      end)
    ]], function(c, p)
      p:write "\4"
      p:expect(c, "over: nil, nil\r\n")
    end)
  end)

  it("sends ^C, which ends the wait for a line", function()
    on_terminal([[
      ctx.run(function(root)
        local terminal <close> = assert(uv.open(0))
        local c, stop <close> = require "ctx.signal".notify(root, "sigint")
        say "ready"
        local line, err = terminal:read_line(c)
        say(tostring(line), ", ", tostring(err))
      end)
    ]], function(c, p)
      p:write "\3"
      p:expect(c, "nil, context canceled: interrupt signal received\r\n")
    end)
  end)

  it("is written to, with a context", function()
    on_terminal([[
      ctx.run(function(root)
        local terminal <close> = assert(uv.open(1))
        assert(terminal:write(root, { "rea", "dy\n" }))
        local c, cancel = ctx.with_cancel(root)
        cancel()
        local ok, err = terminal:write(c, "never\n")
        assert(not ok and err == ctx.canceled)
        assert(terminal:write(root, "done\n"))
      end)
    ]], function(c, p)
      p:expect(c, "done\r\n")
      assert.is_nil(p.output:find("never", 1, true))
    end)
  end)

  it("makes a writer wait that is stopped by ^S, until its deadline", function()
    on_terminal([[
      ctx.run(function(root)
        local input <close> = assert(uv.open(0))
        local terminal <close> = assert(uv.open(1))
        assert(terminal:write(root, "ready\n"))
        assert(input:read_line(root) == "") -- ^S is for the terminal, and typed before this
        local c, cancel <close> = ctx.with_timeout(root, 30)
        local ok, err = terminal:write(c, ("x"):rep(1 << 20))
        os.exit(errors.is(err, ctx.deadline_exceeded) and 0 or 1)
      end)
    ]], function(_, p)
      p:write "\19\n"
    end)
  end)

  it("tells its size by luv's own handle", function()
    on_terminal([[
      ctx.run(function()
        local terminal <close> = assert(uv.open(1))
        local columns, rows = terminal:handle():get_winsize()
        say("ready\n", columns, " by ", rows)
      end)
    ]], function(c, p)
      p:expect(c, ("%d by %d\r\n"):format(COLUMNS, ROWS))
    end)
  end)
end)
