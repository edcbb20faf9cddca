-- SPDX-License-Identifier: MIT
-- The HTTP client against nginx and Node, and in programs of their own.
local client = require "ctx.http.client"
local collected = require "spec.support.growth"
local ctx = require "ctx"
local errors = require "ctx.errors"
local folder = require "spec.support.folder"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local peers = require "spec.support.peers"
local process = require "spec.support.process"
local uv = require "ctx.uv"

--- Runs fn(root) under a deadline of real time: what waits for ever fails.
local function run(fn)
  loopback.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, 250000)
    fn(c)
  end)
end

local function descriptors()
  local n = 0
  for _ in luv.fs_scandir_next, assert(luv.fs_scandir("/proc/self/fd")) do
    n = n + 1
  end
  return n
end

describe("the HTTP client and nginx", function()
  -- libcurl 7.88 begins anew on a connection that it has kept, and nginx hangs up.
  it("speak HTTP/2 without TLS, one request after the other and many at once", function()
    run(function(root)
      local nginx <close> = peers.nginx(root)
      local url = ("http://127.0.0.1:%d/hello"):format(nginx.h2)
      local settings = { http_version = "2-prior-knowledge" }
      for _ = 1, 3 do
        local got = assert(client.get(root, url, settings))
        assert.equal("2", got.version)
        assert.equal("hello by HTTP/2.0", got.body)
      end
      local large = ("http://127.0.0.1:%d/large.txt"):format(nginx.h2)
      local got = assert(client.get(root, large, { http_version = "2-prior-knowledge",
        decompress = true }))
      assert.equal(("0123456789"):rep(500000), got.body)
      assert.is_nil(got.headers["content-encoding"])
      local tasks = {}
      for i = 1, 20 do tasks[i] = ctx.go(client.get, root, url, settings) end
      for i = 1, 20 do assert.equal(200, assert(tasks[i]:wait(root)).status) end
    end)
  end)

  it("understand each other", function()
    run(function(root)
      local nginx <close> = peers.nginx(root)
      local function url(path) return ("http://127.0.0.1:%d%s"):format(nginx.port, path) end
      local got = assert(client.get(root, url "/hello"))
      assert.equal("hello", got.body)
      assert.equal("text/plain", got.headers["content-type"])
      assert.truthy(got.headers.server:find("^nginx"))
      assert.equal(5000000, #assert(client.get(root, url "/large.txt")).body)
      got = assert(client.get(root, url "/large.txt", { decompress = true }))
      assert.equal(("0123456789"):rep(500000), got.body)
      assert.is_nil(got.headers["content-encoding"])
      got = assert(client.get(root, url "/moved"))
      assert.equal("hello", got.body)
      assert.equal(url "/hello", got.url)
      assert.equal(503, client.get(root, url "/status").status)
      assert.equal(404, client.get(root, url "/none").status)
      got = assert(client.request(root, { method = "HEAD", url = url "/large.txt" }))
      assert.equal("5000000", got.headers["content-length"])
      got = assert(client.get(root, url "/large.txt", { headers = { Range = "bytes=10-19" } }))
      assert.equal(206, got.status)
      assert.equal("0123456789", got.body)
      got = assert(client.post(root, url "/hello", ("x"):rep(200000)))
      assert.equal(413, got.status)
    end)
  end)

  it("keep one connection for 10000 requests, and nothing else", function()
    run(function(root)
      local nginx <close> = peers.nginx(root)
      local url = ("http://127.0.0.1:%d/connection"):format(nginx.port)
      local own <close> = client.new()
      local first = assert(own:get(root, url)).body
      local before
      local growth = collected(function()
        for _ = 1, 2000 do
          assert(assert(own:get(root, url)).body == first, "another connection")
        end
        before = before or descriptors()
      end)
      -- Fewer, when a client of an earlier test is collected meanwhile.
      assert.is_true(descriptors() <= before)
      assert.is_true(growth < 4, growth .. " kB with each 2000")
    end)
  end)

  it("part a thousand times in the middle, and nothing is left", function()
    run(function(root)
      local nginx <close> = peers.nginx(root)
      local url = ("http://127.0.0.1:%d/large.txt"):format(nginx.port)
      local own <close> = client.new()
      local before
      local growth = collected(function()
        for i = 1, 200 do
          local c, cancel <close> = ctx.with_cancel(root)
          local got = assert(own:get(c, url, { stream = true }))
          assert(got:read(c))
          if i % 2 == 0 then got:close() end
          cancel("enough")
          assert.is_nil((got:read(c)))
        end
        ctx.sleep(root, 0)
        before = before or descriptors()
      end)
      assert.equal(before, descriptors())
      assert.is_true(growth < 4, growth .. " kB with each 200")
    end)
  end)

  it("do what each of two hundred tasks asks at once", function()
    run(function(root)
      local nginx <close> = peers.nginx(root)
      local tasks = {}
      for i = 1, 200 do
        local from = i * 100
        tasks[i] = ctx.go(client.get, root, ("http://127.0.0.1:%d/large.txt"):format(nginx.port), {
          headers = { Range = ("bytes=%d-%d"):format(from, from + i) },
        })
      end
      for i = 1, 200 do
        assert.equal(i + 1, #assert(tasks[i]:wait(root)).body)
      end
    end)
  end)
end)

describe("the HTTP client and Node", function()
  it("understand each other, and Node hears of a cancel", function()
    run(function(root)
      local node <close> = peers.node(root)
      local function url(path) return ("http://127.0.0.1:%d%s"):format(node.ports.http, path) end
      local body = ("abc\0\255"):rep(100000)
      local got = assert(client.request(root, { method = "PUT", url = url "/", body = body }))
      assert.equal(body, got.body)
      assert.equal("PUT", got.headers["x-method"])
      assert.same({ "a=1", "b=2" }, got:values("set-cookie"))
      local i = 0
      got = assert(client.post(root, url "/", function(c)
        i = i + 1
        ctx.sleep(c, 0)
        return i <= 100 and body:sub(i, i + 999) or nil
      end))
      assert.equal(100000, #got.body)
      for path, phase in pairs { ["/hang"] = "awaiting headers", ["/half"] = "reading body" } do
        local c, cancel <close> = ctx.with_cancel(root)
        local task = ctx.go(client.get, c, url(path), { stream = path == "/half" })
        node:line(root)
        local response = path == "/half" and task:wait(root)
        cancel("enough")
        local err
        if response then
          repeat got, err = response:read(root) until not got
        else
          got, err = task:wait(root)
        end
        assert.is_nil(got)
        assert.is_true(errors.is(err, "enough"), tostring(err))
        assert.equal(phase, err.phase)
        assert.equal("aborted " .. path, node:line(root))
      end
      local err
      got, err = client.get(root, url "/reset")
      assert.is_nil(got)
      assert.is_true(errors.is(err, uv.ECONNRESET), tostring(err))
    end)
  end)
end)

-- -- Programs -------------------------------------------------------------------------------------

--- A getaddrinfo that finds names in .here on this machine, never answers about those in .hang,
--- and about those in .late when the program has closed its Lua state and exits: it sees that its
--- threads come to their ends.
local RESOLVER = [[
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>
static volatile int late;
static sem_t end;
static int is(const char* name, const char* ending) {
  return name && strlen(name) > 5 && strcmp(name + strlen(name) - 5, ending) == 0;
}
static int threads(void) {
  DIR* tasks = opendir("/proc/self/task");
  int n = -2; /* . and .. */
  while (readdir(tasks)) n++;
  closedir(tasks);
  return n;
}
__attribute__((destructor)) static void at_exit(void) {
  if (!late) return;
  sem_post(&end);
  while (threads() > 1) sched_yield();
}
int getaddrinfo(const char* name, const char* service, const struct addrinfo* hints,
                struct addrinfo** result) {
  int (*real)(const char*, const char*, const struct addrinfo*, struct addrinfo**) =
      dlsym(RTLD_NEXT, "getaddrinfo");
  if (is(name, ".hang") || is(name, ".late")) {
    late = is(name, ".late");
    (void)!write(1, "asked\n", 6);
    if (late) {
      while (sem_wait(&end)) continue;
      return EAI_AGAIN;
    }
    for (;;) pause();
  }
  return real(is(name, ".here") ? "127.0.0.1" : name, service, hints, result);
}
]]

local function restore(name, value)
  if value then
    luv.os_setenv(name, value)
  else
    luv.os_unsetenv(name)
  end
end

describe("a program", function()
  --- Runs it to its end: what it printed, and its exit code.
  local function output(root, text)
    local it = process.lua("-e", text)
    local code, signal = it:wait(root)
    return it.output, code, signal
  end

  --- The same with that resolver.
  local function output_with_resolver(root, text)
    local dir = folder.new()
    local file = assert(io.open(dir .. "/resolver.c", "w"))
    file:write(RESOLVER)
    file:close()
    local built = assert(uv.spawn(root, "cc", { args = {
      "-shared", "-fPIC", "-o", dir .. "/resolver.so", dir .. "/resolver.c", "-ldl",
    } }))
    assert.equal(0, built.code, built.stderr)
    local preload, asan = os.getenv("LD_PRELOAD"), os.getenv("ASAN_OPTIONS")
    luv.os_setenv("LD_PRELOAD", (preload and preload .. ":" or "") .. dir .. "/resolver.so")
    -- An interpreter with sanitizers wants to be loaded first, and has nothing to find here.
    luv.os_setenv("ASAN_OPTIONS", (asan and asan .. ":" or "") .. "verify_asan_link_order=0")
    local said, code, signal = output(root, text)
    restore("LD_PRELOAD", preload)
    restore("ASAN_OPTIONS", asan)
    folder.remove(dir)
    return said, code, signal
  end

  it("does not wait for a resolver that hangs", function()
    run(function(root)
      local said, code = output_with_resolver(root, [[
        local ctx, client, errors = require "ctx", require "ctx.http.client", require "ctx.errors"
        ctx.run(function(root)
          local c, cancel <close> = ctx.with_timeout(root, 500)
          local got, err = client.get(c, "http://name.hang/x?y")
          print(got, err, err.phase)
        end)
        collectgarbage()
      ]])
      assert.equal(0, code, said) -- though the resolver never answers
      assert.equal("asked\nnil\tGET http://name.hang/x: resolving: context deadline exceeded\t"
        .. "resolving\n", said)
    end)
  end)

  -- Each had a thread: as many as requests that a hanging resolver failed. On a busy machine some
  -- of the hundred have not begun when their time is up.
  it("looks up so many names at a time, and waits with the others", function()
    run(function(root)
      local node <close> = peers.node(root)
      local said, code = output_with_resolver(root, ([[
        local ctx, client = require "ctx", require "ctx.http.client"
        local names, port = client.new { max_idle = 1 }, %d
        local function get_all(root, n, ms, url, settings)
          local tasks, texts = {}, {}
          local c, cancel <close> = ctx.with_timeout(root, ms)
          for i = 1, n do tasks[i] = ctx.go(names.get, names, c, url:format(i), settings) end
          for i = 1, n do
            local got, err = tasks[i]:wait()
            local text = got and tostring(got.status)
              or tostring(err):gsub("%%d+", "N"):gsub("not begun", "resolving")
            texts[text] = (texts[text] or 0) + 1
          end
          for text, n in pairs(texts) do print(n, text) end
        end
        ctx.run(function(root)
          get_all(root, 100, 60000, "http://n%%d.here:" .. port .. "/")
          get_all(root, 100, 1000, "http://n%%d.hang/")
          get_all(root, 1, 60000, "http://n1.here:" .. port .. "/")      -- known already
          get_all(root, 1, 60000, "http://127.0.0.1:" .. port .. "/")
          get_all(root, 1, 500, "http://other.hang/")
          get_all(root, 1, 60000, "http://other.hang/", { connect_timeout = 500 })
        end)
      ]]):format(node.ports.http))
      assert.equal(0, code, said)
      local asked
      said, asked = said:gsub("asked\n", "")
      assert.equal(32, asked)
      assert.equal("100\t200\n"
        .. "100\tGET http://nN.hang/: resolving: context deadline exceeded\n1\t200\n1\t200\n"
        .. "1\tGET http://other.hang/: resolving: context deadline exceeded\n"
        .. "1\tGET http://other.hang/: resolving: ETIMEDOUT: connection timed out\n", said)
    end)
  end)

  -- libcurl's code was unloaded with the Lua state, under the thread that looked the name up.
  it("may end before a resolver has answered", function()
    run(function(root)
      local said, code, signal = output_with_resolver(root, [[
        local ctx, client = require "ctx", require "ctx.http.client"
        local c, cancel <close> = ctx.with_timeout(ctx.background(), 500)
        print(client.get(c, "http://name.late/"))
      ]])
      assert.equal("asked\nnil\tGET http://name.late/: resolving: context deadline exceeded\n",
        said)
      assert.same({ 0, 0 }, { code, signal })
    end)
  end)

  it("may end with requests under way", function()
    run(function(root)
      local node <close> = peers.node(root)
      local said, code, signal = output(root, ([[
        local ctx, client = require "ctx", require "ctx.http.client"
        local uv = require "luv"
        local background = ctx.background()
        local kept
        for i = 1, 4 do
          local path = i %% 2 == 0 and "hang" or "half"
          ctx.go(client.get, background, "http://127.0.0.1:%d/" .. path)
        end
        ctx.go(function()
          kept = client.get(background, "http://127.0.0.1:%d/large", { stream = true })
          client.new():get(background, "http://127.0.0.1:%d/hang")
        end)
        while not kept do uv.run("once") end
        for i = 1, 20 do uv.run("nowait") end
        print(kept.status)
        os.exit(0, true)
      ]]):format(node.ports.http, node.ports.http, node.ports.http))
      assert.equal("200\n", said)
      assert.equal(0, code)
      assert.equal(0, signal)
    end)
  end)

  it("may close all handles, and request again", function()
    run(function(root)
      local node <close> = peers.node(root)
      local said, code = output(root, ([[
        local ctx, client = require "ctx", require "ctx.http.client"
        local uv, url = require "luv", "http://127.0.0.1:%d"
        local function close_all()
          uv.walk(function(handle) if not handle:is_closing() then handle:close() end end)
        end
        ctx.run(function(root)
          print(client.get(root, url .. "/").status)
          local c, cancel = ctx.with_cancel(root)
          local task = ctx.go(client.get, c, url .. "/hang")
          ctx.sleep(root, 20)
          close_all()
          print(client.get(root, url .. "/").status)
          cancel("enough")
          print(task:wait(root))
          close_all()
          print(client.get(root, url .. "/").status)
        end)
      ]]):format(node.ports.http))
      assert.equal(("200\n200\nnil\tGET http://127.0.0.1:%d/hang: awaiting headers: "
        .. "context canceled: enough\n200\n"):format(node.ports.http), said)
      assert.equal(0, code)
    end)
  end)

  it("prints nothing of its own, and is held up only by waiters", function()
    run(function(root)
      local node <close> = peers.node(root)
      local said, code = output(root, ([[
        local ctx, client = require "ctx", require "ctx.http.client"
        print(client.get(ctx.background(), "http://127.0.0.1:%d/").status)
        print(client.get(ctx.background(), "http://127.0.0.1:1/"))
        local nobody_reads = client.get(ctx.background(), "http://127.0.0.1:%d/half",
          { stream = true })
        require("luv").run()
        nobody_reads:close()
      ]]):format(node.ports.http, node.ports.http))
      assert.equal(0, code, said)
      assert.truthy(said:find("^200\nnil\tGET [^\n]*: connecting: ECONNREFUSED[^\n]*\n$"), said)
    end)
  end)
end)
