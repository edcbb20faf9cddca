-- SPDX-License-Identifier: MIT
--- How the functions of ctx.uv, but for files, are made to wait: see spec.support.asyncs.
local ctx = require "ctx"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local uv = require "ctx.uv"

local made = {}

local function listening()
  local listener = assert(uv.listen("127.0.0.1", 0))
  return listener, listener:address().port
end

--- Connections to a listener, or from it: `call(c)` brings one more, and all are closed at the end.
local function connecting(listener, call, wake)
  local sockets = {}
  local function keep(socket, err)
    sockets[#sockets + 1] = socket
    return socket, err
  end
  return {
    call = function(c) return keep(call(c)) end,
    wake = function() if wake then keep(wake()) end end,
    close = function()
      listener:close()
      for _, socket in ipairs(sockets) do socket:close() end
    end,
  }
end

made["ctx.uv.connect"] = function()
  local listener, port = listening()
  return connecting(listener, function(c) return uv.connect(c, "127.0.0.1", port) end)
end

made["ctx.uv.connect_pipe"] = function()
  local path = os.tmpname()
  os.remove(path)
  return connecting(assert(uv.listen_pipe(path)), function(c) return uv.connect_pipe(c, path) end)
end

made["ctx.uv.Listener:accept"] = function(root)
  local listener, port = listening()
  local accepting = connecting(listener, function(c) return listener:accept(c) end,
    function() return assert(uv.connect(root, "127.0.0.1", port)) end)
  accepting.handle = listener:handle()
  return accepting
end

--- A pair of streams, of which `call` uses the first.
local function pair(root, call, wake)
  local one, other = loopback.pair(root)
  return {
    call = function(c) return call(one, c) end, wake = function() wake(other, one) end,
    handle = one:handle(), close = function() one:close() other:close() end,
  }
end

made["ctx.uv.Stream:read"] = function(root)
  return pair(root, function(stream, c) return stream:read(c) end,
    function(other) other:write(root, "x") end)
end

made["ctx.uv.Stream:read_line"] = function(root)
  return pair(root, function(stream, c) return stream:read_line(c) end,
    function(other) other:write(root, "x\n") end)
end

made["ctx.uv.Stream:read_exactly"] = function(root)
  return pair(root, function(stream, c) return stream:read_exactly(c, 2) end,
    function(other) other:write(root, "xy") end)
end

local LARGE = ("x"):rep(16 * 1024 * 1024)

--- Reads all that comes.
local function swallow(root, stream)
  ctx.go(function() while stream:read(root) do end end)
end

made["ctx.uv.Stream:write"] = function(root)
  return pair(root, function(stream, c) return stream:write(c, LARGE) end,
    function(other) swallow(root, other) end)
end

made["ctx.uv.Stream:finish"] = function(root)
  return pair(root, function(stream, c) return stream:finish(c) end, function() end)
end

made["ctx.uv.getaddrinfo"] = function()
  return { call = function(c) return uv.getaddrinfo(c, "localhost") end, wake = function() end }
end

made["ctx.uv.getnameinfo"] = function()
  return {
    call = function(c) return uv.getnameinfo(c, { ip = "127.0.0.1", port = 80 }) end,
    wake = function() end,
  }
end

made["ctx.uv.Udp:send"] = function()
  local socket = assert(uv.udp("127.0.0.1"))
  return {
    call = function(c) return socket:send(c, "x", "localhost", 9) end, wake = function() end,
    close = function() socket:close() end,
  }
end

made["ctx.uv.Udp:recv"] = function(root)
  local socket = assert(uv.udp("127.0.0.1"))
  return {
    call = function(c) return socket:recv(c) end,
    wake = function() socket:send(root, "x", "127.0.0.1", socket:address().port) end,
    handle = socket:handle(), close = function() socket:close() end,
  }
end

made["ctx.uv.spawn"] = function()
  return {
    call = function(c) return uv.spawn(c, "sleep", { args = { 0.05 }, grace = 100 }) end,
    wake = function() end,
  }
end

for _, method in ipairs { "wait", "close" } do
  made["ctx.uv.Process:" .. method] = function(root)
    local process = assert(uv.start(root, "sleep", { args = { 300 } }))
    return {
      call = function(c) process[method](process, c) return true end,
      wake = function() process:kill() end,
      handle = process._handle, close = function() process:close() end,
    }
  end
end

made["ctx.uv.work"] = function()
  return {
    call = function(c) return uv.work(c, function() return 1 end) end, wake = function() end,
  }
end

made["ctx.uv.poll"] = function()
  local fds = assert(luv.pipe())
  return {
    call = function(c) return uv.poll(c, fds.read, "r") end,
    wake = function() luv.fs_write(fds.write, "x") end,
    close = function()
      luv.fs_close(fds.read)
      luv.fs_close(fds.write)
    end,
  }
end

made["ctx.uv.Watcher:next"] = function()
  local path = os.tmpname()
  local watcher = assert(uv.watch(path))
  return {
    call = function(c) return watcher:next(c) end,
    wake = function() assert(io.open(path, "w")):write("x"):close() end,
    handle = watcher._inbox._handle,
    close = function()
      watcher:close()
      os.remove(path)
    end,
  }
end

return made
