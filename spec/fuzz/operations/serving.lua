-- SPDX-License-Identifier: MIT
--- ctx.http: servers and what their handlers get. The handler keeps its request and its response
--- for other operations, lets them come for a while, and ends in one of the ways there are.
local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"
local uv = require "ctx.uv"

local operations, classes = {}, {}

-- -- Handlers -------------------------------------------------------------------------------------

local endings = {
  function(play, req, res) return res:finish(req.ctx, ("b"):rep(play.random(100000))) end,
  function(_, req, res) return res:write(req.ctx, "piece") end,
  function(play) error(play:strange_error(), 0) end,
  function(_, req) return req:body() end,
  function(_, _, res) return http.error(res, 418, "on purpose") end,
  function() return nil, http.failure(409) end,
  function() return nil, http.abort end,
  function(play) return play:callback()() end,
  function() return nil end,
}

local function handler_of(play)
  return function(req, res)
    play:keep("ctx.http.Request", req)
    play:keep("ctx.http.Response", res)
    if play:chance(3) then
      play:step("a handler")
    end
    ctx.sleep(req.ctx, play.random(6) - 1)
    return play:pick(endings)(play, req, res)
  end
end

local function chain(play, handler)
  return http.chain(handler, http.request_id(),
    http.timeout(play.random(30), "on purpose"), function(next)
      return function(req, res) return next(req, res) end
    end)
end

local function router(play)
  local routes = http.router()
  routes:get("/a/{id}", handler_of(play))
  routes:handle("*", "/{rest...}", chain(play, handler_of(play)))
  return play:keep("ctx.http.Router", routes)
end

classes["ctx.http.Router"] = { make = router }

-- -- Servers --------------------------------------------------------------------------------------

local function server(play)
  local made = http.server {
    handler = play:chance(2) and router(play):handler() or handler_of(play),
    request_timeout = play:chance(2) and play.random(30) or nil,
    read_header_timeout = play.random(40), idle_timeout = play.random(60),
    read_timeout = play.random(40), write_timeout = play.random(40),
    drain_timeout = play:chance(2) and play.random(20) or nil,
    max_body = play:pick { 10, 1000000 }, max_requests = play:chance(4) and 2 or nil,
    on_error = play:chance(2) and play:callback() or nil,
    access_log = play:chance(2) and play:callback() or nil,
  }
  play:keep("ctx.http.Server", made)
  made:listen("127.0.0.1", 0)
  ctx.go(made.serve, made, play.root)
  return made
end

classes["ctx.http.Server"] = { make = server, retire = function(_, made) made:close() end }

operations["ctx.http.server"] = server

operations["ctx.http.Server:listen"] = function(play)
  local made = play:need("ctx.http.Server")
  play:keep("ctx.uv.Listener", (made:listen { host = "127.0.0.1", port = 0, backlog = 4 }))
end

operations["ctx.http.Server:address"] = function(play)
  play:need("ctx.http.Server"):address()
end

operations["ctx.http.Server:serve"] = function(play)
  local made <close> = http.server { handler = handler_of(play) }
  made:listen("127.0.0.1", 0)
  play:outcome("serve", made:serve(play:brief()))
end

local TEXTS = {
  "GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "nonsense\r\n\r\n", "GET ",
  "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}

operations["ctx.http.Server:serve_stream"] = function(play)
  local fds = assert(luv.socketpair(nil, nil, { nonblock = true }, { nonblock = true }))
  local client = play:keep("ctx.uv.Stream", (uv.open(fds[1])))
  local stream = play:keep("ctx.uv.Stream", (uv.open(fds[2])))
  server(play):serve_stream(stream)
  client:write(play:brief(), play:pick(TEXTS))
  client:read(play:brief())
end

operations["ctx.http.Server:shutdown"] = function(play)
  local made = play:chance(2) and server(play) or play:need("ctx.http.Server")
  play:outcome("shutdown", made:shutdown(play:brief()))
end

operations["ctx.http.Server:close"] = function(play)
  server(play):close(play:why())
end

operations["ctx.http.Server:draining"] = function(play)
  play:claim(play:need("ctx.http.Server"):draining(), "no context")
end

operations["ctx.http.Server:is_draining"] = function(play)
  play:need("ctx.http.Server"):is_draining()
end

operations["ctx.http.Server:stats"] = function(play)
  for name, n in pairs(play:need("ctx.http.Server"):stats()) do
    play:claim(n >= 0, "%s is %d", name, n)
  end
end

-- -- Requests and responses -----------------------------------------------------------------------

--- Lets a request come to a server of its own, whose handler keeps what it gets for a while.
local function let_come(class)
  return function(play)
    local object
    local made = http.server {
      handler = function(req, res)
        play:keep("ctx.http.Request", req)
        play:keep("ctx.http.Response", res)
        object = class == "ctx.http.Request" and req or res
        ctx.sleep(req.ctx, 20)
        return play:pick(endings)(play, req, res)
      end,
    }
    play:keep("ctx.http.Server", made)
    made:listen("127.0.0.1", 0)
    ctx.go(made.serve, made, play.root)
    local c, cancel <close> = ctx.with_timeout(play.root, 100)
    local stream = uv.connect(c, "127.0.0.1", made:address().port)
    if stream then
      play:keep("ctx.uv.Stream", stream)
      stream:write(c, "POST /a/b?x=1&y=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        .. "\r\n123456789")
      while not object and not c:err() do
        ctx.sleep(c, 1)
      end
    end
    return object
  end
end

classes["ctx.http.Request"] = { make = let_come("ctx.http.Request") }
classes["ctx.http.Response"] = { make = let_come("ctx.http.Response") }

local function request(key, call)
  operations["ctx.http.Request:" .. key] = function(play)
    return call(play:need("ctx.http.Request"), play)
  end
end

request("body", function(req, play) return req:body(play:brief()) end)
request("read", function(req, play) return req:read(play:brief()) end)
request("json", function(req, play) return req:json(play:brief()) end)
request("values", function(req) return req:values("x") end)
request("with_context", function(req, play) return req:with_context(play:brief()) end)
request("peer", function(req) return req:peer() end)
request("remote", function(req) return req:remote() end)
request("draining", function(req) return req:draining() end)
request("hijack", function(req, play)
  if play:chance(2) then
    play:keep("ctx.uv.Stream", (req:hijack()))
  end
end)

local function response(key, call)
  operations["ctx.http.Response:" .. key] = function(play)
    local res = play:need("ctx.http.Response")
    if play:chance(4) then
      res.headers[play:pick { "X-A", "content-length", "Trailer", "bad name" }] = play:value()
      res.status = play:pick { 200, 204, 304, 500 }
    end
    return call(res, play)
  end
end

response("write", function(res, play) return res:write(play:brief(), "some bytes") end)
response("finish", function(res, play) return res:finish(play:brief(), "the end") end)
response("json", function(res, play) return res:json(play:brief(), 200, { a = 1 }) end)
response("inform", function(res, play) return res:inform(play:brief(), 103, { Link = "</x>" }) end)

operations["ctx.http.error"] = function(play)
  return http.error(play:need("ctx.http.Response"), play:pick { 400, 503 }, "text")
end

operations["ctx.http.failure"] = function(play)
  play.text(http.failure(play:pick { 400, 499, 503 }, "text", play:strange_error()))
end

-- -- Routes and middleware ------------------------------------------------------------------------

for _, method in ipairs { "get", "post", "put", "patch", "delete", "head", "options" } do
  operations["ctx.http.Router:" .. method] = function(play)
    local routes = http.router()
    routes[method](routes, "/" .. method .. "/{x}", handler_of(play))
    routes[method](routes, play:pick { "/{y...}", "/z", "bad" }, handler_of(play))
  end
end

operations["ctx.http.Router:handle"] = function(play)
  play:one("ctx.http.Router"):handle("GET", "/n" .. play.random(1000), handler_of(play))
end

operations["ctx.http.Router:not_found"] = function(play)
  play:one("ctx.http.Router"):not_found(handler_of(play))
end

operations["ctx.http.Router:handler"] = function(play)
  play:claim(type(play:one("ctx.http.Router"):handler()) == "function", "no function")
end

operations["ctx.http.Router:dispatch"] = function(play)
  local res = play:need("ctx.http.Response")
  return play:one("ctx.http.Router"):dispatch(play:need("ctx.http.Request"), res)
end

operations["ctx.http.router"] = router

operations["ctx.http.chain"] = function(play)
  play:claim(type(chain(play, handler_of(play))) == "function", "no function")
end

operations["ctx.http.request_id"] = function(play)
  http.request_id { header = "X-Id", trust = play:chance(2) }
  http.request_id.of(play:context())
end

operations["ctx.http.timeout"] = function(play)
  return http.timeout(play.random(9))(handler_of(play))
end

local function record()
  return { time = 0, method = "GET", path = "/\0\"\n", status = 200, bytes = 1, ms = 1.5,
    remote = "x", cause = "a\nb" }
end

operations["ctx.http.logfmt"] = function(play)
  play:claim(not http.logfmt(record()):find("\n"), "a record of two lines")
end

operations["ctx.http.json"] = function(play)
  play:claim(not http.json(record()):find("\n"), "a record of two lines")
end

operations["ctx.http.query"] = function(play)
  http.query(play:pick { "a=1&b=%zz&&=", "", "%00=%ff", ("a&"):rep(100) })
end

operations["ctx.http.escape"] = function(play)
  play:claim(http.escape("a b\0") == "a%20b%00", "not escaped")
end

operations["ctx.http.join"] = function(play)
  local path = http.join("/srv", play:pick { "a/b", "../a", "", "a\0", "/x", "a//b" })
  play:claim(not path or path:find("^/srv"), "a path outside of the folder: %s", path)
end

return { operations = operations, classes = classes }
