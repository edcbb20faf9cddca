-- SPDX-License-Identifier: MIT
-- Datagrams.
local ctx = require "ctx"
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local loop = require "ctx.loop"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local run, cancelled = loopback.run, loopback.cancelled

describe("uv.udp", function()
  --- Runs fn with one of luv's functions replaced.
  local function with(functions, name, replacement, fn)
    local original = functions[name]
    functions[name] = replacement(original)
    local ok, err = pcall(fn)
    functions[name] = original
    assert(ok, err)
  end

  -- The first address of a name went to the socket, of whatever family.
  it("looks for addresses of its own family", function()
    run(function(root)
      local families = {}
      with(loop.uv, "getaddrinfo", function(original)
        return function(name, service, hints, callback)
          if not callback then -- whether that is a numeric address
            return original(name, service, hints)
          end
          families[#families + 1] = hints.family or "both"
          return original("127.0.0.1", service, { socktype = hints.socktype }, callback)
        end
      end, function()
        for _, address in ipairs { "0.0.0.0", "127.0.0.1", "::", "::1" } do
          local socket <close> = uv.udp(address)
          if socket then
            socket:send(root, "x", "a-name", 9)
          else
            families[#families + 1] = address == "::" and "both" or "inet6" -- no IPv6 here
          end
        end
      end)
      assert.same({ "inet", "inet", "both", "inet6" }, families)
    end)
  end)

  it("tells a send that waits of its close", function()
    run(function(root)
      local socket <close> = assert(uv.udp("127.0.0.1"))
      local class, back = debug.getregistry().uv_udp.__index, nil
      with(class, "try_send", function()
        return function() return nil, "EAGAIN: not now", "EAGAIN" end
      end, function()
        with(class, "send", function()
          return function(_, _, _, _, callback)
            back = callback
            return socket:handle()
          end
        end, function()
          local task = ctx.go(socket.send, socket, root, "x", "127.0.0.1", 9)
          ctx.sleep(root, 0)
          socket:close()
          back("ECANCELED")
          assert.is_true(errors.is(select(2, task:wait(root)), uv.ECLOSED))
        end)
      end)
    end)
  end)

  it("sends and receives", function()
    run(function(root)
      local one <close> = assert(uv.udp("127.0.0.1"))
      local other <close> = assert(uv.udp("127.0.0.1"))
      local port = other:address().port
      assert.is_true(one:send(root, "first", "127.0.0.1", port))
      assert.is_true(one:send(root, "", "localhost", port))
      local data, from = other:recv(root)
      assert.equal("first", data)
      assert.equal(one:address().port, from.port)
      assert.equal("", other:recv(root))
      assert.is_true(one:connect("127.0.0.1", port))
      assert.is_true(one:send(root, "connected"))
      assert.equal("connected", other:recv(root))
    end)
  end)

  it("ends a wait with its context, and when somebody closes it", function()
    run(function(root)
      local socket <close> = assert(uv.udp("127.0.0.1"))
      local data, err = cancelled(root, function(c)
        return socket:recv(c)
      end)
      assert.is_nil(data)
      assert.equal("context canceled: enough", tostring(err))
      assert.is_true(socket:send(root, "myself", "127.0.0.1", socket:address().port))
      assert.equal("myself", socket:recv(root))
      local task = ctx.go(socket.recv, socket, root)
      ctx.sleep(root, 0)
      socket:close()
      data, err = task:wait(root)
      assert.is_nil(data)
      assert.is_true(errors.is(err, uv.ECLOSED))
      assert.is_true(errors.is(select(2, socket:send(root, "x", "127.0.0.1", 1)), uv.ECLOSED))
    end)
  end)

  it("refuses ports and options that make no sense at the caller's line", function()
    run(function(root)
      local socket <close> = assert(uv.udp("127.0.0.1"))
      for _, port in ipairs { 70000, -1, 1.5 } do
        misuse.raises(function() uv.udp("127.0.0.1", port) end, "a port, a whole")
        misuse.raises(function() socket:send(root, "x", "127.0.0.1", port) end, "a port, a whole")
        misuse.raises(function() socket:connect("127.0.0.1", port) end, "a port, a whole")
      end
      misuse.raises(function() uv.udp("127.0.0.1", 0, { reusadr = true }) end, '"reusadr"')
      assert.is_true(errors.is(select(2, uv.udp("127.0.0.01", 0)), uv.EINVAL))
    end)
  end)

  it("hears of a peer that is not there", function()
    run(function(root)
      local gone = assert(uv.udp("127.0.0.1"))
      local port = gone:address().port
      gone:close()
      ctx.sleep(root, 1)
      local socket <close> = assert(uv.udp("127.0.0.1"))
      assert(socket:connect("127.0.0.1", port))
      assert(socket:send(root, "anybody?"))
      local data, err = socket:recv(root)
      assert.is_nil(data)
      assert.is_true(errors.is(err, uv.ECONNREFUSED))
    end)
  end)
end)
