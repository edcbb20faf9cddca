-- SPDX-License-Identifier: MIT
--- ctx.uv: streams, listeners, names, datagrams, descriptors.
local ctx = require "ctx"
local luv = require "luv"
local uv = require "ctx.uv"

local operations, classes = {}, {}

local function close(_, object)
  object:close()
end

-- -- Objects --------------------------------------------------------------------------------------

local function listen(play)
  return play:keep("ctx.uv.Listener", (uv.listen("127.0.0.1", 0, { backlog = 8 })))
end

--- A listener of this process and a connection to it; the other end is kept, too, when it comes.
local function connect(play)
  local listener = play:one("ctx.uv.Listener")
  local address = listener and listener:address()
  if type(address) ~= "table" then
    return nil
  end
  ctx.go(function()
    play:keep("ctx.uv.Stream", (listener:accept(play:brief())))
  end)
  local options = { idle = play:chance(4) and play.random(9) or nil,
    bind = play:chance(4) and "127.0.0.1" or nil, high_water = play:pick { 0, 100 } }
  return play:keep("ctx.uv.Stream",
    (uv.connect(play:brief(), play:pick { "127.0.0.1", "localhost" }, address.port, options)))
end

local function pair(play)
  local fds = luv.socketpair(nil, nil, { nonblock = true }, { nonblock = true })
  if not fds then
    return nil
  end
  play:keep("ctx.uv.Stream", (uv.open(fds[1])))
  return play:keep("ctx.uv.Stream", (uv.open(fds[2])))
end

classes["ctx.uv.Listener"] = { make = listen, retire = close }
classes["ctx.uv.Stream"] = {
  make = function(play)
    return play:chance(2) and pair(play) or connect(play)
  end,
  retire = close,
}
classes["ctx.uv.Error"] = {
  make = function(play)
    local _, err = uv.connect(play:brief(), "127.0.0.1", 1)
    return play:keep("ctx.uv.Error", err)
  end,
}

-- -- Connecting and listening ---------------------------------------------------------------------

operations["ctx.uv.connect"] = function(play)
  connect(play)
  local stream, err = uv.connect(play:brief(), play:pick { "127.0.0.1", "::1" },
    play:pick { 1, 9, 65535 }, { resolve = play:chance(3) and play:callback({}) or nil })
  play:claim(stream or err ~= nil, "connect failed without an error")
  play:keep("ctx.uv.Stream", stream)
end

operations["ctx.uv.listen"] = listen

operations["ctx.uv.listen_pipe"] = function(play)
  play.pipes = (play.pipes or 0) + 1
  local path = "pipe-" .. play.pipes % 4
  play:keep("ctx.uv.Listener", (uv.listen_pipe(path)))
  play:keep("ctx.uv.Stream", (uv.connect_pipe(play:brief(), path)))
end

operations["ctx.uv.connect_pipe"] = function(play)
  local stream, err = uv.connect_pipe(play:brief(), "pipe-" .. play.random(4))
  play:claim(stream or err ~= nil, "connect_pipe failed without an error")
  play:keep("ctx.uv.Stream", stream)
end

operations["ctx.uv.listen_fd"] = function(play)
  local fds = luv.socketpair()
  if fds then
    local listener = uv.listen_fd(fds[1]) -- is not bound: fails, or not
    if listener then
      listener:close()
    else
      luv.fs_close(fds[1])
    end
    luv.fs_close(fds[2])
  end
end

operations["ctx.uv.stream"] = function(play)
  local pipe = luv.new_pipe(false)
  local fds = luv.socketpair(nil, nil, { nonblock = true }, { nonblock = true })
  pipe:open(fds[1])
  play:keep("ctx.uv.Stream", uv.stream(pipe, { idle = play.random(10) }))
  play:keep("ctx.uv.Stream", (uv.open(fds[2])))
end

operations["ctx.uv.open"] = pair

operations["ctx.uv.Listener:accept"] = function(play)
  local listener = play:need("ctx.uv.Listener")
  if play:chance(2) then
    ctx.go(connect, play)
  end
  play:keep("ctx.uv.Stream", (play:outcome("accept", listener:accept(play:brief()))))
end

operations["ctx.uv.Listener:close"] = function(play)
  play:need("ctx.uv.Listener"):close(play:why())
end

operations["ctx.uv.Listener:address"] = function(play)
  play:outcome("address", play:need("ctx.uv.Listener"):address())
end

operations["ctx.uv.Listener:is_closed"] = function(play)
  play:need("ctx.uv.Listener"):is_closed()
end

operations["ctx.uv.Listener:handle"] = function(play)
  play:need("ctx.uv.Listener"):handle()
end

-- -- Streams --------------------------------------------------------------------------------------

local function judge(play, name, bytes, err)
  play:claim(bytes == nil or type(bytes) == "string", "%s returned a %s", name, type(bytes))
  play:claim(bytes == nil or err == nil or err == uv.EOF, "%s returned bytes and an error", name)
end

operations["ctx.uv.Stream:read"] = function(play)
  judge(play, "read", play:need("ctx.uv.Stream"):read(play:brief()))
end

operations["ctx.uv.Stream:read_line"] = function(play)
  judge(play, "read_line", play:need("ctx.uv.Stream"):read_line(play:brief(), play.random(100)))
end

operations["ctx.uv.Stream:read_exactly"] = function(play)
  local n = play.random(100) - 1
  local bytes = play:need("ctx.uv.Stream"):read_exactly(play:brief(), n)
  play:claim(not bytes or #bytes == n, "not so many bytes")
end

operations["ctx.uv.Stream:write"] = function(play)
  local data = play:pick { "x", "a line\n", ("z"):rep(play.random(300000)), { "a", "b\n" }, "" }
  play:outcome("write", play:need("ctx.uv.Stream"):write(play:brief(), data))
end

operations["ctx.uv.Stream:finish"] = function(play)
  play:outcome("finish", play:need("ctx.uv.Stream"):finish(play:brief()))
end

operations["ctx.uv.Stream:close"] = function(play)
  play:need("ctx.uv.Stream"):close(play:why())
end

operations["ctx.uv.Stream:set_idle"] = function(play)
  play:need("ctx.uv.Stream"):set_idle(play.random(20))
end

operations["ctx.uv.Stream:is_closed"] = function(play)
  play:need("ctx.uv.Stream"):is_closed()
end

operations["ctx.uv.Stream:address"] = function(play)
  play:need("ctx.uv.Stream"):address()
end

operations["ctx.uv.Stream:peer"] = function(play)
  play:need("ctx.uv.Stream"):peer()
end

operations["ctx.uv.Stream:handle"] = function(play)
  play:need("ctx.uv.Stream"):handle()
end

operations["ctx.uv.Error:timeout"] = function(play)
  play:need("ctx.uv.Error"):timeout()
end

operations["ctx.uv.Error:temporary"] = function(play)
  play:need("ctx.uv.Error"):temporary()
end

-- -- Names ----------------------------------------------------------------------------------------

operations["ctx.uv.getaddrinfo"] = function(play)
  play:outcome("getaddrinfo", uv.getaddrinfo(play:brief(), play:pick { "127.0.0.1", "localhost" },
    play:pick { 80, "http" }))
end

operations["ctx.uv.getnameinfo"] = function(play)
  play:outcome("getnameinfo", uv.getnameinfo(play:brief(), { ip = "127.0.0.1", port = 80 }))
end

-- -- Datagrams ------------------------------------------------------------------------------------

local function udp(play)
  return play:keep("ctx.uv.Udp", (uv.udp("127.0.0.1", 0)))
end

classes["ctx.uv.Udp"] = { make = udp, retire = close }

local function port_of(play)
  local address = play:need("ctx.uv.Udp"):address()
  return address and address.port or 9
end

operations["ctx.uv.udp"] = udp

operations["ctx.uv.Udp:send"] = function(play)
  play:need("ctx.uv.Udp"):send(play:brief(), ("d"):rep(play.random(2000)), "127.0.0.1",
    port_of(play))
end

operations["ctx.uv.Udp:recv"] = function(play)
  play:outcome("recv", play:need("ctx.uv.Udp"):recv(play:brief()))
end

operations["ctx.uv.Udp:connect"] = function(play)
  play:need("ctx.uv.Udp"):connect("127.0.0.1", port_of(play))
end

operations["ctx.uv.Udp:address"] = function(play)
  play:need("ctx.uv.Udp"):address()
end

operations["ctx.uv.Udp:close"] = function(play)
  play:need("ctx.uv.Udp"):close(play:why())
end

operations["ctx.uv.Udp:handle"] = function(play)
  play:need("ctx.uv.Udp"):handle()
end

-- -- Descriptors ----------------------------------------------------------------------------------

operations["ctx.uv.poll"] = function(play)
  local fds = luv.socketpair()
  if fds then
    local _ <close> = setmetatable({}, { __close = function()
      luv.fs_close(fds[1])
      luv.fs_close(fds[2])
    end })
    play:outcome("poll", uv.poll(play:brief(), fds[1], play:pick { "r", "w", "rw" }))
  end
end

return { operations = operations, classes = classes }
