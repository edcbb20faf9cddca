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
      local function programs()
        local count = 0
        luv.walk(function(handle) if handle:get_type() == "process" then count = count + 1 end end)
        return count
      end
      repeat ctx.sleep(c, 0) until programs() == 2 -- each has begun; a busy loop turns first
      close_all()
      for _, each in ipairs(tasks) do
        tell(each[1], each[2]:wait(c))
      end
      process:close()
    ]])
  end)

  it("calls that come then are told the same", function()
    local names = "accept address recv send send connect address next read write finish peer "
      .. "address wait"
    assert.equal(all_closed(names) .. "connect: true\nstat: true\n", run [[
      -- Each on objects that nobody has asked since: what is asked first must look, too.
      local function first(name, call)
        local listener <close> = assert(uv.listen("127.0.0.1", 0))
        local stream <close> = assert(uv.connect(c, "127.0.0.1", listener:address().port))
        local udp <close> = assert(uv.udp("127.0.0.1"))
        local watcher <close> = assert(uv.watch("/"))
        close_all()
        tell(name, call { listener = listener, stream = stream, udp = udp, watcher = watcher })
      end
      first("accept", function(o) return o.listener:accept(c) end)
      first("address", function(o) return o.listener:address() end)
      first("recv", function(o) return o.udp:recv(c) end)
      first("send", function(o) return o.udp:send(c, "x", "127.0.0.1", 9) end)
      first("send", function(o) return o.udp:send(c, "x") end)
      first("connect", function(o) return o.udp:connect("127.0.0.1", 9) end)
      first("address", function(o) return o.udp:address() end)
      first("next", function(o) return o.watcher:next(c) end)
      first("read", function(o) return o.stream:read(c) end)
      first("write", function(o) return o.stream:write(c, "x") end)
      first("finish", function(o) return o.stream:finish(c) end)
      first("peer", function(o) return o.stream:peer() end)
      first("address", function(o) return o.stream:address() end)
      local process = assert(uv.start(c, "sleep", { args = { 300 }, grace = 0 }))
      close_all()
      tell("wait", process:wait(c))
      process:close()
      -- The loop goes on, with what is made now.
      local again = assert(uv.listen("127.0.0.1", 0))
      io.write("connect: ", tostring(uv.connect(c, "127.0.0.1", again:address().port) ~= nil), "\n")
      io.write("stat: ", tostring(uv.fs_stat(c, "/") ~= nil), "\n")
    ]])
  end)
end)
