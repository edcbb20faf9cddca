-- SPDX-License-Identifier: MIT
--- How the functions of ctx.http are made to wait: see spec.support.asyncs.
local ctx = require "ctx"
local http = require "ctx.http"
local raw_server = require "spec.support.raw_server"
local uv = require "ctx.uv"

local made = {}

local LARGE = ("x"):rep(16 * 1024 * 1024)

--- A server that serves, and one request to it that its handler does not answer until `finish`.
local function exchange(root, head)
  local c, stop = ctx.with_cancel(root)
  local done, finish = ctx.with_cancel(c)
  local known, know = ctx.with_cancel(c)
  local self = { server = nil, req = nil, res = nil, peer = nil }
  self.server = http.server { handler = function(req, res)
    self.req, self.res = req, res
    know()
    done:wait()
    return true
  end }
  assert(self.server:listen("127.0.0.1", 0))
  local serving = ctx.go(self.server.serve, self.server, c)
  self.peer = assert(uv.connect(root, "127.0.0.1", self.server:address().port))
  self.peer:write(root, head or "GET / HTTP/1.1\r\nHost: spec\r\n\r\n")
  known:wait()
  function self.finish() finish() end
  function self.close()
    finish()
    stop()
    self.peer:close()
    serving:wait(root)
  end
  function self.swallow()
    ctx.go(function() while self.peer:read(root) do end end)
  end
  return self
end

made["ctx.http.Server:serve"] = function(root)
  local server = http.server { handler = function() end }
  assert(server:listen("127.0.0.1", 0))
  return {
    call = function(c) return server:serve(c) end,
    wake = function() server:shutdown(root) end, close = function() server:close() end,
  }
end

made["ctx.http.Server:shutdown"] = function(root)
  local it = exchange(root)
  return {
    call = function(c) return it.server:shutdown(c) end, wake = it.finish, close = it.close,
    unchanged = function() return not it.server:is_draining() end,
  }
end

local WITH_BODY = "POST / HTTP/1.1\r\nHost: spec\r\nContent-Type: application/json\r\n"
  .. "Content-Length: 7\r\n\r\n"

for _, method in ipairs { "body", "read", "json" } do
  made["ctx.http.Request:" .. method] = function(root)
    local it = exchange(root, WITH_BODY)
    return {
      call = function(c) return it.req[method](it.req, c) end,
      wake = function() it.peer:write(root, '"hello"') end, close = it.close,
    }
  end
end

made["ctx.http.Response:write"] = function(root)
  local it = exchange(root)
  return {
    call = function(c) return it.res:write(c, LARGE) end, wake = it.swallow, close = it.close,
  }
end

made["ctx.http.Response:finish"] = function(root)
  local it = exchange(root)
  return {
    call = function(c) return it.res:finish(c, LARGE) end, wake = it.swallow, close = it.close,
  }
end

made["ctx.http.Response:json"] = function(root)
  local it = exchange(root)
  return {
    call = function(c) return it.res:json(c, 200, LARGE) end, wake = it.swallow, close = it.close,
  }
end

made["ctx.http.Response:inform"] = function(root)
  local it = exchange(root)
  return {
    call = function(c) return it.res:inform(c, 103, { link = "</x>" }) end, wake = it.swallow,
    close = it.close, quick = true,
  }
end

made["ctx.http.error"] = function(root)
  local it = exchange(root)
  return {
    call = function() return http.error(it.res, 500, LARGE) end, wake = it.swallow,
    close = it.close,
  }
end

made["ctx.http.Router:dispatch"] = function(root)
  local it = exchange(root)
  local router = http.router()
  router:get("/", function(req, res) return res:finish(req.ctx, LARGE) end)
  return {
    call = function() return router:dispatch(it.req, it.res) end, wake = it.swallow,
    close = it.close, theirs = true,
  }
end

--- A server that answers each request when it is told to.
local function slow_server(root)
  local done, open = ctx.with_cancel(root)
  local server = raw_server.start(root, function(peer)
    while peer:request() do
      done:wait()
      peer:answer("hello")
    end
  end)
  return server, open
end

for module, class in pairs { http = "ctx.http.", Client = "ctx.http.client.Client:" } do
  for _, method in ipairs { "request", "get", "post" } do
    made[class .. method] = function(root)
      local server, open = slow_server(root)
      local client = http.client()
      local function ask(c)
        if method == "request" then
          local what = { method = "GET", url = server:url("/") }
          if module == "http" then return http.request(c, what) end
          return client:request(c, what)
        elseif module == "http" then
          return http[method](c, server:url("/"), method == "post" and "x" or nil)
        end
        return client[method](client, c, server:url("/"), method == "post" and "x" or nil)
      end
      return {
        call = function(c) local a, b = ask(c) return a, b end, wake = open,
        close = function()
          open()
          client:close()
          getmetatable(server).__close(server)
        end,
      }
    end
  end
end

made["ctx.http.client.Response:read"] = function(root)
  local done, open = ctx.with_cancel(root)
  local server = raw_server.start(root, function(peer)
    peer:request()
    peer:send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    done:wait()
    peer:send("hello")
  end)
  local client = http.client()
  local response = assert(client:get(root, server:url("/"), { stream = true }))
  return {
    call = function(c) return response:read(c) end, wake = open,
    close = function()
      open()
      response:close()
      client:close()
      getmetatable(server).__close(server)
    end,
  }
end

return made
