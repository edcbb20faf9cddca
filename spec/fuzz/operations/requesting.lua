-- SPDX-License-Identifier: MIT
--- ctx.http's client: to servers of this round, to listeners that do not speak HTTP, to nobody.
local ctx = require "ctx"
local http = require "ctx.http"

local operations, classes = {}, {}

--- A URL of some server of this round.
local function url_of(play)
  local class = play:pick { "ctx.http.Server", "ctx.http.Server", "ctx.uv.Listener" }
  local to = play:one(class)
  local address = to and to:address()
  local port = type(address) == "table" and address.port or 1
  return ("http://%s:%d/%s"):format(play:pick { "127.0.0.1", "localhost" }, port,
    play:pick { "", "a/1", "b?x=1", "c/../d" })
end

local function body_of(play)
  local left = play.random(4)
  if play:chance(2) then
    return ("p"):rep(play.random(200000))
  end
  return function()
    left = left - 1
    if play:chance(6) then
      return play:callback()()
    end
    return left > 0 and "piece" or nil
  end
end

local function options_of(play)
  return {
    headers = play:chance(3) and { ["X-A"] = "1", Accept = false } or nil,
    stream = play:chance(2), idle_timeout = play.random(30), connect_timeout = play.random(30),
    follow = play.random(3), decompress = play:chance(4), max_body = play:pick { 10, 1000000 },
    high_water = play:chance(3) and 10 or nil, propagate = play:chance(2),
    http_version = play:chance(4) and "1.0" or nil,
    proxy = play:chance(8) and "http://127.0.0.1:1" or nil,
  }
end

local function judge(play, response, err)
  play:claim(response or err ~= nil, "a request failed without an error")
  if response then
    play:keep("ctx.http.client.Response", response)
  end
  return response
end

local function client(play)
  return play:keep("ctx.http.client.Client", http.client { max_idle = play.random(3),
    max_per_host = play.random(3), max_total = 2 + play.random(4) })
end

classes["ctx.http.client.Client"] = { make = client, retire = function(_, made) made:close() end }
classes["ctx.http.client.Response"] = {
  make = function(play)
    local server <close> = http.server {
      handler = function(req, res)
        res:write(req.ctx, "piece")
        return res:finish(req.ctx, ("b"):rep(play.random(300000)))
      end,
    }
    server:listen("127.0.0.1", 0)
    ctx.go(server.serve, server, play.root)
    local c, cancel = ctx.with_timeout(play.root, 100)
    play:keep("ctx.Cancel", cancel)
    local url = ("http://127.0.0.1:%d/"):format(server:address().port)
    return judge(play, http.get(c, url, { stream = true, high_water = play:pick { 1, 100000 } }))
  end,
  retire = function(_, response) response:close() end,
}

operations["ctx.http.client"] = client

operations["ctx.http.request"] = function(play)
  local options = options_of(play)
  options.url, options.method = url_of(play), play:pick { "GET", "PUT", "HEAD", "DELETE" }
  options.body = options.method == "PUT" and body_of(play) or nil
  judge(play, http.request(play:brief(), options))
end

operations["ctx.http.get"] = function(play)
  judge(play, http.get(play:brief(), url_of(play), options_of(play)))
end

operations["ctx.http.post"] = function(play)
  judge(play, http.post(play:brief(), url_of(play), body_of(play), options_of(play)))
end

operations["ctx.http.client.Client:request"] = function(play)
  local options = options_of(play)
  options.url = url_of(play)
  judge(play, play:one("ctx.http.client.Client"):request(play:brief(), options))
end

operations["ctx.http.client.Client:get"] = function(play)
  judge(play, play:one("ctx.http.client.Client"):get(play:brief(), url_of(play), options_of(play)))
end

operations["ctx.http.client.Client:post"] = function(play)
  judge(play, play:one("ctx.http.client.Client"):post(play:brief(), url_of(play), body_of(play)))
end

operations["ctx.http.client.Client:close"] = function(play)
  play:one("ctx.http.client.Client"):close(play:why())
end

operations["ctx.http.client.Response:read"] = function(play)
  local response = play:need("ctx.http.client.Response")
  local bytes = response:read(play:brief())
  play:claim(bytes == nil or type(bytes) == "string", "bytes that are not a string")
end

operations["ctx.http.client.Response:values"] = function(play)
  play:need("ctx.http.client.Response"):values("content-type")
end

operations["ctx.http.client.Response:close"] = function(play)
  play:need("ctx.http.client.Response"):close(play:why())
end

return { operations = operations, classes = classes }
