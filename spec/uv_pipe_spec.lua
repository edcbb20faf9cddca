-- SPDX-License-Identifier: MIT
-- Pipes, luv's own streams and descriptors, and misuse of streams.
local errors = require "ctx.errors"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local uv = require "ctx.uv"

local pair, run = loopback.pair, loopback.run

describe("other streams", function()
  it("are pipes", function()
    run(function(root)
      local path = os.tmpname()
      os.remove(path)
      local listener <close> = assert(uv.listen_pipe(path))
      assert.equal(path, listener:address())
      local client <close> = assert(uv.connect_pipe(root, path))
      local server <close> = assert(listener:accept(root))
      assert(client:write(root, "through the pipe\n"))
      assert.equal("through the pipe", server:read_line(root))
      listener:close()
      local again, err = uv.connect_pipe(root, path)
      assert.is_nil(again)
      assert.is_true(errors.is(err, uv.ENOENT))
    end)
  end)

  -- libuv cut what was too long: another file, which nobody removed; and bound nothing for nothing.
  it("are refused at an invalid path", function()
    run(function(root)
      for path, code in pairs {
        ["/" .. ("x"):rep(108)] = "ENAMETOOLONG", [""] = "EINVAL", ["\0abstract"] = "EINVAL",
      } do
        local nothing, err = uv.listen_pipe(path)
        assert.is_nil(nothing)
        assert.equal(code, err.code)
        nothing, err = uv.connect_pipe(root, path)
        assert.is_nil(nothing)
        assert.equal(code, err.code)
      end
    end)
  end)

  it("are luv's own, and descriptors", function()
    run(function(root)
      local fds = assert(luv.socketpair())
      local one <close> = assert(uv.open(fds[1]))
      local handle = luv.new_pipe(false)
      handle:open(fds[2])
      local other <close> = uv.stream(handle)
      assert(one:write(root, "hello"))
      assert.equal("hello", other:read(root))
    end)
  end)

  it("are not files", function()
    local fd = assert(luv.fs_open("/dev/null", "r", 0))
    local found, err = uv.open(fd)
    luv.fs_close(fd)
    assert.is_nil(found)
    assert.is_true(errors.is(err, uv.ENOTSUP))
  end)

  it("know both their addresses", function()
    run(function(root)
      local client <close>, server = pair(root)
      local _ <close> = server
      assert.equal(client:address().port, server:peer().port)
      server:close()
      assert.is_nil((server:address()))
    end)
  end)
end)

describe("misuse of a stream", function()
  it("raises at the caller's line", function()
    run(function(root)
      local client <close>, server = pair(root)
      local _ <close> = server
      local function raises(expected, ...)
        local ok, err = pcall(...)
        assert.is_false(ok)
        assert.truthy(err:find(expected, 1, true), err)
        assert.truthy(err:find("uv_pipe_spec.lua", 1, true), err)
      end
      raises("c: a context expected, got nil", function() client:read() end)
      raises("data: a string or a list of strings", function() client:write(root, 1) end)
      raises("data: a list of strings", function() client:write(root, { "a", 5 }) end)
      raises("n: a whole number", function() client:read_exactly(root, 1.5) end)
      raises("ms: a positive number", function() client:set_idle(0) end)
    end)
  end)
end)

describe("a method of ctx.uv that is called with a dot", function()
  it("says so, at the caller's line", function()
    run(function(root)
      local client <close>, server = pair(root)
      local _ <close> = server
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      local datagrams <close> = assert(uv.udp("127.0.0.1", 0))
      local watcher <close> = assert(uv.watch("."))
      local running <close> = assert(uv.start(root, "sleep", { args = { "100" } }))
      for object, names in pairs({
        [client] = { "read", "read_exactly", "read_line", "write", "finish", "set_idle", "close",
          "is_closed", "handle", "address", "peer" },
        [listener] = { "accept", "close", "address", "is_closed", "handle" },
        [datagrams] = { "recv", "send", "connect", "address", "handle" },
        [watcher] = { "next" },
        [running] = { "wait", "kill", "close" },
      }) do
        for _, name in ipairs(names) do
          misuse.raises(function() object[name](root) end, "bad self to '" .. name .. "'", "colon")
        end
      end
    end)
  end)
end)
