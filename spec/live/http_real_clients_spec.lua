-- SPDX-License-Identifier: MIT
--- The server and the clients that the world has: curl, wrk, ab, nginx in front, Node's fetch.
local ctx = require "ctx"
local folder = require "spec.support.folder"
local nginx = require "spec.support.nginx"
local uv = require "ctx.uv"
local web = require "spec.support.web"

--- A file of so many bytes, in a folder that is removed with fn's end.
local function with_file(bytes, fn)
  local dir = folder.new()
  local _ <close> = setmetatable({}, { __close = function() folder.remove(dir) end })
  local path = dir .. "/upload"
  local file = assert(io.open(path, "wb"))
  file:write((("0123456789abcdef"):rep(bytes // 16)))
  file:close()
  fn(path)
end

--- Runs fn(c, url, p) beside a server in a process; url(path) is a URL there.
local function beside(options, fn)
  web.with_service(options, function(c, p, port)
    fn(c, function(path) return ("http://127.0.0.1:%d%s"):format(port, path) end, p)
  end)
end

local function curl(c, ...)
  local output, said, code = web.run_program(c, "curl", "-sS", "--noproxy", "*", ...)
  assert(code == 0, said)
  return output:gsub("\r", ""), said
end

--- Runs a client that would go on for ever, and ends it when the server has printed `text`.
local function abort_at(c, p, text, file, ...)
  local running, leave = ctx.with_cancel(c)
  local client = ctx.go(uv.spawn, running, file, { args = { ... }, grace = 1 })
  p:expect(c, text)
  leave()
  client:wait(c)
end

describe("curl", function()
  it("gets and heads, by HTTP/1.1 and 1.0, and uses its connection again", function()
    beside({}, function(c, url)
      assert.equal("hello", (curl(c, url "/")))
      local output = curl(c, "-i", "-0", url "/headers")
      assert.truthy(output:find("^HTTP/1.0 200 OK\n.*Content%-Length: %d+\n.*\n\n1.0 127"), output)
      assert.truthy(output:find("\nConnection: close\n", 1, true), output)
      output = curl(c, "-i", "-0", "-H", "Connection: keep-alive", url "/")
      assert.truthy(output:lower():find("\nconnection: keep-alive\n", 1, true), output)
      output = curl(c, "-I", url "/")
      assert.truthy(output:find("^HTTP/1.1 200 OK\n.*Content%-Length: 5\n"), output)
      assert.equal("hello1;at last0;", (curl(c, "-w", "%{num_connects};", url "/",
        url "/slow?ms=1")))
    end)
  end)

  it("uploads: with a length, in chunks, after 100 Continue, and much", function()
    beside({ "max_body=30000000" }, function(c, url)
      with_file(20000000, function(path)
        assert.equal("20000000", (curl(c, "-H", "Expect:", "--data-binary", "@" .. path,
          url "/count")))
        local output, said = curl(c, "-v", "-H", "Expect: 100-continue", "--data-binary",
          "@" .. path, url "/count")
        assert.equal("20000000", output)
        assert.truthy(said:find("< HTTP/1.1 100 Continue", 1, true), said)
        assert.equal("20000000", (curl(c, "-H", "Transfer-Encoding: chunked", "-H", "Expect:",
          "-X", "POST", "-T", path, url "/count")))
      end)
      with_file(2000000, function(path)
        local output = curl(c, "-H", "Expect:", "--data-binary", "@" .. path, url "/echo")
        assert.is_true(output == io.open(path, "rb"):read("a"))
      end)
    end)
  end)

  it("is told when it sends too much, and does not send it when it asks before", function()
    beside({ "max_body=1000" }, function(c, url)
      with_file(200000, function(path)
        local status = curl(c, "-o", "/dev/null", "-w", "%{http_code} %{size_upload}", "-H",
          "Expect: 100-continue", "--data-binary", "@" .. path, url "/count")
        assert.equal("413 0", status)
      end)
    end)
  end)

  it("leaves in the middle of a response, of a wait and of an upload, and is missed", function()
    beside({}, function(c, url, p)
      abort_at(c, p, "waiting", "curl", "-sS", url "/wait")
      p:expect(c, "cause: the client has gone")
      with_file(10000000, function(path)
        p.output = ""
        local _, _, code = web.run_program(c, "curl", "-sS", "-m", "0.3", "--limit-rate", "100k",
          "-H", "Expect:", "--data-binary", "@" .. path, url "/count")
        assert.equal(28, code) -- it timed out
        p:expect(c, "cause: the client has gone")
      end)
      p.output = ""
      local _, _, code = web.run_program(c, "curl", "-sS", "-m", "0.3", "--limit-rate", "100k",
        "-o", "/dev/null", url "/stream?size=100000&n=1000000")
      assert.equal(28, code)
      p:expect(c, "cause: ")
      assert.equal("hello", (curl(c, url "/")))
    end)
  end)
end)

describe("the load generators", function()
  it("wrk: gets an answer to each request", function()
    beside({}, function(c, url)
      local output = web.run_program(c, "wrk", "-t", "1", "-c", "50", "-d", "1s", url "/")
      assert.truthy(output:find("%d+ requests in "), output)
      assert.is_nil(output:find("Socket errors", 1, true), output)
      assert.is_nil(output:find("Non-2xx", 1, true), output)
    end)
  end)

  it("ab: by HTTP/1.0, with and without connections that are kept, with a body", function()
    beside({}, function(c, url)
      with_file(1600, function(path)
        for _, words in ipairs { { "-k" }, {}, { "-k", "-p", path, "-T", "text/plain" } } do
          local target = #words > 1 and url "/count" or url "/"
          table.move({ "-n", "2000", "-c", "20", target }, 1, 5, #words + 1, words)
          local output, said, code = web.run_program(c, "ab", table.unpack(words))
          assert.equal(0, code, said)
          assert.truthy(output:find("Complete requests:%s+2000\n"), output)
          assert.truthy(output:find("Failed requests:%s+0\n"), output)
          assert.is_nil(output:find("Non-2xx", 1, true), output)
          if words[1] == "-k" then
            assert.truthy(output:find("Keep%-Alive requests:%s+2000\n"), output)
          end
        end
      end)
    end)
  end)
end)

describe("nginx in front", function()
  --- Runs fn(c, get, p) where get(path, ...) asks nginx by curl.
  local function behind_nginx(fn)
    web.with_service({}, function(c, p, port)
      local proxy <close> = nginx.start(c, ([[
        upstream service { server 127.0.0.1:%d; keepalive 8; }
        server {
          listen unix:${folder}/socket;
          location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
          }
        }]]):format(port))
      local socket = proxy.folder .. "/socket"
      fn(c, function(path, ...)
        return (curl(c, "--unix-socket", socket, "http://proxy" .. path, ...))
      end, p, socket)
    end)
  end

  it("keeps its connections to the server, and carries bodies both ways", function()
    behind_nginx(function(_, get)
      for _ = 1, 5 do
        assert.equal("hello", get "/")
      end
      assert.equal("1.1 service -", get "/headers")
      assert.equal(300000, #get("/stream?size=1000&n=300"))
      assert.truthy(get("/", "-I"):find("Content-Length: 5", 1, true))
      with_file(5000000, function(path)
        assert.equal("5000000", get("/count", "--data-binary", "@" .. path))
        assert.equal("5000000", get("/count", "-H", "Transfer-Encoding: chunked", "-X", "POST",
          "-T", path))
      end)
      assert.truthy(get("/stats"):find("^connections=[1-4] requests=1 "))
    end)
  end)

  it("passes on that its client has left", function()
    behind_nginx(function(c, _, p, socket)
      abort_at(c, p, "waiting", "curl", "-sS", "--unix-socket", socket, "http://proxy/wait")
      p:expect(c, "cause: the client has gone")
    end)
  end)
end)

describe("Node's fetch", function()
  it("gets, posts, streams both ways, aborts, and keeps its connections", function()
    beside({}, function(c, url, p)
      local output, said, code = web.run_program(c, "node", web.here .. "/fetch.mjs", url "")
      assert.equal(0, code, said)
      assert.equal("all is well\n", output)
      p:expect(c, "cause: the client has gone")
    end)
  end)
end)
