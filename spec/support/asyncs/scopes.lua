-- SPDX-License-Identifier: MIT
--- The classes with a `<close>`: how one is made in a scope, and when what that must end is over.
local breaker = require "ctx.breaker"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local http = require "ctx.http"
local loopback = require "spec.support.loopback"
local luv = require "luv"
local mutex = require "ctx.mutex"
local pool = require "ctx.pool"
local propagate = require "ctx.propagate"
local raw_server = require "spec.support.raw_server"
local shutdown = require "ctx.shutdown"
local signal = require "ctx.signal"
local testing = require "ctx.testing"
local uv = require "ctx.uv"

local scopes = {}

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../../../"

--- The files in lua/ and csrc/lua/ that define one.
---@return table<string, true>
function scopes.defined()
  local files = {}
  local found = assert(io.popen(([[cd '%s' && grep -lE '[.:]__close *\(|__close *=|[{]"__close"' ]]
    .. "-r lua csrc/lua --include=*.lua --include=*.c"):format(top)))
  for file in found:lines() do
    files[file] = true
  end
  found:close()
  return files
end

--- Each file, with the scope below that tries its class; or "wait", for what is only ever closed
--- within a function that waits, and is tried with that.
scopes.files = {
  ["csrc/lua/context/cancel.c"] = "a cancel",
  ["csrc/lua/classes/group.c"] = "a group",
  ["csrc/lua/task/leave.c"] = "wait",
  ["csrc/lua/task/wrap.c"] = "a generator",
  ["lua/ctx/breaker.lua"] = "a permit of a breaker",
  ["lua/ctx/floor.lua"] = "wait",
  ["lua/ctx/http/client.lua"] = "a client",
  ["lua/ctx/http/server/accept.lua"] = "a server",
  ["lua/ctx/http/client/engine.lua"] = "wait",
  ["lua/ctx/http/client/perform.lua"] = "wait",
  ["lua/ctx/http/client/response.lua"] = "a response",
  ["lua/ctx/http/server/exchange.lua"] = "a handler: spec/http_defects_spec.lua",
  ["lua/ctx/http/server/init.lua"] = "a server",
  ["lua/ctx/line.lua"] = "wait",
  ["lua/ctx/loop.lua"] = "wait",
  ["lua/ctx/mutex.lua"] = "a lock",
  ["lua/ctx/owner.lua"] = "wait",
  ["lua/ctx/pool.lua"] = "a pool",
  ["lua/ctx/propagate/otlp.lua"] = "wait",
  ["lua/ctx/propagate/span.lua"] = "a span",
  ["lua/ctx/shutdown.lua"] = "a shutdown",
  ["lua/ctx/shutdown/workers.lua"] = "a shutdown",
  ["lua/ctx/signal.lua"] = "a stop of signals",
  ["lua/ctx/singleflight.lua"] = "wait",
  ["lua/ctx/testing.lua"] = "wait",
  ["lua/ctx/testing/clock.lua"] = "a clock",
  ["lua/ctx/uv/launch.lua"] = "wait",
  ["lua/ctx/uv/listener.lua"] = "a listener",
  ["lua/ctx/uv/process.lua"] = "a program",
  ["lua/ctx/uv/spawn.lua"] = "wait",
  ["lua/ctx/uv/stream.lua"] = "a stream",
  ["lua/ctx/uv/threads.lua"] = "wait",
  ["lua/ctx/uv/udp.lua"] = "a socket for datagrams",
  ["lua/ctx/uv/watch.lua"] = "a watcher",
  ["lua/ctx/uv/work.lua"] = "wait",
  ["lua/ctx/uv/writing.lua"] = "wait",
  ["lua/ctx/waitgroup.lua"] = "wait",
}

--- By their names, functions made(root) → make(), which makes it in the scope, is_over(), and
--- is_ready(), if it takes time until it must be ended.
---@type table<string, fun(root: ctx.Context): (fun(): any), (fun(): boolean), (fun(): boolean)?>
scopes.made = {}
local made = scopes.made

made["a cancel"] = function(root)
  local c, cancel = ctx.with_cancel(root)
  return function() return cancel end, function() return c:done() end
end

made["a group"] = function(root)
  local ended = false
  return function()
    local g, gctx = errgroup.with_context(root)
    g:go(function()
      gctx:wait()
      ended = true
    end)
    return g
  end, function() return ended end
end

made["a generator"] = function()
  local ended = false
  return function()
    local next_of, _, _, closing = ctx.wrap(function()
      local _ <close> = setmetatable({}, { __close = function() ended = true end })
      coroutine.yield(1)
    end)
    next_of()
    return closing
  end, function() return ended end
end

made["a permit of a breaker"] = function()
  local guarded = breaker.new { failures = 1, cooldown = 1 }
  return function() return guarded:allow() end, function() return guarded:allow() ~= nil end
end

made["a client"] = function(root)
  local server = raw_server.start(root, function(peer)
    peer:request()
    peer:answer("x")
    peer:gone()
    getmetatable(peer).over = true
  end)
  local over = false
  return function()
    local client = http.client()
    ctx.go(function()
      client:get(root, server:url("/"))
      over = true
    end)
    return client
  end, function()
    if over then
      getmetatable(server).__close(server)
    end
    return over
  end
end

made["a response"] = function(root)
  local gone = false
  local server = raw_server.start(root, function(peer)
    peer:request()
    peer:send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
    peer:gone()
    gone = true
  end)
  local client = http.client()
  local response = assert(client:get(root, server:url("/"), { stream = true }))
  return function() return response end, function()
    if gone then
      client:close()
      getmetatable(server).__close(server)
    end
    return gone
  end
end

made["a server"] = function(root)
  local served = false
  return function()
    local server = http.server { handler = function() end }
    assert(server:listen("127.0.0.1", 0))
    ctx.go(function()
      server:serve(root)
      served = true
    end)
    return server
  end, function() return served end
end

made["a lock"] = function(root)
  local m = mutex.new()
  return function() return m:hold(root) end, function() return m:try_lock() end
end

made["a pool"] = function(root)
  local begun, ended = false, false
  return function()
    local p = pool.new(root, { workers = 1 }, function(c)
      begun = true
      c:wait()
      ended = true
      return true
    end)
    p:submit(root, 1)
    return p
  end, function() return ended end, function() return begun end
end

made["a span"] = function(root)
  local exported = 0
  local previous = propagate.set_tracer { exporter = { export = function()
    exported = exported + 1
  end } }
  return function()
    local _, span = propagate.start_span(root, "work")
    return span
  end, function()
    if exported == 1 then
      propagate.set_tracer(previous)
    end
    return exported == 1
  end
end

made["a shutdown"] = function(root)
  local ended, s = false, nil
  return function()
    s = shutdown.new(root, { signals = {} })
    s:go(function(c)
      c:wait()
      ended = true
    end)
    return s
  end, function() return ended and s:phase() == "over" or ended and s:wait() ~= nil end
end

made["a stop of signals"] = function(root)
  local c
  return function()
    local stop
    c, stop = signal.notify(root, "sigusr2")
    return stop
  end, function() return c:done() end
end

made["a clock"] = function(root)
  return testing.clock, function()
    local before = ctx.now()
    ctx.sleep(root, 1)
    return ctx.now() > before
  end
end

made["a listener"] = function()
  local listener
  return function()
    listener = assert(uv.listen("127.0.0.1", 0))
    return listener
  end, function() return listener:is_closed() end
end

made["a stream"] = function(root)
  local one, other = loopback.pair(root)
  return function() return one end, function()
    local ended = other:read(root) == nil
    other:close()
    return ended and one:is_closed()
  end
end

--- Programs that do not listen to SIGTERM, by uv.start and uv.spawn.
local STUBBORN = "trap '' TERM; echo $$ > %s; while :; do sleep 0.05; done"

local function stubborn(run)
  return function(root)
    local mark = os.tmpname()
    local options = { grace = 30, args = { "-c", STUBBORN:format(mark) } }
    local pid
    return function()
      local result = run(root, options)
      return result
    end, function()
      return luv.kill(pid, 0) ~= 0
    end, function()
      local file <close> = assert(io.open(mark))
      pid = tonumber((file:read("l")))
      if pid then
        os.remove(mark)
      end
      return pid ~= nil
    end
  end
end

made["a program"] = stubborn(function(root, options)
  return assert(uv.start(root, "sh", options))
end)

made["a program that is run to its end"] = stubborn(function(root, options)
  return uv.spawn(root, "sh", options)
end)

made["a socket for datagrams"] = function()
  local socket
  return function()
    socket = assert(uv.udp("127.0.0.1"))
    return socket
  end, function() return socket:handle():is_closing() end
end

made["a watcher"] = function()
  local watcher
  return function()
    watcher = assert(uv.watch("/"))
    return watcher
  end, function() return watcher._inbox._handle:is_closing() end
end

return scopes
