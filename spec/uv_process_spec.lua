-- SPDX-License-Identifier: MIT
-- Programs under a context.
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local run = loopback.run

--- Runs a shell script.
local function sh(c, script, options)
  options = options or {}
  options.args = { "-c", script }
  return uv.spawn(c, "sh", options)
end

local function is_alive(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  if not file then
    return luv.kill(pid, 0) ~= nil and not luv.fs_stat("/proc/self")
  end
  local state = file:read("a"):match("%) (%a)")
  file:close()
  return state ~= "Z" and state ~= "X"
end

--- Starts the script, cancels when it has written a line, and returns what spawn returned and what
--- the script had written.
local function interrupted(root, script, grace)
  local c, cancel <close> = ctx.with_cancel(root)
  local path = os.tmpname()
  local watcher <close> = assert(uv.watch(path))
  local task = ctx.go(sh, c, script .. (" ; exit 0"), { env = {
    PATH = os.getenv("PATH"), READY = path,
  }, grace = grace })
  repeat
    assert(watcher:next(root))
  until assert(uv.fs_stat(root, path)).size > 0
  cancel("enough")
  local result, err, partial = task:wait(root)
  os.remove(path)
  assert.is_nil(result)
  assert.is_true(errors.is(err, ctx.canceled))
  assert.equal("context canceled: enough", tostring(err))
  return partial
end

describe("uv.spawn", function()
  it("brings what the program wrote, and how it ended", function()
    run(function(root)
      local result = assert(sh(root, "cat; echo problem >&2; exit 3", { stdin = "from us" }))
      assert.same({ code = 3, signal = 0, stdout = "from us", stderr = "problem\n" }, result)
      result = assert(sh(root, "kill -9 $$"))
      assert.equal(9, result.signal)
    end)
  end)

  it("gives it an environment and a directory", function()
    run(function(root)
      local result = assert(sh(root, "echo $NAME; pwd", { env = { NAME = "value" }, cwd = "/" }))
      assert.equal("value\n/\n", result.stdout)
      result = assert(sh(root, "echo $NAME", { env = { "NAME=other" } }))
      assert.equal("other\n", result.stdout)
    end)
  end)

  it("captures much, in both directions at once", function()
    run(function(root)
      local much = ("0123456789abcde\n"):rep(256 * 1024)
      local path = os.tmpname()
      local script = ("cat >%s; cat %s & cat %s >&2; wait"):format(path, path, path)
      local result = assert(sh(root, script, { stdin = much }))
      os.remove(path)
      assert.equal(#much, #result.stdout)
      assert.equal(#much, #result.stderr)
      assert.is_true(much == result.stdout and much == result.stderr)
    end)
  end)

  it("ends a program that writes more than the limit", function()
    run(function(root)
      local result, err, partial = sh(root, "yes", { limit = 1000 })
      assert.is_nil(result)
      assert.is_true(errors.is(err, uv.ENOBUFS))
      assert.equal(1000, #partial.stdout)
    end)
  end)

  it("survives a program that does not read its input", function()
    run(function(root)
      local result = assert(sh(root, "exit 0", { stdin = ("x"):rep(10 * 1024 * 1024) }))
      assert.equal(0, result.code)
    end)
  end)

  it("says that there is no such program, or directory", function()
    run(function(root)
      local result, err = uv.spawn(root, "no-such-program-here")
      assert.is_nil(result)
      assert.is_true(errors.is(err, uv.ENOENT))
      assert.truthy(tostring(err):find("no-such-program-here", 1, true))
    end)
  end)

  it("starts nothing under a context that is done", function()
    run(function(root)
      local path = os.tmpname()
      os.remove(path)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      local result, err = sh(c, "touch " .. path)
      assert.is_nil(result)
      assert.equal(ctx.canceled, err)
      assert.is_nil((luv.fs_stat(path)))
    end)
  end)

  it("sends SIGTERM first; exit 0 after that is still the context's error", function()
    run(function(root)
      local partial = interrupted(root, [[
        trap 'echo tidied; exit 0' TERM
        echo x >$READY
        while :; do sleep 0.01; done]])
      assert.equal(0, partial.code)
      assert.equal("tidied\n", partial.stdout)
    end)
  end)

  it("kills a tree that does not listen, with its grandchildren", function()
    run(function(root)
      local partial = interrupted(root, [[
        trap '' TERM
        sh -c "trap '' TERM; sleep 300 & echo \$!; sleep 301 & echo \$!; echo x >$READY; wait" &
        echo $!
        wait]], 30)
      assert.equal(9, partial.signal)
      local n = 0
      for pid in partial.stdout:gmatch("%d+") do
        n = n + 1
        assert.is_false(is_alive(tonumber(pid)))
      end
      assert.equal(3, n)
    end)
  end)

  it("gives grandchildren their grace after the leader has gone", function()
    run(function(root)
      local partial = interrupted(root, [[
        sh -c "trap 'sleep 0.05; echo tidied; exit' TERM; echo x >$READY
               while :; do sleep 0.01; done" &
        wait]])
      assert.equal("tidied\n", partial.stdout)
    end)
  end)

  it("kills at once without a grace", function()
    run(function(root)
      local partial = interrupted(root, "trap 'echo tidied' TERM; echo x >$READY; sleep 300", 0)
      assert.same({ code = 0, signal = 9, stdout = "", stderr = "" }, partial)
    end)
  end)

  it("does not wait for ever for pipes that somebody holds", function()
    run(function(root)
      local result = assert(sh(root, "echo out; setsid sleep 300 & echo $!", { linger = 20 }))
      assert.is_true(result.incomplete)
      local pid = tonumber(result.stdout:match("(%d+)\n"))
      assert.is_true(is_alive(pid))
      luv.kill(pid, "sigkill")
    end)
  end)

  -- It did not look at its context while it waited for the pipes, and what the program had started
  -- lived on. Now the context is waited for, too, and its end is that of the group.
  it("ends with its context also when the program has ended, and others hold its pipes", function()
    run(function(root)
      for _, how in ipairs { "", "setsid " } do
        local c, cancel <close> = ctx.with_cancel(root)
        local path = os.tmpname()
        local script = how .. [[sh -c 'echo $$ '$$' >%s; exec sleep 300' &]]
        local task = ctx.go(sh, c, script:format(path), { linger = math.huge })
        local sleeper, leader
        repeat
          ctx.sleep(root, 1)
          local fd = assert(uv.fs_open(root, path))
          sleeper, leader = uv.fs_read(root, fd, 100):match("(%d+) (%d+)")
          uv.fs_close(root, fd)
        until leader and not is_alive(tonumber(leader))
        os.remove(path)
        cancel("enough")
        local result, err, partial = task:wait(root)
        assert.is_nil(result)
        assert.equal("context canceled: enough", tostring(err))
        assert.equal(0, partial.code)
        assert.equal(how ~= "", is_alive(tonumber(sleeper)))
        luv.kill(tonumber(sleeper), "sigkill")
      end
    end)
  end)

  it("has its deadline under a hand-moved clock, too", function()
    local testing = require "ctx.testing"
    testing.run(function(root)
      local result = assert(sh(root, "echo hello"))
      assert.equal("hello\n", result.stdout)
    end)
  end)
end)

describe("uv.start", function()
  it("talks to a program over its pipes", function()
    run(function(root)
      local bc <close> = assert(uv.start(root, "sed", { args = { "-u", "s/a/b/" }, stdin = "pipe",
        stdout = "pipe" }))
      assert(bc.stdin:write(root, "banana\n"))
      assert.equal("bbnana", bc.stdout:read_line(root))
      bc.stdin:close()
      assert.same({ code = 0, signal = 0 }, bc:wait(root))
      assert.is_true(errors.is(select(2, bc:kill()), uv.ESRCH))
    end)
  end)

  it("ends with its context, also when nobody waits for it", function()
    run(function(root)
      local c, cancel = ctx.with_cancel(root)
      local sleeper <close> = assert(uv.start(c, "sleep", { args = { "300" } }))
      cancel()
      assert.same({ code = 0, signal = 15 }, sleeper:wait(root))
      assert.is_true(sleeper.interrupted)
    end)
  end)

  it("ends with its scope", function()
    run(function(root)
      local pid
      do
        local sleeper <close> = assert(uv.start(root, "sleep", { args = { "300" } }))
        pid = sleeper.pid
        assert.is_true(is_alive(pid))
      end
      assert.is_false(is_alive(pid))
    end)
  end)

  -- When the leader had ended, nothing ended those that it had started.
  it("ends what the program has started also when that has ended itself", function()
    run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local limit, stop <close> = ctx.with_timeout(root, 20000)
      local function start()
        local leader = assert(uv.start(c, "sh", { args = { "-c", "sleep 300 & echo $!" },
          stdout = "pipe" }))
        local pid = tonumber(leader.stdout:read_line(root))
        assert.same({ code = 0, signal = 0 }, leader:wait(root))
        assert.is_true(is_alive(pid))
        return leader, pid
      end
      local one, first = start()
      one:close()
      assert.is_false(is_alive(first))
      assert.is_true(errors.is(select(2, one:kill()), uv.ESRCH))
      local other <close>, second = start()
      cancel()
      while is_alive(second) do
        assert(ctx.sleep(limit, 1))
      end
      assert.is_true(other.interrupted)
    end)
  end)

  -- A process that has ended and that nobody reaps, as with many a first process of a container,
  -- can be sent signals: it was waited for until the grace was over.
  it("does not wait for those of its group that have ended and are not reaped", function()
    run(function(root)
      local c, cancel <close> = ctx.with_cancel(root)
      local limit, stop <close> = ctx.with_timeout(root, 20000)
      local leader <close> = assert(uv.start(c, "sh", { stdout = "pipe", grace = math.huge,
        args = { "-c", [[perl -e '
          $| = 1;
          fork or exit sleep 300;
          setpgrp; # the parent leaves, and has no time for its child
          print "$$\n";
          sleep 300' & wait]] } }))
      local careless = tonumber(leader.stdout:read_line(root))
      cancel()
      assert(leader:wait(limit))
      luv.kill(careless, "sigkill")
    end)
  end)

  -- What was misspelt was ignored: no output, the child never killed, a signal never sent.
  it("refuses options and signals that make no sense at the caller's line", function()
    run(function(root)
      for expected, options in pairs {
        ["\"arg\""] = { arg = { "-l" } }, ["options.args"] = { args = "-l" },
        ["options.env"] = { env = "A=b" }, ["options.cwd"] = { cwd = {} },
        ["options.uid"] = { uid = "root" }, ["options.stdout"] = { stdout = "capture" },
        ["options.grace"] = { grace = "5" }, ["options.grace: a time"] = { grace = 0 / 0 },
        ["a table expected"] = 5,
      } do
        misuse.raises(function() uv.start(root, "ls", options) end, "'start'", expected)
        misuse.raises(function() uv.spawn(root, "ls", options) end, "'spawn'", expected)
      end
      misuse.raises(function() uv.spawn(root, "ls", { limit = "x" }) end, "options.limit")
      misuse.raises(function() uv.spawn(root, "ls", { linger = "x" }) end, "options.linger")
      misuse.raises(function() uv.spawn(root, "ls", { stdin = 5 }) end, "options.stdin")
      misuse.raises(function() uv.start(root, "ls", { linger = 5 }) end, '"linger"')
      local sleeper <close> = assert(uv.start(root, "sleep", { args = { 300 } }))
      misuse.raises(function() sleeper:kill("kill") end, "the name of a signal")
      misuse.raises(function() sleeper:kill("sigfoo") end, "the name of a signal")
      assert.is_true(sleeper:kill("SIGKILL"))
      assert.equal(9, sleeper:wait(root).signal)
    end)
  end)

  it("does not write to a stream that is closed", function()
    run(function(root)
      local fds = assert(luv.pipe())
      local output = assert(uv.open(fds.write))
      output:close()
      luv.fs_close(fds.read)
      local result, err = uv.spawn(root, "echo", { stdout = output })
      assert.is_nil(result)
      assert.is_true(errors.is(err, uv.ECLOSED))
    end)
  end)

  it("lets a wait end alone", function()
    run(function(root)
      local sleeper <close> = assert(uv.start(root, "sleep", { args = { "300" } }))
      local c, cancel <close> = ctx.with_timeout(root, 5)
      local exit, err = sleeper:wait(c)
      assert.is_nil(exit)
      assert.equal(ctx.deadline_exceeded, err)
      assert.is_true(is_alive(sleeper.pid))
      assert(sleeper:kill("sigint"))
      assert.equal(2, sleeper:wait(root).signal)
    end)
  end)

  it("hands descriptors on, from 3: a listener, a stream and a descriptor", function()
    run(function(root)
      local listener = assert(uv.listen("127.0.0.1", 0))
      local port = listener:address().port
      local fds = assert(luv.pipe())
      local pair = assert(luv.socketpair("stream", nil, { nonblock = true }, { nonblock = true }))
      local ours <close>, theirs = assert(uv.open(pair[1])), assert(uv.open(pair[2]))
      -- A program of ours: it accepts a connection, and says so to the two others.
      local script = os.tmpname()
      local file <close> = assert(io.open(script, "w"))
      file:write([[
        local ctx, uv = require "ctx", require "ctx.uv"
        ctx.run(function(root)
          local listener <close> = assert(uv.listen_fd(3))
          local socket <close> = assert(listener:accept(root))
          socket:write(root, "served by another process\n")
          assert(uv.open(5)):write(root, "accepted\n")
          local fd = 7
          uv.fs_write(root, fd, "done")
        end)
      ]])
      file:close()
      local child <close> = assert(uv.start(root, luv.exepath(), { args = { script }, grace = 0,
        fds = { [3] = listener, [5] = theirs, [7] = fds.write }, stderr = "inherit" }))
      assert.is_true(listener.inherited)
      listener:close() -- else this process would take connections, too
      theirs:close()
      luv.fs_close(fds.write)
      local socket <close> = assert(uv.connect(root, "127.0.0.1", port))
      assert.equal("served by another process", socket:read_line(root))
      assert.equal("accepted", ours:read_line(root))
      local from <close> = assert(uv.open(fds.read))
      assert.equal("done", from:read_exactly(root, 4))
      assert.same({ code = 0, signal = 0 }, child:wait(root))
      os.remove(script)
    end)
  end)

  it("does not hand on what is closed", function()
    run(function(root)
      local listener = assert(uv.listen("127.0.0.1", 0))
      listener:close()
      local nothing, err = uv.start(root, "true", { fds = { [3] = listener } })
      assert.is_nil(nothing)
      assert.equal("ECLOSED", err.code)
      nothing, err = uv.start(root, "true", { fds = { [3] = 999 } })
      assert.is_nil(nothing)
      assert.equal("EBADF", err.code)
    end)
  end)
end)
