-- SPDX-License-Identifier: MIT
-- Cause: luv 1.44 frees a handle that is being closed when the Lua state is closed, and then calls
-- it back: a script that waited on the main thread ended in a segmentation fault. Cure: the loop
-- has one more turn before that.
local program = require "spec.support.program"

local PRELUDE = [[
  local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
  local c = ctx.background()
]]

-- Each leaves a handle that is being closed, or one that is open.
local scripts = {
  ["a program that was run"] = [[
    assert(uv.spawn(c, "echo", { args = { "hi" } }))
  ]],
  ["a program that is closed"] = [[
    local p <close> = assert(uv.start(c, "cat", {}))
  ]],
  ["a listener that is closed"] = [[
    local listener = assert(uv.listen("127.0.0.1", 0))
    listener:close()
  ]],
  ["a listener that is left open"] = [[
    assert(uv.listen("127.0.0.1", 0))
  ]],
  ["a connection"] = [[
    local listener <close> = assert(uv.listen("127.0.0.1", 0))
    local client <close> = assert(uv.connect(c, "127.0.0.1", listener:address().port))
    local peer <close> = assert(listener:accept(c))
    peer:write(c, "hello")
    assert(client:read(c) == "hello")
  ]],
  ["datagrams"] = [[
    local one <close> = assert(uv.udp())
  ]],
  ["signals"] = [[
    local signal = require "ctx.signal"
    local s, stop <close> = signal.notify(c, "sigusr1")
  ]],
  ["a server of HTTP, and a request that fails"] = [[
    local http = require "ctx.http"
    local server <close> = http.server { handler = print }
    assert(server:listen("127.0.0.1", 0))
    local port = server:address().port
    server:close()
    http.get(c, "http://127.0.0.1:" .. port)
  ]],
  ["a shutdown"] = [[
    local s <close> = require("ctx.shutdown").new(c)
  ]],
  ["changes of files that are watched"] = [[
    local watcher <close> = assert(uv.watch("."))
  ]],
  ["files and names"] = [[
    assert(uv.fs_stat(c, "."))
    uv.getaddrinfo(c, "localhost")
  ]],
  ["luv's own handle, closed after a wait"] = [[
    local timer = luv.new_timer()
    timer:start(1, 0, print)
    ctx.sleep(c, 0)
    timer:close()
  ]],
  ["luv's own handle, closed by ctx.await"] = [[
    local short = ctx.with_timeout(c, 1)
    ctx.await(short, function() return luv.new_timer() end)
  ]],
  ["a coroutine that is closed while it waits"] = [[
    local co = coroutine.create(function()
      ctx.await(c, function() return luv.new_timer() end)
    end)
    coroutine.resume(co)
    coroutine.close(co)
  ]],
  ["a task that still waits"] = [[
    ctx.go(function()
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
      listener:accept(c)
    end)
    ctx.sleep(c, 1)
  ]],
  ["a generator whose body waits, in a task and half done"] = [[
    local function rows() for i = 1, 3 do ctx.sleep(c, 1) coroutine.yield(i) end end
    ctx.go(function() for _ in ctx.wrap(rows) do ctx.await(c, print) end end)
    local generator = ctx.wrap(rows)
    generator()
  ]],
  ["the same inside ctx.run"] = [[
    ctx.run(function(root)
      assert(uv.spawn(root, "echo", { args = { "hi" } }))
      local listener <close> = assert(uv.listen("127.0.0.1", 0))
    end)
  ]],
}

local ends = {
  { "by itself", "", 0 },
  { "with an error", "error('why', 0)", 1 },
  { "by os.exit", "os.exit(7, true)", 7 },
}

describe("a script that waited on the main thread and left", function()
  for name, script in pairs(scripts) do
    for _, how in ipairs(ends) do
      it(("%s, ends %s"):format(name, how[1]), function()
        local text = ("%sdo\n%send\n%s"):format(PRELUDE, script, how[2])
        local _, noise, code = program.run(text)
        assert.equal(how[3], code, noise)
      end)
    end
  end

  -- Cause: the last turn of the loop called back an HTTP client, whose younger timer had been
  -- finalized. Cure: in that turn nothing of ours is called.
  it("its last turn calls nothing back, as younger handles have been finalized", function()
    local _, noise, code = program.run(PRELUDE .. [[
      local host = require "ctx.uv.host"
      local older = luv.new_timer()
      ctx.sleep(ctx.background(), 1)
      local younger = luv.new_timer()
      older:start(0, 0, host.guarded(function() host.close(younger) end))
    ]])
    assert.equal("", noise)
    assert.equal(0, code)
  end)

  it("a task that is ready does not run it any more", function()
    local output = program.run(PRELUDE .. [[
      uv.listen("127.0.0.1", 0):close()
      ctx.go(function() print "too late" end)
    ]])
    assert.equal("", output)
  end)
end)
