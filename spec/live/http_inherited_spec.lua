-- SPDX-License-Identifier: MIT
--- A server on a socket that another process has bound, as systemd passes them: from descriptor 3.
local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local CHILD = [[
  local ctx, http, signal = require "ctx", require "ctx.http", require "ctx.signal"
  ctx.run(function(root)
    local server = http.server { drain_timeout = 5000, handler = function(req, res)
      return res:finish(req.ctx, "inherited")
    end }
    assert(server:listen { fd = 3 })
    local c, stop <close> = signal.notify(root, "sigterm")
    io.write("serving\n"):flush()
    io.write(tostring(server:serve(c)), "\n")
  end)
]]

local function environment()
  local list = { "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath }
  for name, value in pairs(luv.os_environ()) do
    if not name:find("^LUA_") then
      list[#list + 1] = name .. "=" .. value
    end
  end
  return list
end

--- Starts the child with this descriptor as its 3; line(c) is what it prints next, false the end.
local function start(fd)
  local out, lines, resolve = luv.new_pipe(false), {}, nil
  local child
  child = assert(luv.spawn(luv.exepath(), {
    args = { "-e", CHILD }, env = environment(), stdio = { nil, out, 2, fd },
  }, function()
    child:close()
  end))
  out:read_start(function(_, chunk)
    lines[#lines + 1] = chunk or false
    if not chunk then
      out:close()
    end
    if resolve then
      resolve()
    end
  end)
  return child, function(c)
    if #lines == 0 then
      ctx.await(c, function(wake) resolve = wake end)
      resolve = nil
    end
    return table.remove(lines, 1)
  end
end

describe("a server on an inherited socket", function()
  it("listens on it, serves, shuts down like any other, and leaves it as it was", function()
    testing.run(function(root)
      local c, cancel <close> = ctx.with_timeout(root, 200000)
      local socket = luv.new_tcp()
      assert(socket:bind("127.0.0.1", 0))
      local url = ("http://127.0.0.1:%d/"):format(socket:getsockname().port)
      local port = socket:getsockname().port
      local child, line = start(socket:fileno())
      assert.equal("serving\n", line(c))
      local response = assert(http.get(c, url))
      assert.equal("inherited", response.body)
      child:kill "sigterm"
      assert.equal("true\n", line(c))
      assert.is_false(line(c))
      while child:is_active() or not child:is_closing() do
        ctx.sleep(c, 1)
      end
      -- The socket is still ours, and takes connections as before: the child has only let go of it.
      local limit, stop <close> = ctx.with_timeout(c, 5000)
      assert(uv.connect(limit, "127.0.0.1", port)):close()
      socket:close()
    end, { real = true, name = "the spec" })
  end)
end)
