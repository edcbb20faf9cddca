-- SPDX-License-Identifier: MIT
-- Cause: a program may end with uv.walk(close), which closes handles under those that use them.
-- libuv then aborts the process in functions for datagrams, and nobody woke the tasks that waited
-- on the others. Cure: each asks whether its handle is closing before it calls luv; and when the
-- scheduler sees that its own handles were closed, all that wait look at theirs.
local program = require "spec.support.program"

local function run(body)
  local output, noise, code = program.run([[
    local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
    local errors = require "ctx.errors"
    local function close_all()
      luv.walk(function(handle) if not handle:is_closing() then handle:close() end end)
    end
    local function tell(name, ...)
      local value, err = ...
      local closed = value == nil and errors.is(err, uv.ECLOSED)
      io.write(name, ": ", closed and "closed" or tostring(value) .. ", " .. tostring(err), "\n")
    end
    ctx.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      ]] .. body .. [[
    end)
    os.exit(true, true)]])
  assert.equal("", noise)
  assert.equal(0, code)
  return output
end

--- One line "name: closed" for each name.
local function all_closed(names)
  local lines = (names .. " "):gsub("(%S+) ", "%1: closed\n")
  return lines
end

describe("after uv.walk(close)", function()
  it("those that wait are woken with ECLOSED", function()
    local names = "accept accept recv read write poll connect wait spawn"
    assert.equal(all_closed(names), run [[
      local listener = assert(uv.listen("127.0.0.1", 0))
      local stream = assert(uv.connect(c, "127.0.0.1", listener:address().port))
      local peer = assert(listener:accept(c))
      local udp = assert(uv.udp("127.0.0.1"))
      local process = assert(uv.start(c, "sleep", { args = { 300 }, grace = 0 }))
      local fds = assert(luv.pipe())
      local full = luv.new_tcp() -- its backlog is: a connection is neither taken nor refused
      full:bind("127.0.0.1", 0)
      full:listen(0, function() end)
      local port = full:getsockname().port
      for _ = 1, 2 do -- libuv takes one out of it as soon as it can
        for _ = 1, 4 do luv.new_tcp():connect("127.0.0.1", port, function() end) end
        ctx.sleep(c, 1)
      end
      local tasks = {}
      local function go(name, fn, ...)
        tasks[#tasks + 1] = { name, ctx.go(fn, ...) }
      end
      go("accept", listener.accept, listener, c)
      go("accept", listener.accept, listener, c)
      go("recv", udp.recv, udp, c)
      go("read", peer.read, peer, c)
      go("write", peer.write, peer, c, ("x"):rep(1 << 26))
      go("poll", uv.poll, c, fds.read)
      go("connect", uv.connect, c, "127.0.0.1", port)
      go("wait", process.wait, process, c)
      go("spawn", uv.spawn, c, "sleep", { args = { 300 }, grace = 0 })
      ctx.sleep(c, 0) -- each has begun
      close_all()
      for _, each in ipairs(tasks) do
        tell(each[1], each[2]:wait(c))
      end
      process:close()
    ]])
  end)

  it("calls that come then are told the same", function()
    local names = "accept address recv send send connect address next read write shutdown peer wait"
    assert.equal(all_closed(names) .. "connect: true\nstat: true\n", run [[
      local listener = assert(uv.listen("127.0.0.1", 0))
      local stream = assert(uv.connect(c, "127.0.0.1", listener:address().port))
      local udp = assert(uv.udp("127.0.0.1"))
      local watcher = assert(uv.watch("/"))
      local process = assert(uv.start(c, "sleep", { args = { 300 }, grace = 0 }))
      close_all()
      tell("accept", listener:accept(c))
      tell("address", listener:address())
      tell("recv", udp:recv(c))
      tell("send", udp:send(c, "x", "127.0.0.1", 9))
      tell("send", udp:send(c, "x"))
      tell("connect", udp:connect("127.0.0.1", 9))
      tell("address", udp:address())
      tell("next", watcher:next(c))
      tell("read", stream:read(c))
      tell("write", stream:write(c, "x"))
      tell("shutdown", stream:shutdown(c))
      tell("peer", stream:peer())
      tell("wait", process:wait(c))
      process:close()
      for _, each in ipairs { listener, stream, udp, watcher } do each:close() end
      -- The loop goes on, with what is made now.
      local again = assert(uv.listen("127.0.0.1", 0))
      io.write("connect: ", tostring(uv.connect(c, "127.0.0.1", again:address().port) ~= nil), "\n")
      io.write("stat: ", tostring(uv.fs_stat(c, "/") ~= nil), "\n")
    ]])
  end)
end)
