-- SPDX-License-Identifier: MIT
-- When the hand-moved clock stands still beside real I/O, and when it does not.
--
-- Cause: only a task in ctx.await made it stand still. A luv callback that fed a channel came after
-- the deadline of the task in that channel; and a server in the test, whose handler slept under the
-- clock, made its client wait for ever. Cure: the clock asks what luv has open that may still bring
-- something from outside, for any waiter; sockets within the process are none of that.
local channel = require "ctx.channel"
local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

--- Runs fn(root, clock); fails if luv's work took the time of the clock.
local function run(fn)
  return testing.run(fn, { patience = 500 })
end

--- What the callback gives that `start` is called with, by a channel, within 5 s of the clock.
local function by_channel(root, start)
  local to = channel.new(1)
  local c, cancel <close> = ctx.with_timeout(root, 5000)
  start(function(...) to:try_send(table.pack(...)) end)
  local values = assert(to:recv(c))
  return table.unpack(values, 1, values.n)
end

describe("the hand-moved clock stands still", function()
  local works = {
    ["a program that ends"] = function(done)
      local process
      process = luv.spawn("sh", { args = { "-c", "sleep 0.05; exit 3" } }, function(code)
        process:close()
        done(code == 3)
      end)
    end,
    ["what a program writes"] = function(done)
      local pipe, process, text, has_ended = luv.new_pipe(), nil, nil, false
      process = luv.spawn("sh", { args = { "-c", "sleep 0.05; echo hello" },
        stdio = { nil, pipe } }, function()
        process:close()
        has_ended = true
        if text then done(text == "hello\n") end
      end)
      pipe:read_start(function(_, data)
        if data then
          pipe:close()
          text = data
          if has_ended then done(text == "hello\n") end
        end
      end)
    end,
    ["a file"] = function(done)
      luv.fs_stat(".", function(_, stat) done(stat.type == "directory") end)
    end,
    ["a name"] = function(done)
      luv.getaddrinfo("127.0.0.1", nil, nil, function(err, list) done(not err and #list > 0) end)
    end,
    ["work on another thread"] = function(done)
      local work = luv.new_work(function(n)
        local sum = 0
        for i = 1, n do sum = sum + i % 7 end
        return sum
      end, function(sum) done(sum > 0) end)
      work:queue(3000000)
    end,
  }
  for what, start in pairs(works) do
    it("for " .. what .. ", whose callback feeds a channel", function()
      run(function(root, clock)
        assert.is_true(by_channel(root, start))
        assert.equal(0, clock:elapsed())
      end)
    end)
  end

  it("for a peer in another process", function()
    run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 1000)
      local process <close> = assert(uv.start(c, "sh", {
        args = { "-c", "read x; sleep 0.05; echo $x" }, stdin = "pipe", stdout = "pipe",
      }))
      assert(process.stdin:write(c, "hello\n"))
      assert.equal("hello", process.stdout:read_line(c))
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("and moves as soon as that has come", function()
    run(function(root, clock)
      for i = 1, 20 do
        local stat = by_channel(root, works["a file"])
        assert.is_true(stat)
        ctx.sleep(root, 1000)
        assert.equal(1000 * i, clock:elapsed())
      end
    end)
  end)
end)

describe("the hand-moved clock does not stand still", function()
  for what, open in pairs {
    ["a socket that listens"] = function()
      local server = luv.new_tcp()
      server:bind("127.0.0.1", 0)
      server:listen(1, function() end)
      return server
    end,
    ["a signal"] = function()
      local signal = luv.new_signal()
      signal:start("sigusr2", function() end)
      return signal
    end,
    ["a watched file"] = function()
      local watch = luv.new_fs_event()
      watch:start(".", {}, function() end)
      return watch
    end,
    ["a timer of luv's"] = function()
      local timer = luv.new_timer()
      timer:start(60000, 60000, function() end)
      return timer
    end,
    ["an unreferenced handle"] = function()
      local socket = luv.new_udp()
      socket:bind("127.0.0.1", 0)
      socket:recv_start(function() end)
      socket:unref()
      return socket
    end,
  } do
    for waits, wait in pairs {
      ["a sleep"] = function(root) ctx.sleep(root, 3600000) end,
      ["a task in ctx.await"] = function(root)
        local c, cancel <close> = ctx.with_timeout(root, 3600000)
        ctx.await(c, function() end)
      end,
    } do
      it(("beside %s, for %s"):format(what, waits), function()
        run(function(root, clock)
          local handle = open()
          wait(root)
          handle:close()
          assert.equal(3600000, clock:elapsed())
        end)
      end)
    end
  end
end)

--- A listener and the function that connects to it.
local kinds = {
  TCP = function()
    local listener = assert(uv.listen("127.0.0.1", 0))
    return listener, function(c) return uv.connect(c, "127.0.0.1", listener:address().port) end
  end,
  ["TCP by all addresses"] = function()
    local listener = assert(uv.listen("*", 0))
    return listener, function(c) return uv.connect(c, "127.0.0.1", listener:address().port) end
  end,
  ["a pipe"] = function()
    local path = os.tmpname()
    os.remove(path)
    local listener = assert(uv.listen_pipe(path))
    return listener, function(c) return uv.connect_pipe(c, path) end
  end,
}

for kind, listen in pairs(kinds) do
  describe("by the hand-moved clock, over " .. kind .. " within the process,", function()
    --- Runs fn(root, clock, connect) beside a server that calls serve(stream, root).
    local function beside(serve, fn)
      run(function(root, clock)
        local c, cancel <close> = ctx.with_cancel(root)
        local listener <close>, connect = listen()
        ctx.go(function()
          while true do
            local stream = listener:accept(c)
            if not stream then return end
            ctx.go(function()
              local _ <close> = stream
              serve(stream, c)
            end)
          end
        end)
        fn(c, clock, connect)
      end)
    end

    it("a server that sleeps answers at its time", function()
      beside(function(stream, c)
        while true do
          local line = stream:read_line(c)
          if not line then return end
          ctx.sleep(c, 10000)
          stream:write(c, line .. "\n")
        end
      end, function(root, clock, connect)
        local stream <close> = assert(connect(root))
        for i = 1, 5 do
          local c, cancel <close> = ctx.with_timeout(root, 10001)
          assert(stream:write(c, "hello\n"))
          assert.equal("hello", stream:read_line(c))
          assert.equal(10000 * i, clock:elapsed())
        end
      end)
    end)

    it("a deadline cuts off a server that never answers", function()
      beside(function(stream, c) stream:read_line(c) c:wait() end, function(root, clock, connect)
        local stream <close> = assert(connect(root))
        local c, cancel <close> = ctx.with_timeout(root, 30000)
        local line, err = stream:read_line(c)
        assert.is_nil(line)
        assert.is_true(require("ctx.errors").is(err, ctx.deadline_exceeded))
        assert.equal(30000, clock:elapsed())
      end)
    end)

    it("a reader that sleeps lets a writer wait, and gets all", function()
      local size = 4000000
      beside(function(stream, c) stream:write(c, ("x"):rep(size)) end,
        function(root, clock, connect)
          local stream <close> = assert(connect(root))
          ctx.sleep(root, 60000)
          local got = 0
          for chunk in function() return stream:read(root) end do
            got = got + #chunk
          end
          assert.equal(size, got)
          assert.equal(60000, clock:elapsed())
        end)
    end)

    it("a connection that nobody accepts is one that never answers", function()
      run(function(root, clock)
        local listener, connect = listen()
        local _ <close> = listener
        local stream <close> = assert(connect(root))
        local c, cancel <close> = ctx.with_timeout(root, 30000)
        assert.is_nil((stream:read_line(c)))
        assert.equal(30000, clock:elapsed())
      end)
    end)
  end)
end

describe("by the hand-moved clock, an HTTP server", function()
  local function serve(handler, fn)
    run(function(root, clock)
      local c, cancel <close> = ctx.with_cancel(root)
      local server <close> = http.server { handler = handler }
      assert(server:listen("127.0.0.1", 0))
      local client <close> = http.client {}
      local task = ctx.go(server.serve, server, c)
      fn(c, clock, client, "http://127.0.0.1:" .. math.tointeger(server:address().port))
      cancel()
      task:wait()
    end)
  end

  it("whose handler sleeps answers at its time", function()
    serve(function(req, res)
      ctx.sleep(req.ctx, 10000)
      return res:finish(req.ctx, "hello")
    end, function(root, clock, client, url)
      for i = 1, 3 do
        assert.equal("hello", assert(client:get(root, url)).body)
        assert.equal(10000 * i, clock:elapsed())
      end
      ctx.sleep(root, 5000) -- beside a connection that is kept
      assert.equal(35000, clock:elapsed())
      local c, cancel <close> = ctx.with_timeout(root, 4000)
      assert.is_nil((client:get(c, url)))
      assert.equal(39000, clock:elapsed())
    end)
  end)

  it("serves many at a time, each at its time", function()
    serve(function(req, res)
      ctx.sleep(req.ctx, tonumber(req.path:match("%d+")))
      return res:finish(req.ctx, "hello")
    end, function(root, clock, client, url)
      local order, tasks = {}, {}
      for i, ms in ipairs { 3000, 1000, 2000 } do
        tasks[i] = ctx.go(function()
          assert(client:get(root, url .. "/" .. ms))
          order[#order + 1] = clock:elapsed()
        end)
      end
      for _, task in ipairs(tasks) do task:wait() end
      assert.same({ 1000, 2000, 3000 }, order)
    end)
  end)
end)

describe("time that stands still for two seconds", function()
  -- luv's clock, in the table that the library has, runs a second further each time it is read.
  local clock_of = require("ctx.loop").uv
  local hrtime = clock_of.hrtime
  after_each(function() clock_of.hrtime = hrtime end)

  local function hurry(step)
    local ahead = 0
    clock_of.hrtime = function()
      ahead = ahead + (step or 1e9)
      return hrtime() + ahead
    end
  end

  it("is reported once, with what it waits for", function()
    local list = reports(function()
      testing.run(function(root)
        local c, cancel <close> = ctx.with_timeout(root, 1000)
        hurry()
        by_channel(c, function(done)
          local process
          process = luv.spawn("sleep", { args = { "0.2" } }, function()
            process:close()
            done(true)
          end)
        end)
      end, { name = "the slow test" })
    end)
    assert.equal(1, #list)
    assert.equal("testing", list[1].kind)
    assert.matches("^testing: the slow test: time has stood still for %d+ s", list[1].message)
    assert.matches("may still answer: uv_process_t", list[1].message, 1, true)
    assert.matches("a task waiting in channel:recv", list[1].message, 1, true)
  end)

  it("ends after a minute, in which nothing happens", function()
    local list = reports(function()
      testing.run(function(root, clock)
        local c, cancel <close> = ctx.with_timeout(root, 1000)
        hurry(3e9)
        local process, ended
        process = luv.spawn("sleep", { args = { "600" } }, function()
          process:close()
          ended()
        end)
        assert.is_nil((channel.new(1):recv(c)))
        assert.equal(1000, clock:elapsed())
        clock_of.hrtime = hrtime
        ctx.await(root, function(resolve)
          ended = resolve
          process:kill("sigkill")
        end)
      end)
    end)
    assert.equal(1, #list)
  end)

  it("is a dead end where nothing may come, and there is no deadline", function()
    local server = luv.new_tcp()
    local ok, err
    local list = reports(function()
      ok, err = pcall(testing.run, function(root)
        server:bind("127.0.0.1", 0)
        server:listen(1, function() end)
        hurry()
        ctx.await(root, function() return server end)
      end, { name = "the test that nobody calls" })
    end)
    assert.is_false(ok)
    assert.matches("^the test that nobody calls: all tasks are asleep", tostring(err))
    assert.same({}, list)
  end)

  -- Cause: a turn of the loop that was not the clock's own counted as movement.
  for what, kind in pairs { ["an idle handle"] = "idle", ["a timer that ticks"] = "timer" } do
    it("is a dead end also beside " .. what, function()
      local handle, message = luv["new_" .. kind](), nil
      reports(function()
        local _, err = pcall(testing.run, function()
          handle:start(kind == "idle" and function() end or 1, 1, function() end)
          hurry(5e9)
          ctx.background():wait()
        end)
        message = tostring(err)
      end)
      handle:close()
      assert.matches("all tasks are asleep", message, 1, true)
    end)
  end

  it("is reported, too, where nothing else can happen", function()
    local list = reports(function()
      testing.run(function(root)
        hurry()
        ctx.await(root, function(resolve)
          local timer = luv.new_timer()
          timer:start(200, 0, function() timer:close() resolve() end)
        end)
      end)
    end)
    assert.equal(1, #list)
    assert.matches("a task waiting in ctx.await", list[1].message, 1, true)
  end)
end)
