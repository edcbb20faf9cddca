-- SPDX-License-Identifier: MIT
-- Programs that end while something waits: the state is closed with all of that in place. Each is a
-- process of its own, which must end as it should, and with nothing on stderr.
local program = require "spec.support.program"

local head = [[
local ctx = require "ctx"
local uv = require "luv"
local background = ctx.background()
local function note(...) print(...) io.stdout:flush() end
local function closing(name)
  return setmetatable({}, { __close = function() note("closed " .. name) end })
end
local function foreign(fn) return coroutine.resume(coroutine.create(fn)) end
local function never() end
]]

--- Runs the program; it must write this and nothing else, and end with this code.
local function ends(text, expected, code)
  for _, gc in ipairs({ "incremental", "generational" }) do
    local output, noise, ended = program.run(("collectgarbage %q\n"):format(gc) .. head .. text)
    assert.equal("", noise)
    assert.equal(expected or "", output)
    assert.equal(code or 0, ended)
  end
end

local waits = {
  sleep = "ctx.sleep(background, 1e9)",
  ["sleep below a deadline"] = "ctx.sleep((ctx.with_timeout(background, 1e9)), 1e8)",
  ["c:wait"] = "(ctx.with_cancel(background)):wait()",
  await = "ctx.await(background, never)",
  ["await, with an aborter"] = "ctx.await(background, function() return never end)",
  ["await, with a timer"] = [[ctx.await(background, function(resolve)
    local timer = uv.new_timer()
    timer:start(1e8, 0, resolve)
    return timer
  end)]],
  ["await, with a request"] = [[ctx.await(background, function(resolve)
    return uv.fs_stat(".", resolve)
  end)]],
  ["await, with a socket"] = [[ctx.await(background, function(resolve)
    local server = uv.new_tcp()
    server:bind("127.0.0.1", 0)
    server:listen(1, resolve)
    return server
  end)]],
  ["t:wait"] = "ctx.go(function() ctx.sleep(background, 1e9) end):wait()",
  ["a plain yield"] = "coroutine.yield()",
  any = "(ctx.any(background, (ctx.with_timeout(background, 1e9)))):wait()",
}

describe("a program that ends while a task waits:", function()
  for name, wait in pairs(waits) do
    it(name, function()
      ends(([[
        ctx.go(function() %s end)
        for _ = 1, 3 do uv.run("nowait") end
      ]]):format(wait))
    end)
  end
end)

describe("a program that ends while a coroutine waits:", function()
  for name, wait in pairs(waits) do
    it(name, function()
      ends(([[
        foreign(function() %s end)
        uv.run("nowait")
      ]]):format(wait))
    end)
  end
end)

describe("os.exit that closes the state, within a task, while another waits:", function()
  for name, wait in pairs(waits) do
    it(name, function()
      ends(([[
        ctx.run(function(root)
          ctx.go(function() %s end)
          foreign(function() %s end)
          ctx.sleep(root, 1)
          os.exit(3, true)
        end)
      ]]):format(wait, wait), "", 3)
    end)
  end
end)

describe("a program that ends", function()
  it("with tasks that have not begun", function()
    ends [[ for _ = 1, 100 do ctx.go(never) end ]]
  end)

  it("with after-funcs registered, and due", function()
    ends [[
      local c, cancel = ctx.with_cancel(background)
      for _ = 1, 10 do ctx.after_func(c, never) end
      ctx.after_func((ctx.with_timeout(background, 1e9)), never)
      local due, cancel_due = ctx.with_cancel(background)
      ctx.after_func(due, function() note "not any more" end)
      cancel_due()
    ]]
  end)

  it("with contexts that nobody cancelled", function()
    ends [[
      kept = {}
      for i = 1, 100 do
        kept[i] = { ctx.with_timeout(ctx.with_value(background, i, {}), 1e6) }
        ctx.with_cancel(kept[i][1])
      end
    ]]
  end)

  it("with a wake-up descriptor and handles of every kind open", function()
    ends [[
      for _, make in ipairs({ uv.new_timer, uv.new_idle, uv.new_tcp, uv.new_prepare }) do make() end
      ctx.run(function(root) ctx.sleep(root, 1) end)
    ]]
  end)

  it("and required luv first", function()
    local output, noise, code = program.run([[
      local uv = require "luv"
      local timer = uv.new_timer()
      timer:start(1, 0, function() timer:close() end)
      local ctx = require "ctx"
      ctx.go(function() ctx.sleep(ctx.background(), 1e9) end)
      coroutine.wrap(function() ctx.await(ctx.background(), function() return timer end) end)()
      uv.run("nowait")
      print "end"
    ]])
    assert.equal("", noise)
    assert.equal("end\n", output)
    assert.equal(0, code)
  end)

  it("with finalizers that use the library after its own end", function()
    ends [[
      local c, cancel = ctx.with_timeout(background, 1e9)
      local stop = ctx.after_func(c, never)
      local task = ctx.go(function() c:wait() end)
      local function use()
        c:err() c:cause() c:done() c:deadline() c:remaining() c:value("key") c:name() tostring(c)
        tostring(cancel) tostring(task) task:status() task:traceback()
        ctx.now() ctx.counters() stop()
        pcall(ctx.with_cancel, c)
        pcall(ctx.with_value, c, "key", 1)
        pcall(ctx.any, c, background)
        pcall(ctx.go, never)
        pcall(ctx.after_func, c, never)
        pcall(ctx.sleep, c, 1)
        pcall(ctx.await, c, never)
        pcall(task.wait, task)
        cancel("from a finalizer")
        c:err()
      end
      -- One that is finalized before the library's state, and one that was made before it.
      kept = setmetatable({}, { __gc = use })
    ]]
    local output, noise, code = program.run([[
      local late = {}
      kept = setmetatable({}, { __gc = function() late.use() end })
      local ctx = require "ctx"
      local c, cancel = ctx.with_cancel(ctx.background())
      local task = ctx.go(function() c:wait() end)
      local stop = ctx.after_func(c, print)
      function late.use()
        c:err() c:cause() c:done() c:deadline() c:remaining() c:value("key") tostring(c)
        tostring(task) task:status() task:traceback() ctx.now() ctx.counters() stop()
        for _, name in ipairs({ "with_cancel", "without_cancel", "any" }) do pcall(ctx[name], c) end
        pcall(ctx.with_timeout, c, 5)
        pcall(ctx.go, print)
        pcall(ctx.after_func, c, print)
        pcall(ctx.sleep, c, 1)
        pcall(c.wait, c)
        pcall(task.wait, task)
        pcall(coroutine.wrap(function() ctx.sleep(c, 1) end))
        cancel("why")
        print "used"
      end
    ]])
    assert.equal("", noise)
    assert.equal("used\n", output)
    assert.equal(0, code)
  end)

  it("with a late resolve from luv's own end", function()
    ends [[
      foreign(function()
        ctx.await(background, function(resolve)
          local a = uv.new_tcp()
          a:bind("127.0.0.1", 0)
          a:listen(1, never)
          local b = uv.new_tcp()
          b:connect("127.0.0.1", a:getsockname().port, function(...) resolve(...) end)
        end)
      end)
    ]]
  end)
end)

describe("<close> variables, at the end of the program,", function()
  it("of tasks that wait are not run: nobody has cancelled them", function()
    ends [[
      ctx.go(function()
        local _ <close> = closing "task"
        ctx.sleep(background, 1e9)
      end)
      uv.run("nowait")
    ]]
  end)

  it("of the task that calls os.exit(code, true) wake nobody", function()
    ends([[
      local c, cancel <close> = ctx.with_cancel(background)
      ctx.run(function(root)
        ctx.go(function() c:wait() note "woken" end)
        ctx.sleep(root, 1)
        os.exit(5, true)
      end)
    ]], "", 5)
  end)

  it("of tasks run when ctx.run ends, by their contexts", function()
    ends([[
      ctx.run(function(root)
        ctx.go(function()
          local _ <close> = closing "task"
          ctx.sleep(root, 1e9)
        end)
        ctx.sleep(root, 1)
        note "main"
      end)
      note "end"
    ]], "main\nclosed task\nend\n")
  end)
end)

describe("errors, at the end of the program,", function()
  it("that nobody waited for are reported at last", function()
    local output, noise, code = program.run(head .. [[
      kept = ctx.go(error, "never asked for")
      ctx.run(never)
      note "end"
    ]])
    assert.equal("end\n", output)
    assert.matches("ctx: a task failed, and nobody waited for it: never asked for", noise, 1, true)
    assert.equal(0, code)
  end)

  it("of ctx.run end it with a code and the stack", function()
    local _, noise, code = program.run(head .. [[
      local function raises_here() error("why") end
      ctx.run(function() raises_here() end)
    ]])
    assert.equal(1, code)
    assert.matches("why\nstack traceback:", noise, 1, true)
  end)

  it("of all tasks asleep, too", function()
    local _, noise, code = program.run(head .. [[
      ctx.run(function() background:wait() end)
    ]])
    assert.equal(1, code)
    assert.matches("all tasks are asleep", noise, 1, true)
    assert.matches("task waiting in c:wait", noise, 1, true)
  end)
end)

describe("a program that ends with uv.run", function()
  it("is not held by contexts, deadlines and after-funcs alone", function()
    ends([[
      local c, cancel = ctx.with_timeout(background, 1e9)
      ctx.after_func(c, never)
      note(uv.run())
    ]], "false\n")
  end)

  it("is not held by waits that nothing can end", function()
    ends([[
      foreign(function() background:wait() end)
      ctx.go(function() ctx.await(background, never) end)
      note(uv.run())
    ]], "false\n")
  end)

  it("is held by a coroutine that waits for its time", function()
    ends([[
      foreign(function() note(ctx.sleep(background, 5)) end)
      ctx.go(function() note(ctx.sleep(background, 1)) end)
      local c = ctx.with_timeout(background, 10)
      foreign(function() note(c:wait()) end)
      uv.run()
      note "end"
    ]], "true\ntrue\ncontext deadline exceeded\nend\n")
  end)
end)
