-- SPDX-License-Identifier: MIT
--- Everything that is closed at once, by `close([why])`, and each way to wait on it.
---
--- closables[class] is a list of functions make(root) by the name of the wait. Each gives an object
--- of the class and `wait(c)`, which waits on it, and with `once` must not be called again;
--- `done()` closes the rest.
local ctx = require "ctx"
local folder = require "spec.support.folder"
local http = require "ctx.http"
local loopback = require "spec.support.loopback"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local MUCH = ("x"):rep(16 * 1024 * 1024)

local closables = {}

-- -- ctx.uv ---------------------------------------------------------------------------------------

local function stream(wait, options)
  return function(root)
    local one, other = loopback.pair(root, options)
    return { object = one, wait = function(c) return wait(one, c) end,
      done = function() one:close() other:close() end }
  end
end

closables["ctx.uv.Stream"] = {
  read = stream(function(one, c) return one:read(c) end),
  read_line = stream(function(one, c) return one:read_line(c) end),
  read_exactly = stream(function(one, c) return one:read_exactly(c, 2) end),
  write = stream(function(one, c) return one:write(c, MUCH) end),
  finish = stream(function(one, c)
    assert(one:is_closed() or one:write(c, MUCH))
    return one:finish(c)
  end, { high_water = 2 * #MUCH }),
}

--- An object that opens without a wait.
local function opened(open, wait)
  return function()
    local object = assert(open())
    return { object = object, wait = function(c) return wait(object, c) end,
      done = function() object:close() end }
  end
end

closables["ctx.uv.Listener"] = {
  accept = opened(function() return uv.listen("127.0.0.1", 0) end, function(one, c)
    return one:accept(c)
  end),
}

local function datagrams() return uv.udp("127.0.0.1") end

closables["ctx.uv.Udp"] = {
  recv = opened(datagrams, function(one, c) return one:recv(c) end),
  send = opened(datagrams, function(one, c) return one:send(c, "x", "localhost", 9) end),
}

closables["ctx.uv.Watcher"] = {
  next = function()
    local path = folder.new()
    local watcher = assert(uv.watch(path))
    return { object = watcher, wait = function(c) return watcher:next(c) end,
      done = function() watcher:close() folder.remove(path) end }
  end,
}

-- -- The client -----------------------------------------------------------------------------------

--- A server that begins an answer, and never ends it.
local function slow(root, head)
  return raw_server.start(root, function(peer)
    peer:request()
    peer:send(head)
    peer.stream:read(root)
  end)
end

local function client(ask)
  return function(root)
    local server = slow(root, "")
    local object = http.client()
    return { object = object, wait = function(c) return ask(object, c, server:url("/")) end,
      done = function() object:close() getmetatable(server).__close(server) end }
  end
end

closables["ctx.http.client.Client"] = {
  request = client(function(one, c, url) return one:request(c, { url = url }) end),
  get = client(function(one, c, url) return one:get(c, url) end),
  post = client(function(one, c, url) return one:post(c, url, "x") end),
  ["read of a response"] = function(root)
    local server = slow(root, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    local object = http.client()
    local response = assert(object:get(root, server:url("/"), { stream = true }))
    return { object = object, wait = function(c) return response:read(c) end,
      done = function()
        response:close()
        object:close()
        getmetatable(server).__close(server)
      end }
  end,
}

closables["ctx.http.client.Response"] = {
  read = function(root)
    local it = closables["ctx.http.client.Client"]["read of a response"](root)
    local _, response = debug.getupvalue(it.wait, 1)
    it.object = response
    return it
  end,
}

-- -- The server -----------------------------------------------------------------------------------

--- A server with one request, for whose handler wait(server, c, req, res) waits.
local function served(wait, once)
  return function(root)
    local known, know = ctx.with_cancel(root)
    local over, finish = ctx.with_cancel(root)
    local request, response
    local server = http.server { handler = function(req, res)
      request, response = req, res
      know()
      over:wait()
      return true
    end }
    assert(server:listen("127.0.0.1", 0))
    local serving = ctx.go(server.serve, server, root)
    local peer = assert(uv.connect(root, "127.0.0.1", server:address().port))
    assert(peer:write(root, "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
      .. "Content-Length: 9\r\n\r\n"))
    known:wait()
    return { object = server, ctx = request.ctx, once = once,
      wait = function(c) return wait(server, c, request, response) end,
      done = function()
        finish()
        server:close()
        peer:close()
        serving:wait(root)
      end }
  end
end

closables["ctx.http.Server"] = {
  serve = function(root)
    local server = http.server { handler = function() end }
    assert(server:listen("127.0.0.1", 0))
    return { object = server, once = true, wait = function() return server:serve(root) end,
      done = function() server:close() end }
  end,
  shutdown = served(function(server, c) return server:shutdown(c) end),
}

--- What handlers wait for ends with the connection: its tasks are those of the server.
for _, method in ipairs { "read", "body", "json" } do
  closables["ctx.http.Server"]["a request's " .. method] = served(function(_, c, req)
    return req[method](req, c)
  end)
end
for _, method in ipairs { "write", "finish" } do
  closables["ctx.http.Server"]["a response's " .. method] = served(function(_, c, _, res)
    return res[method](res, c, MUCH)
  end, method == "finish")
end

return closables
