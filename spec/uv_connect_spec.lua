-- SPDX-License-Identifier: MIT
-- Connecting, listening and names, on real loopback sockets.
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local run, cancelled = loopback.run, loopback.cancelled

--- A port on which nobody listens.
local function free_port()
  local listener <close> = assert(uv.listen("127.0.0.1", 0))
  return listener:address().port
end

--- Calls fn with a port at which connections are neither taken nor refused: its backlog is full.
local function silent(root, fn)
  local server = luv.new_tcp()
  server:bind("127.0.0.1", 0)
  server:listen(0, function() end)
  local port = server:getsockname().port
  local waiting = {}
  for _ = 1, 2 do -- libuv takes one out of the backlog as soon as it can
    for _ = 1, 4 do
      local handle = luv.new_tcp()
      handle:connect("127.0.0.1", port, function() end)
      handle:unref()
      waiting[#waiting + 1] = handle
    end
    loopback.turns(root)
  end
  server:unref()
  local results = table.pack(pcall(fn, port))
  server:close()
  for _, handle in ipairs(waiting) do
    handle:close()
  end
  assert(table.unpack(results, 1, results.n))
end

describe("uv.connect", function()
  it("tells a refusal by its code", function()
    run(function(root)
      local port = free_port()
      local socket, err = uv.connect(root, "127.0.0.1", port)
      assert.is_nil(socket)
      assert.is_true(errors.is(err, uv.ECONNREFUSED))
      assert.is_false(errors.is(err, uv.ECONNRESET))
      assert.equal("ECONNREFUSED", err.code)
      assert.equal(("connect to 127.0.0.1:%d: ECONNREFUSED: connection refused"):format(port),
        tostring(err))
      assert.is_true(errors.is(errors.wrap(err, "no page"), uv.ECONNREFUSED))
    end)
  end)

  it("looks names up", function()
    run(function(root)
      local listener <close> = assert(uv.listen("localhost", 0))
      local socket <close> = assert(uv.connect(root, "localhost", listener:address().port))
      assert.equal("127.0.0.1", socket:peer().ip)
    end)
  end)

  it("tries all addresses", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local port = listener:address().port
      local socket <close> = assert(uv.connect(root, "service", port, {
        resolve = function(c, name)
          assert.equal(root, c)
          assert.equal("service", name)
          return { { addr = "127.0.0.2", port = free_port() }, "127.0.0.1" }
        end,
      }))
      assert.equal(port, socket:peer().port)
    end)
  end)

  it("tells what became of each when none answers", function()
    run(function(root)
      local port = free_port()
      local socket, err = uv.connect(root, "service", port, {
        resolve = function() return { "127.0.0.1", "127.0.0.2" } end,
      })
      assert.is_nil(socket)
      assert.is_true(errors.is(err, uv.ECONNREFUSED))
      assert.truthy(tostring(err):find("127.0.0.1", 1, true))
      assert.truthy(tostring(err):find("127.0.0.2", 1, true))
    end)
  end)

  it("gives each address its share of the time, so that a silent one is not the last",
    function()
      loopback.run_with_clock(function(root, clock)
        local listener <close> = assert(uv.listen("127.0.0.1", 0))
        silent(root, function(port)
          local c, cancel <close> = ctx.with_timeout(root, 200)
          local connecting = ctx.go(uv.connect, c, "service", 0, {
            min_share = 20,
            resolve = function()
              return { { addr = "127.0.0.1", port = port },
                { addr = "127.0.0.1", port = listener:address().port } }
            end,
          })
          clock:advance(99)
          assert.equal("waiting", connecting:status())
          clock:advance(1)
          local socket <close> = assert(connecting:wait(root))
          assert.equal(100, c:remaining())
          assert.equal(listener:address().port, socket:peer().port)
        end)
      end)
    end)

  -- The share of the only address, and of the last one, is the time of the caller's context.
  it("makes a context for each address but the last", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local port, refused = listener:address().port, free_port()
      local there, not_there = { addr = "127.0.0.1", port = port },
        { addr = "127.0.0.1", port = refused }
      local function derived(addresses)
        local before = ctx.counters().derived
        assert(uv.connect(root, "127.0.0.1", port, addresses and {
          resolve = function() return addresses end,
        })):close()
        return ctx.counters().derived - before
      end
      assert.equal(0, derived())
      assert.equal(0, derived { there })
      assert.equal(2, derived { not_there, not_there, there })
    end)
  end)

  it("ends by its deadline, and by a cancel", function()
    run(function(root)
      silent(root, function(port)
        local c, cancel <close> = ctx.with_timeout(root, 20)
        local socket, err = uv.connect(c, "127.0.0.1", port)
        assert.is_nil(socket)
        assert.equal(ctx.deadline_exceeded, err)
        socket, err = cancelled(root, function(limited)
          return uv.connect(limited, "127.0.0.1", port)
        end)
        assert.is_nil(socket)
        assert.equal("context canceled: enough", tostring(err))
      end)
    end)
  end)

  it("does not begin with a context that is done", function()
    run(function(root)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      local socket, err = uv.connect(c, "localhost", 1, { resolve = function() error("asked") end })
      assert.is_nil(socket)
      assert.equal(ctx.canceled, err)
    end)
  end)

  it("says which name is unknown", function()
    run(function(root)
      local socket, err = uv.connect(root, "no-such-host.invalid", 80)
      assert.is_nil(socket)
      assert.truthy(err.code:find("^EAI_"))
      assert.truthy(tostring(err):find("no-such-host.invalid", 1, true))
    end)
  end)

  -- Each of these raised within luv, or in the middle of a connect, and a handle was left.
  it("refuses options that make no sense at the caller's line, and leaves nothing open", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local port = listener:address().port
      for expected, options in pairs {
        ["options: the name of an option"] = { timeout = 5 }, ["options.idle"] = { idle = -1 },
        ["options.high_water"] = { high_water = "x" }, ["options.nodelay"] = { nodelay = 1 },
        ["options.family"] = { family = "ipv6" }, ["options.bind"] = { bind = "localhost" },
        ["options.min_share"] = { min_share = "x" }, ["options.resolve"] = { resolve = 5 },
        ["a table expected"] = 5,
      } do
        misuse.raises(function() uv.connect(root, "127.0.0.1", port, options) end, expected)
      end
      misuse.raises(function() uv.connect_pipe(root, "/x", { bind = "::1" }) end, '"bind"')
      misuse.raises(function() uv.listen("127.0.0.1", 70000) end, "a port, a whole number")
      misuse.raises(function() uv.listen("127.0.0.1", 0, { backlg = 5 }) end, '"backlg"')
      misuse.raises(function() uv.listen("127.0.0.1", 0, { backlog = "5" }) end, "backlog")
      misuse.raises(function() uv.listen("127.0.0.1", 0, { idle = -1 }) end, "options.idle")
      misuse.raises(function() uv.listen_pipe("/x", { ipv6only = 1 }) end, "options.ipv6only")
      misuse.raises(function() uv.listen_fd(0, { idel = 1 }) end, '"idel"')
      misuse.raises(function() uv.stream(listener:handle(), { idel = 5 }) end, '"idel"')
      misuse.raises(function() uv.open(0, { idel = 5 }) end, '"idel"')
    end)
  end)

  it("tells of invalid addresses, and goes on with the others", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local port = listener:address().port
      local function connect(...)
        local addresses = { ... }
        return uv.connect(root, "name", port, { resolve = function() return addresses end })
      end
      local _ <close> = assert(connect("nowhere", { ip = "127.0.0.1" }, "127.0.0.1"))
      for _, address in ipairs { "nowhere", 5, {}, { addr = "127.0.0.1", port = 70000 } } do
        local nothing, err = connect(address)
        assert.is_nil(nothing)
        assert.is_true(errors.is(err, uv.EINVAL))
      end
      local nothing, err = uv.connect(root, "127.0.0.1", port, { family = "inet6" })
      assert.is_nil(nothing)
      assert.is_true(errors.is(err, uv.EAI_NODATA))
      nothing, err = uv.listen("127.0.0.01", 0)
      assert.is_nil(nothing)
      assert.is_true(errors.is(err, uv.EINVAL))
    end)
  end)

  it("refuses nonsense at the caller's line", function()
    run(function(root)
      for _, case in ipairs { { "x" }, { "x", 1.5 }, { "x", 65536 }, { 1, 80 } } do
        local ok, err = pcall(function() uv.connect(root, case[1], case[2]) end)
        assert.is_false(ok)
        assert.truthy(err:find("uv_connect_spec.lua", 1, true), err)
      end
    end)
  end)
end)

describe("a listener", function()
  it("serves those who wait in order, and lets others wait in the kernel", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local port = listener:address().port
      local clients = {}
      for i = 1, 4 do
        clients[i] = assert(uv.connect(root, "127.0.0.1", port))
      end
      for i = 1, 4 do
        local server <close> = assert(listener:accept(root))
        assert.equal(clients[i]:address().port, server:peer().port)
        clients[i]:close()
      end
    end)
  end)

  it("ends a wait with its context, and hands the connection to the next", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local socket, err = cancelled(root, function(c)
        return listener:accept(c)
      end)
      assert.is_nil(socket)
      assert.equal("context canceled: enough", tostring(err))
      local task = ctx.go(listener.accept, listener, root)
      local client <close> = assert(uv.connect(root, "127.0.0.1", listener:address().port))
      local server <close> = assert(task:wait(root))
      assert.equal(client:address().port, server:peer().port)
    end)
  end)

  -- The accepted socket was given to a task whose context had ended earlier in the same turn: it
  -- was lost with that one. Now it stays with the listener until a task takes it.
  it("loses no connection that arrives in the turn of the cancel", function()
    run(function(root)
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local c, cancel <close> = ctx.with_cancel(root)
      local first = ctx.go(listener.accept, listener, c)
      coroutine.yield()
      local second = ctx.go(listener.accept, listener, root)
      coroutine.yield()
      -- A callback of luv's gives the connection to the first, and then the context ends.
      local give = listener._inbox.give
      rawset(listener._inbox, "give", function(...)
        local called = give(...)
        cancel()
        return called
      end)
      local client <close> = assert(uv.connect(root, "127.0.0.1", listener:address().port))
      local nothing, err = first:wait(root)
      assert.is_nil(nothing)
      assert.is_true(errors.is(err, ctx.canceled))
      local server <close> = assert(second:wait(root))
      assert.equal(client:address().port, server:peer().port)
    end)
  end)

  it("closes what nobody has accepted, and wakes the waiters", function()
    run(function(root)
      local listener = assert(uv.listen("127.0.0.1", 0))
      local client <close> = assert(uv.connect(root, "127.0.0.1", listener:address().port))
      ctx.sleep(root, 1)
      listener:close()
      listener:close()
      local chunk, err = client:read(root)
      assert.is_nil(chunk)
      assert.is_true(err == nil or errors.is(err, uv.ECONNRESET))

      listener = assert(uv.listen("127.0.0.1", 0))
      local task = ctx.go(listener.accept, listener, root)
      ctx.sleep(root, 0)
      listener:close()
      local socket
      socket, err = task:wait(root)
      assert.is_nil(socket)
      assert.is_true(errors.is(err, uv.ECLOSED))
      assert.is_true(errors.is(select(2, listener:accept(root)), uv.ECLOSED))
    end)
  end)

  it("shares a port where libuv can, and says where it cannot", function()
    run(function()
      local first, err = uv.listen("127.0.0.1", 0, { reuseport = true })
      if not first then -- no version tells: luv 1.48 drops the flag that libuv 1.49 brought
        assert.is_true(errors.is(err, uv.ENOTSUP))
        return
      end
      local second = assert(uv.listen("127.0.0.1", first:address().port, { reuseport = true }))
      first:close()
      second:close()
    end)
  end)

  it("says that an address is taken, or none", function()
    local listener <close> = assert(uv.listen("127.0.0.1", 0))
    local other, err = uv.listen("127.0.0.1", listener:address().port)
    assert.is_nil(other)
    assert.is_true(errors.is(err, uv.EADDRINUSE))
    other, err = uv.listen("example.org", 80)
    assert.is_nil(other)
    assert.is_true(errors.is(err, uv.EINVAL))
    other, err = uv.listen("300.0.0.1", 80)
    assert.is_nil(other)
    assert.is_true(errors.is(err, uv.EINVAL))
  end)
end)

describe("names", function()
  local await, look_up = core.await, luv.getaddrinfo

  after_each(function()
    core.await, luv.getaddrinfo = await, look_up
  end)

  it("have addresses, and addresses names", function()
    run(function(root)
      local found = assert(uv.getaddrinfo(root, "localhost", 80, { family = "inet" }))
      assert.equal("127.0.0.1", found[1].addr)
      assert.equal(80, found[1].port)
      local name, service = uv.getnameinfo(root, { ip = "127.0.0.1", port = 80 })
      assert.is_string(name)
      assert.is_string(service)
    end)
  end)

  it("are left at once when the context ends, though the lookup goes on", function()
    run(function(root)
      for _ = 1, 20 do
        local found, err = cancelled(root, function(c)
          return uv.getaddrinfo(c, "localhost")
        end)
        assert.is_nil(found)
        assert.equal("context canceled: enough", tostring(err))
      end
      -- Every permit has come back, or soon will: this one waits for it.
      assert.is_table(uv.getaddrinfo(root, "localhost"))
    end)
  end)

  it("leave threads to others, however many are asked for", function()
    run(function(root)
      local tasks = {}
      for i = 1, 50 do
        tasks[i] = ctx.go(uv.getaddrinfo, root, "localhost")
      end
      for i = 1, 50 do
        assert.is_table(tasks[i]:wait(root))
      end
    end)
  end)

  -- The cause: memory was allocated between the permit and the section that releases it, and a
  -- callback that luv never calls released nothing. The fix: the object that releases it is made
  -- before, and has a finalizer.
  it("have their permits back after whatever goes wrong", function()
    run(function(root)
      core.await = function() error("not enough memory", 0) end
      for _ = 1, 10 do
        local ok, err = pcall(uv.getaddrinfo, root, "localhost")
        assert.is_false(ok)
        assert.equal("not enough memory", err)
      end
      core.await = await
      luv.getaddrinfo = function() return true end -- and nobody is called back
      for _ = 1, 2 do
        assert.is_nil((cancelled(root, function(c)
          return uv.getaddrinfo(c, "localhost")
        end)))
      end
      luv.getaddrinfo = look_up
      collectgarbage()
      collectgarbage()
      assert.is_table(uv.getaddrinfo(root, "localhost"))
    end)
  end)
end)
