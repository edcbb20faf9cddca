-- SPDX-License-Identifier: MIT
-- Where Lua or luv make waiting impossible, each wait raises at once, says why and what to do
-- instead, and nothing has changed.
local ctx = require "ctx"
local core = require "ctx.core"
local cpu = require "spec.support.cpu"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

--- Calls each kind of wait; each must raise a message with all the texts. Returns how many did.
local function refused(...)
  local before = core.counters()
  local task = ctx.go(function() end)
  local started = false
  local waits = {
    ["ctx.sleep"] = function() ctx.sleep(background, 1) end,
    ["c:wait"] = function() background:wait() end,
    ["ctx.await"] = function() ctx.await(background, function() started = true end) end,
    ["t:wait"] = function() task:wait() end,
  }
  local count = 0
  for name, wait in pairs(waits) do
    local ok, err = pcall(wait)
    assert(not ok, name .. " did not raise")
    for _, text in ipairs({ name .. ": cannot wait here", ... }) do
      assert(err:find(text, 1, true), ("%q is not in: %s"):format(text, err))
    end
    count = count + 1
  end
  assert(not started, "ctx.await called its start function")
  local after = core.counters()
  for _, name in ipairs({ "parked", "external", "watchers", "linked" }) do
    assert(before[name] == after[name], name .. " has changed")
  end
  return count
end

--- What `callback` answers when each of these calls it.
local function inside(callback)
  local answers = {}
  local function call()
    answers[#answers + 1] = callback()
    return false
  end
  table.sort({ 1, 2 }, call)
  string.gsub("a", "a", function() call() end)
  tostring(setmetatable({}, { __tostring = function()
    call()
    return ""
  end }))
  load(function() call() end)
  return answers
end

local c_function = { "inside a C function that calls back", "table.sort", "ctx.go" }

describe("waiting inside a C function that calls back", function()
  local function refused_here() return refused(table.unpack(c_function)) end

  it("is refused in a task", function()
    testing.run(function(root)
      assert.same({ 4, 4, 4, 4 }, inside(refused_here))
      assert.is_true(ctx.sleep(root, 1))
    end)
  end)

  it("is refused in somebody else's coroutine", function()
    local clock <close> = testing.clock()
    local answers, slept
    coroutine.wrap(function()
      answers = inside(refused_here)
      slept = ctx.sleep(background, 1)
    end)()
    clock:advance(1)
    assert.same({ 4, 4, 4, 4 }, answers)
    assert.is_true(slept)
  end)

  it("works on the main thread, which runs the loop", function()
    local clock <close> = testing.clock()
    assert.same({ true, true, true, true }, inside(function() return ctx.sleep(background, 1) end))
    assert.equal(4, clock:elapsed())
  end)

  it("is no matter where Lua can yield: pcall, metamethods, iterators, <close>", function()
    testing.run(function(root, clock)
      local function sleep() return ctx.sleep(root, 1) end
      assert.is_true(select(2, pcall(sleep)))
      assert.is_true(select(2, xpcall(sleep, debug.traceback)))
      assert.is_true(setmetatable({}, { __index = sleep }).field)
      assert.is_true(setmetatable({}, { __eq = sleep }) == setmetatable({}, { __eq = sleep }))
      local turns = 0
      for slept in function() return turns < 1 and sleep() or nil end do
        assert.is_true(slept)
        turns = turns + 1
      end
      do local _ <close> = setmetatable({}, { __close = sleep }) end
      assert.equal(6, clock:elapsed())
    end)
  end)
end)

describe("waiting in a finalizer", function()
  --- What `callback` answers in a __gc.
  local function finalized(callback)
    local answer, message
    local function make()
      setmetatable({}, { __gc = function()
        local ok, result = pcall(callback)
        answer, message = ok and result, not ok and result
      end })
    end
    make()
    collectgarbage()
    collectgarbage()
    assert(answer ~= nil, "the finalizer did not run")
    return answer or message
  end
  local function refused_here() return refused("finalizer (__gc)", "ctx.go") end

  it("is refused in a task, in a coroutine, and on the main thread", function()
    local clock <close> = testing.clock()
    assert.equal(4, finalized(refused_here))
    local in_coroutine, in_task
    coroutine.wrap(function() in_coroutine = finalized(refused_here) end)()
    ctx.go(function() in_task = finalized(refused_here) end)
    clock:settle()
    assert.equal(4, in_coroutine)
    assert.equal(4, in_task)
  end)

  it("is not needed: a finalizer may start a task that waits", function()
    local clock <close> = testing.clock()
    local slept
    finalized(function()
      ctx.go(function() slept = ctx.sleep(background, 10) end)
      return true
    end)
    clock:advance(10)
    assert.is_true(slept)
  end)
end)

-- To find a finalizer the whole stack was searched, in the square of its depth: near the end of the
-- Lua stack each wait took seconds.
it("to ask whether a wait is possible costs as much in a deep stack as in a shallow one", function()
  local function time_at(depth, calls)
    if depth > 0 then
      return (time_at(depth - 1, calls))
    end
    local began = os.clock()
    for _ = 1, calls do core.check_wait(nil, "a wait") end
    return os.clock() - began
  end
  cpu.at_most(1, function() return time_at(1, 20000) end, function() return time_at(8000, 20) end)
end)

describe("waiting in a luv callback", function()
  local function in_callback(callback)
    local answer
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      -- luv ends the process when an error leaves a callback.
      local ok, result = pcall(callback)
      answer = ok and result or tostring(result)
    end)
    return function() return answer end
  end
  local texts = {
    "on the main thread while the loop runs", "luv callback", "start a task with ctx.go",
  }
  local function refused_here() return refused(table.unpack(texts)) end

  it("is refused while the user runs the loop", function()
    local answer = in_callback(refused_here)
    uv.run()
    assert.equal(4, answer())
  end)

  it("is refused while ctx.run does", function()
    local answer = in_callback(refused_here)
    ctx.run(function(root)
      while not answer() do ctx.sleep(root, 0) end
    end)
    assert.equal(4, answer())
  end)

  it("is refused while a wait on the main thread does", function()
    local answer = in_callback(refused_here)
    ctx.sleep(background, 1)
    assert.equal(4, answer())
  end)

  it("is not needed: a callback may start a task, as the message says", function()
    local slept
    in_callback(function()
      ctx.go(function() slept = ctx.sleep(background, 0) end)
    end)
    uv.run()
    assert.is_true(slept)
  end)

  it("is possible in a coroutine there", function()
    local slept
    in_callback(function()
      coroutine.wrap(function() slept = ctx.sleep(background, 0) end)()
    end)
    uv.run()
    assert.is_true(slept)
  end)

  -- Cause: ctx.run looked whether the loop was free only when its task was made already; that ran
  -- later, when ctx.run had failed. Cure: it looks first.
  it("ctx.run is refused, too, and its function never runs", function()
    local ran = false
    local answer = in_callback(function() ctx.run(function() ran = true end) end)
    uv.run()
    assert.matches("ctx.run: the loop is running already; start a task", answer(), 1, true)
    assert.is_false(ran)
    assert.equal(0, core.counters().tasks)
  end)
end)

-- Cause: a function had done its work before its wait raised, at a line of the library and in the
-- name of ctx.await; a program that tried again charged twice. Cure: it checks first, and the error
-- of a wait names the nearest line outside of the library.
describe("where nothing can wait, this raises in its own name, and does nothing:", function()
  local errgroup = require "ctx.errgroup"
  local http = require "ctx.http"
  local misuse = require "spec.support.misuse"
  local pool = require "ctx.pool"
  local retry = require "ctx.retry"
  local web = require "spec.support.web"
  local ctx_uv = require "ctx.uv"

  --- Each kind of call raises a message that begins with its name, and leaves nothing behind.
  local function raise(name, calls)
    it(name, function()
      testing.run(function(root)
        local before = testing.snapshot()
        for what, call in pairs(calls(root)) do
          table.sort({ 1, 2 }, function()
            misuse.raises(call, what .. ": cannot wait here")
          end)
        end
        assert.same({}, before:leaks())
      end, { real = true })
    end)
  end

  raise("retry.call, errgroup.collect", function(root)
    local function begun() error("begun") end
    return {
      ["retry.call"] = function() retry.call(root, nil, begun) end,
      ["errgroup.collect"] = function() errgroup.collect(root, { begun }) end,
    }
  end)

  raise("a look-up, a connection, a program, work, a descriptor", function(root)
    return {
      ["uv.getaddrinfo"] = function() ctx_uv.getaddrinfo(root, "localhost") end,
      ["uv.getnameinfo"] = function() ctx_uv.getnameinfo(root, { ip = "127.0.0.1" }) end,
      ["uv.connect"] = function() ctx_uv.connect(root, "127.0.0.1", 9) end,
      ["uv.connect_pipe"] = function() ctx_uv.connect_pipe(root, "/no/such/pipe") end,
      ["uv.spawn"] = function() ctx_uv.spawn(root, "sh", { args = { "-c", "sleep 100" } }) end,
      ["uv.work"] = function() ctx_uv.work(root, function() end) end,
      ["uv.poll"] = function() ctx_uv.poll(root, 0) end,
      ["uv.fs_open"] = function() ctx_uv.fs_open(root, "/dev/null") end,
    }
  end)

  it("accept, read, write and the end of writing; datagrams", function()
    testing.run(function(root)
      local listener <close> = assert(ctx_uv.listen("127.0.0.1", 0))
      local client <close> = assert(ctx_uv.connect(root, "127.0.0.1", listener:address().port))
      local server <close> = assert(listener:accept(root))
      local datagrams <close> = assert(ctx_uv.udp("127.0.0.1", 0))
      for what, call in pairs({
        ["listener:accept"] = function() listener:accept(root) end,
        ["stream:read"] = function() client:read(root) end,
        ["stream:write"] = function() client:write(root, "half a message, or all of it") end,
        ["stream:finish"] = function() client:finish(root) end,
        ["recv"] = function() datagrams:recv(root) end,
      }) do
        table.sort({ 1, 2 }, function() misuse.raises(call, what .. ": cannot wait here") end)
      end
      assert.is_false(datagrams:handle():has_ref() or client:handle():has_ref()
        or listener:handle():has_ref())
      assert.is_true(client:write(root, "all"))
      client:finish(root)
      assert.equal("all", server:read(root))
    end, { real = true })
  end)

  it("a pool's drain, which leaves it open", function()
    testing.run(function(root)
      local p <close> = pool.new(root, { workers = 1 }, function(c) c:wait() end)
      p:submit(root, 1)
      table.sort({ 1, 2 }, function()
        misuse.raises(function() p:drain(root) end, "pool:drain: cannot wait here")
        misuse.raises(function() p:submit(root, 2) end, "pool:submit: cannot wait here")
      end)
      local task = ctx.go(p.submit, p, root, 2)
      ctx.sleep(root, 1)
      assert.equal("waiting", task:status()) -- and not turned away
      p:cancel()
    end)
  end)

  it("a request, which no server sees", function()
    local seen = 0
    web.run(function(req, res)
      seen = seen + 1
      return res:finish(req.ctx, "served")
    end, function(c, port)
      local url = ("http://127.0.0.1:%d/"):format(port)
      assert(http.get(c, url)) -- its connection is kept, and would take the next at once
      table.sort({ 1, 2 }, function()
        misuse.raises(function() http.get(c, url) end, "http.get: cannot wait here")
        misuse.raises(function() http.post(c, url, "charge") end, "http.post: cannot wait here")
        misuse.raises(function() http.request(c, { url = url }) end, "http.request: cannot wait")
      end)
      assert(http.get(c, url))
      assert.equal(2, seen)
    end)
  end)
end)

describe("waiting in the start function of ctx.await", function()
  it("is refused in a task, in a coroutine, and on the main thread", function()
    local clock <close> = testing.clock()
    local function await()
      return ctx.await(background, function(resolve)
        resolve(refused("in the start function of ctx.await", "wait before or after it"))
      end)
    end
    assert.equal(4, await())
    local in_coroutine, in_task
    coroutine.wrap(function() in_coroutine = await() end)()
    ctx.go(function() in_task = await() end)
    clock:settle()
    assert.equal(4, in_coroutine)
    assert.equal(4, in_task)
  end)

  it("is possible in a coroutine or a task that start begins", function()
    testing.run(function(root)
      assert.is_true(ctx.await(root, function(resolve)
        coroutine.wrap(function() resolve(ctx.sleep(root, 10)) end)()
      end))
    end)
  end)
end)

describe("ctx.run", function()
  local function fails(text)
    local ran = false
    local ok, err = pcall(ctx.run, function() ran = true end)
    assert.is_false(ok)
    assert.matches(text, err, 1, true)
    return function() return ran end
  end
  local coroutine_already = "ctx.run: this is a coroutine already; start a task with ctx.go"

  it("is refused in a task, and in a coroutine, also where they cannot yield", function()
    local ran = {}
    testing.run(function(root)
      ran[1] = fails(coroutine_already)
      ctx.sleep(root, 1)
      table.sort({ 1, 2 }, function() ran[3] = fails(coroutine_already) end)
    end)
    coroutine.wrap(function()
      ran[2] = fails(coroutine_already)
      table.sort({ 1, 2 }, function() ran[4] = fails(coroutine_already) end)
    end)()
    uv.run("nowait")
    for i = 1, 4 do assert.is_false(ran[i]()) end
  end)
end)

describe("a reporter", function()
  it("is called where nothing can wait; its attempt is refused and ends there", function()
    local clock <close> = testing.clock()
    local messages = {}
    reports(function()
      ctx.set_report(function()
        messages[#messages + 1] = select(2, pcall(ctx.sleep, background, 1))
      end)
      ctx.go(error, "why")
      clock:advance(500)
    end)
    assert.equal(1, #messages)
    assert.matches("ctx.sleep: cannot wait here", messages[1], 1, true)
  end)
end)

-- Cause: a loop that could not be run was always said to lack memory. Cure: it is asked what is
-- full. And a coroutine that is being closed was taken for one inside a C function.
describe("A wait near the limit of nested C calls", function()
  it("works, or names the C stack", function()
    local function nested(depth, fn)
      if depth == 0 then
        return fn()
      end
      return select(2, pcall(nested, depth - 1, fn))
    end
    local waited, full = 0, 0
    local function wait()
      return select(2, pcall(ctx.sleep, ctx.background(), 1))
    end
    for depth = 150, 200 do
      local said = nested(depth, wait)
      if said == true then
        waited = waited + 1
      else
        full = full + 1
        assert.matches("C stack", said)
      end
    end
    assert.is_true(waited > 0 and full > 0)
    assert.is_true(ctx.sleep(ctx.background(), 1))
  end)
end)

describe("A wait in a coroutine that is being closed", function()
  it("says so, whatever calls it", function()
    local waits = {
      function() ctx.sleep(ctx.background(), 1) end,
      function() error(select(2, pcall(ctx.sleep, ctx.background(), 1)), 0) end,
      function() (function() ctx.background():wait() end)() end,
    }
    for _, wait in ipairs(waits) do
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = wait })
        coroutine.yield()
      end)
      coroutine.resume(co)
      local ok, err = coroutine.close(co)
      assert.is_false(ok)
      assert.matches("cannot wait here, in a coroutine that is being closed", err)
    end
  end)
end)
