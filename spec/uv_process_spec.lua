-- SPDX-License-Identifier: MIT
-- Programs under a context: C69, B24, L15, L17, and what happens when descriptors run out.
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
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

  it("starts nothing under a context that is done (C69)", function()
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

  it("sends SIGTERM first; exit 0 after that is still the context's error (C69)", function()
    run(function(root)
      local partial = interrupted(root, [[
        trap 'echo tidied; exit 0' TERM
        echo x >$READY
        while :; do sleep 0.01; done]])
      assert.equal(0, partial.code)
      assert.equal("tidied\n", partial.stdout)
    end)
  end)

  it("kills a tree that does not listen, with its grandchildren (B24)", function()
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

  it("does not wait for ever for pipes that somebody holds (C69)", function()
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
end)

describe("a program with ctx.uv", function()
  --- Runs Lua in a process of its own, with this one's search paths.
  local function lua(root, limits, script)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(script)
    file:close()
    local result = assert(sh(root, ("%s; exec %s %s"):format(limits, luv.exepath(), path),
      { cwd = luv.cwd() }))
    os.remove(path)
    assert.equal("", result.stderr)
    return result
  end

  it("survives writing to a peer that has gone (L17)", function()
    run(function(root)
      local result = lua(root, "true", [[
        local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
        ctx.run(function(root)
          local fds = assert(luv.socketpair())
          local one, other = assert(uv.open(fds[1])), assert(uv.open(fds[2]))
          other:close()
          local ok, err = one:write(root, "x")
          io.write(tostring(ok), " ", err.code)
          one:close()
        end)]])
      assert.same({ code = 0, signal = 0, stdout = "nil EPIPE", stderr = "" }, result)
    end)
  end)

  -- Libuv closes the connections that it has no descriptor for. What counts: the peers hear of it,
  -- no turn of the loop spins, and when there are descriptors again all goes on.
  it("goes on when descriptors run out (EMFILE)", function()
    run(function(root)
      local result = lua(root, "ulimit -n 40", [[
        local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
        ctx.set_report(function() end)
        ctx.run(function(root)
          local listener <close> = assert(uv.listen("127.0.0.1", 0))
          local port = listener:address().port
          local accepted, n = {}, 0
          local server = ctx.go(function()
            while true do
              local socket = listener:accept(root)
              if not socket then return end
              n = n + 1
              accepted[n] = socket
            end
          end)
          local clients, err = {}, nil
          repeat
            local client
            client, err = uv.connect(root, "127.0.0.1", port)
            clients[#clients + 1] = client
          until not client
          io.write(err.code)
          local before = luv.getrusage().utime
          ctx.sleep(root, 50)
          local busy = luv.getrusage().utime
          local used = (busy.sec - before.sec) * 1000 + (busy.usec - before.usec) / 1000
          io.write(used < 40 and " calm" or " busy " .. used)
          for _, client in ipairs(clients) do client:close() end
          for _, socket in ipairs(accepted) do socket:close() end
          ctx.sleep(root, 5)
          for _, socket in ipairs(accepted) do socket:close() end
          local count = n
          local client <close> = assert(uv.connect(root, "127.0.0.1", port))
          while n == count do ctx.sleep(root, 1) end
          io.write(" again")
          accepted[n]:close()
          listener:close()
          server:wait()
        end)]])
      assert.equal("EMFILE calm again", result.stdout)
      assert.equal(0, result.code)
    end)
  end)

  -- Luv opens a loop for the Lua state of a work, on the other thread, and panics there if it
  -- cannot: now descriptors are looked for before.
  it("says that there are no descriptors left for a work", function()
    run(function(root)
      local result = lua(root, "ulimit -n 60", [[
        local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
        ctx.run(function(root)
          local open, fd = {}, nil
          repeat
            fd = luv.fs_open("/dev/null", "r", 0)
            open[#open + 1] = fd
          until not fd
          local nothing, err = uv.work(root, function() end)
          io.write(tostring(nothing), " ", err.code)
          for _, one in ipairs(open) do luv.fs_close(one) end
          io.write(" ", uv.work(root, function() return "done" end))
        end)]])
      assert.same({ code = 0, signal = 0, stdout = "nil EMFILE done", stderr = "" }, result)
    end)
  end)

  -- What luv keeps for the end of a work was collected at the end of the program, which waits for
  -- the thread in any case: it ended with code 255. Now ctx.run waits.
  it("ends well though a work was given up", function()
    run(function(root)
      local result = lua(root, "true", [[
        local ctx, uv = require "ctx", require "ctx.uv"
        ctx.run(function(root)
          local c, cancel <close> = ctx.with_timeout(root, 1)
          local _, err = uv.work(c, function()
            local until_time = os.clock() + 0.05
            while os.clock() < until_time do end
          end)
          io.write(tostring(err))
        end)]])
      assert.same({ code = 0, signal = 0, stdout = "context deadline exceeded", stderr = "" },
        result)
    end)
  end)
end)
