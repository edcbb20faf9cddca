-- SPDX-License-Identifier: MIT
-- Cause: in an iterator made by coroutine.wrap a wait yielded nothing to the loop, which took that
-- for the end; what was yielded later came to nobody. Cure: ctx.wrap, whose waits are those of the
-- coroutine that iterates; and values that come to nobody are reported.
-- luacheck: ignore 512 (loops that are left at once)
local channel = require "ctx.channel"
local core = require "ctx.core"
local ctx = require "ctx"
local errors = require "ctx.errors"
local no_error = require "spec.support.no_error"
local places = require "spec.support.places"
local reports = require "spec.support.reports"
local semaphore = require "ctx.semaphore"
local testing = require "ctx.testing"
local uv = require "luv"

local background = ctx.background()

local function each_place(text, fn)
  for name, run in pairs(places) do
    it(("%s: in %s"):format(text, name), function()
      local calls = 0
      run(function()
        calls = calls + 1
        fn()
      end)
      assert.equal(1, calls)
      assert.equal(0, core.counters().parked)
    end)
  end
end

--- A body that yields 1 to n, after a wait each.
local function counts_to(n)
  return function()
    for i = 1, n do
      ctx.sleep(background, 1)
      coroutine.yield(i)
    end
  end
end

local function sum_of(...)
  local sum = 0
  for i in ... do sum = sum + i end
  return sum
end

--- A <close> variable that notes in the list that it was closed, and by what.
local function noted(list, name)
  return setmetatable({}, { __close = function(_, err)
    list[#list + 1] = name or err or "closed"
  end })
end

describe("ctx.wrap", function()
  each_place("gives all values to the loop, whatever its body waits for", function()
    assert.equal(55, sum_of(ctx.wrap(counts_to(10))))
    assert.equal(10, sum_of(ctx.wrap(function()
      local ch = channel.new(0)
      local task = ctx.go(function()
        for i = 1, 4 do ch:send(background, i) end
        ch:close()
        return "sent"
      end)
      for value in ch:iter(background) do coroutine.yield(value) end
      assert.equal("sent", task:wait())
    end)))
    assert.equal(6, sum_of(ctx.wrap(function()
      coroutine.yield(ctx.await(background, function(resolve)
        local timer = uv.new_timer()
        timer:start(1, 0, function()
          timer:close()
          resolve(6, "a", nil)
        end)
      end))
    end)))
  end)

  each_place("nests, also across calls that may yield", function()
    assert.equal(2 * 55, sum_of(ctx.wrap(function()
      for i in ctx.wrap(function()
        assert(pcall(function()
          for j in ctx.wrap(counts_to(10)) do
            ctx.sleep(background, 1)
            coroutine.yield(j)
          end
        end))
      end) do
        coroutine.yield(2 * i)
      end
    end)))
  end)

  each_place("hands arguments down and results up, as coroutine.wrap does", function()
    local generator = ctx.wrap(function(...)
      assert.same({ "first", nil, 3, n = 3 }, table.pack(...))
      ctx.sleep(background, 1)
      assert.same({ "second", n = 1 }, table.pack(coroutine.yield(nil, 1)))
      ctx.sleep(background, 1)
      return "the", "end"
    end)
    assert.same({ nil, 1, n = 2 }, table.pack(generator("first", nil, 3)))
    assert.same({ "the", "end" }, { generator("second") })
    local ok, err = pcall(function() generator() end)
    assert.is_false(ok)
    assert.matches("wrap_spec.lua:%d+: ctx.wrap: this generator is over", err)
  end)

  each_place("ends a wait with its context", function()
    local c, cancel = ctx.with_timeout(background, 2)
    local ok, err
    for _ in ctx.wrap(function()
      ok, err = ctx.sleep(c, 60000)
      coroutine.yield(1)
    end) do end
    cancel()
    assert.is_nil(ok)
    assert.is_true(rawequal(ctx.deadline_exceeded, err))
  end)

  each_place("raises the body's error in the loop, with its traceback", function()
    local function deep() error("why") end
    local closed = {}
    local ok, err = pcall(function()
      for _ in ctx.wrap(function()
        local _ <close> = noted(closed)
        ctx.sleep(background, 1)
        deep()
      end) do end
    end)
    assert.is_false(ok)
    assert.matches("^spec/wrap_spec.lua:%d+: why\nstack traceback:.*in upvalue 'deep'", err)
    assert.equal(1, #closed)
    local object = setmetatable({}, { __tostring = function() return "an object" end })
    local generator = ctx.wrap(function() error(object) end)
    assert.is_true(rawequal(object, select(2, pcall(generator))))
    assert.matches("over", select(2, pcall(generator)))
    assert.is_true(no_error(select(2, pcall((ctx.wrap(error))))))
  end)

  each_place("closes the body when the loop is left", function()
    local closed = {}
    local function body()
      local _ <close> = noted(closed)
      for i in ctx.wrap(function()
        local _ <close> = noted(closed, "inner")
        counts_to(3)()
      end) do
        coroutine.yield(i)
      end
    end
    for _ in ctx.wrap(body) do break end
    assert.same({ "inner", "closed" }, closed)
    pcall(function()
      for _ in ctx.wrap(body) do error("in the loop", 0) end
    end)
    assert.same({ "inner", "closed", "inner", "closed" }, closed)
    for _ in ctx.wrap(body) do end
    assert.equal(6, #closed)
    local generator, _, _, closes = ctx.wrap(body)
    do local _ <close> = closes end
    assert.matches("over", select(2, pcall(generator)))
  end)

  each_place("passes on what the closing of the body raises", function()
    local ok, err = pcall(function()
      for _ in ctx.wrap(function()
        local _ <close> = setmetatable({}, { __close = function() error("closing", 0) end })
        counts_to(3)()
      end) do break end
    end)
    assert.same({ false, "closing" }, { ok, err })
  end)

  each_place("says where nobody can wait", function()
    local _, err = pcall(function()
      for _ in ctx.wrap(function()
        table.sort({ 1, 2 }, function() ctx.sleep(background, 1) return false end)
      end) do end
    end)
    assert.matches("ctx.sleep: cannot wait here, inside a C function", err)
    table.sort({ 1, 2 }, function()
      err = coroutine.isyieldable() or select(2, pcall((ctx.wrap(counts_to(1)))))
      return false
    end)
    local _, is_main = coroutine.running()
    assert.is_true(is_main or err:find("cannot wait here, inside a C function") ~= nil)
    _, err = pcall(function()
      for _ in ctx.wrap(function()
        local _ <close> = setmetatable({}, { __close = function()
          ctx.sleep(background, 1)
        end })
        coroutine.yield(1)
      end) do break end
    end)
    assert.matches("cannot wait here, in a coroutine that is being closed", err)
    _, err = pcall(ctx.await, background, function()
      for _ in ctx.wrap(counts_to(1)) do end
    end)
    assert.matches("cannot wait here, in the start function of ctx.await", err)
  end)

  each_place("costs no stack, however often the body waits", function()
    local generator = ctx.wrap(function()
      for _ = 1, 5000 do ctx.sleep(background, 0) end
      return "done"
    end)
    assert.equal("done", generator())
  end)

  each_place("is collected as any other object, half done or not begun", function()
    for i = 1, 200 do
      local generator = ctx.wrap(counts_to(2))
      if i % 2 == 0 then assert.equal(1, generator()) end
      if i % 50 == 0 then collectgarbage() end
    end
    collectgarbage()
  end)

  it("takes something to call", function()
    local ok, err = pcall(function() ctx.wrap(1) end)
    assert.is_false(ok)
    assert.matches("wrap_spec.lua:%d+:.*fn", err)
    local callable = setmetatable({}, { __call = function(_, value) coroutine.yield(value) end })
    assert.equal(7, (ctx.wrap(callable))(7))
  end)

  it("tells another coroutine that the body waits already, and cannot be closed", function()
    testing.run(function(root)
      local generator, _, _, closes = ctx.wrap(counts_to(1))
      local task = ctx.go(function() return generator() end)
      ctx.sleep(root, 0)
      assert.equal("waiting", task:status())
      assert.matches("waits for another coroutine", select(2, pcall(generator)))
      local _, err = pcall(function() local _ <close> = closes end)
      assert.matches("this generator is running", err)
      assert.equal(1, task:wait())
    end)
  end)

  it("tells a body that would resume or close itself", function()
    local generator, closes, _, err
    generator, _, _, closes = ctx.wrap(function()
      _, err = pcall(generator)
      pcall(function() local _ <close> = closes end)
      return "alive"
    end)
    assert.equal("alive", generator())
    assert.matches("is running already", err)
  end)

  it("lets a task that iterates know that it cannot wait for itself", function()
    testing.run(function()
      local task
      task = ctx.go(function()
        local _, err = pcall((ctx.wrap(function() task:wait() end)))
        return err
      end)
      assert.matches("cannot wait for itself", task:wait())
    end)
  end)

  it("gives up with the coroutine that iterates, if that is closed in a wait", function()
    local ch, closed = channel.new(1), {}
    local co = coroutine.create(function()
      for _ in ctx.wrap(function()
        local _ <close> = noted(closed)
        coroutine.yield(ch:recv(background))
      end) do end
    end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    assert.same({ "closed" }, closed)
    assert.is_true(ch:try_send("for the next"))
    assert.equal("for the next", ch:recv(background))
    assert.equal(0, core.counters().parked)
  end)

  it("is closed with a task that is given up", function()
    local closed = {}
    reports(function()
      pcall(ctx.run, function()
        for _ in ctx.wrap(function()
          local _ <close> = noted(closed, "the body")
          ctx.await(background, function() end)
        end) do end
      end)
    end)
    assert.same({ "the body" }, closed)
  end)

  it("raises in the body when the coroutine that iterates is resumed by someone else", function()
    local err
    local co = coroutine.create(function()
      for _ in ctx.wrap(function()
        err = select(2, pcall(ctx.sleep, background, 60000))
      end) do end
    end)
    coroutine.resume(co)
    assert.is_true(coroutine.resume(co))
    assert.matches("resumed by someone else while it waited", err)
    assert.equal("dead", coroutine.status(co))
    assert.equal(0, core.counters().parked)
  end)

  -- Cause: the generator's traceback was kept by the value that was raised, so a later error with
  -- the same number was told with it, and NaN is no key. Cure: it is kept for objects only.
  it("raises numbers and booleans as they are, and later ones are not told with its traceback",
    function()
      for _, value in ipairs { 42, 0 / 0, false } do
        local function in_the_body() error(value) end
        local list = reports(function()
          testing.run(function()
            local ok, err = pcall(ctx.wrap(in_the_body))
            assert.is_false(ok)
            assert.is_true(rawequal(value, err) or err ~= err and value ~= value)
            ctx.go(error, value)
          end)
        end)
        assert.equal(1, #list, "one report")
        assert.equal("task", list[1].kind)
        assert.is_nil(list[1].message:find("in_the_body", 1, true))
      end
    end)

  -- Cause: a body waits by its iterator's record, and nobody looked whether it still did. A body
  -- that a stranger had closed kept its unit of a semaphore and its record for good; one that a
  -- stranger resumed gave the record back under the iterator, which then waited for ever. Cure: the
  -- iterator leaves the record if the body has not, and a stranger's body does not touch it.
  for how, stranger in pairs { closed = coroutine.close, resumed = coroutine.resume } do
    for _, at in ipairs { { 1, 1 }, { 1, 2 }, { 2, 2 } } do
      local name = ("goes on when body %d of %d is %s by someone else in a wait")
        :format(at[1], at[2], how)
      each_place(name, function()
        local s, bodies = semaphore.new(1), {}
        assert(s:acquire(background))
        local function wait()
          bodies[at[2]] = coroutine.running()
          s:acquire(background)
        end
        local function outer()
          bodies[1] = coroutine.running()
          ctx.wrap(wait)()
        end
        ctx.go(function()
          stranger(bodies[at[1]])
          s:release()
        end)
        local ok, err = pcall((ctx.wrap(at[2] == 1 and wait or outer)))
        assert.is_false(ok)
        assert.matches("the body was closed by someone else", tostring(err))
        assert.is_true(s:try_acquire())
      end)
    end
  end

  it("keeps the coroutine that iterates for as long as it may ask for its state", function()
    local known = setmetatable({}, { __mode = "v" })
    local next_value, _, _, closing = ctx.wrap(function() ctx.sleep(background, 60000) end)
    do
      local co = coroutine.create(next_value)
      known[1] = co
      coroutine.resume(co)
      coroutine.close(co)
    end
    assert.equal(0, core.counters().parked)
    collectgarbage()
    assert.is_not_nil(known[1])
    getmetatable(closing).__close(closing)
    local again = ctx.wrap(function() ctx.sleep(background, 1) coroutine.yield(1) end)
    assert.equal(1, again())
  end)

  it("reports the traceback of the body with that of the loop, of an object, too", function()
    local list = reports(function()
      ctx.run(function()
        local function in_the_body() error(errors.new("an object")) end
        ctx.go(function()
          for _ in ctx.wrap(function() in_the_body() end) do end
        end)
      end)
    end)
    assert.equal(1, #list)
    assert.matches("an object\nstack.*'in_the_body'.*which was iterated here:\nstack.*wrap_spec",
      list[1].message)
  end)

  it("lets a plain coroutine inside the body wait as everywhere", function()
    local steps = {}
    testing.run(function(root)
      for _ in ctx.wrap(function()
        local co = coroutine.wrap(function()
          ctx.sleep(root, 5)
          steps[#steps + 1] = "inside"
        end)
        co()
        steps[#steps + 1] = "the body"
        ctx.sleep(root, 10)
      end) do end
    end)
    assert.same({ "the body", "inside" }, steps)
  end)
end)

describe("values that a coroutine yields after a wait, and that come to nobody", function()
  it("are reported, once for each line", function()
    local list = reports(function()
      ctx.run(function(root)
        for _ = 1, 3 do
          local rows = 0
          for _ in coroutine.wrap(function()
            ctx.sleep(root, 1)
            coroutine.yield("row")
          end) do rows = rows + 1 end
          assert.equal(0, rows)
        end
        ctx.sleep(root, 10)
      end)
    end)
    assert.equal(1, #list)
    assert.equal("coroutine", list[1].kind)
    assert.matches("wrap_spec.lua:%d+: a coroutine that had waited yielded values.*use ctx.wrap",
      list[1].message)
  end)

  it("are not, where there are none: a handler that returns something, or yields", function()
    local list = reports(function()
      ctx.run(function(root)
        local co = coroutine.create(function()
          ctx.sleep(root, 1)
          coroutine.yield()
          return "to nobody"
        end)
        coroutine.resume(co)
        ctx.sleep(root, 5)
        coroutine.resume(co)
      end)
    end)
    assert.same({}, list)
  end)
end)
