-- SPDX-License-Identifier: MIT
-- Cause: there are three places to wait in, and most functions were tried in a task only. Here each
-- that the annotations list is called in all of them. And each is called again and again with a
-- context that has ended: a loop that does not look at the result kept all others from running.
local asyncs = require "spec.support.asyncs"
local ctx = require "ctx"
local places = require "spec.support.places"
local reports = require "spec.support.reports"

local background = ctx.background()
local LIMIT_MS = 200000

--- Calls fn(c, it) with the function of this name made ready, and closes what is left of that.
local function with(name, fn, root)
  local c, cancel <close> = ctx.with_timeout(root or background, LIMIT_MS)
  local it = asyncs.made[name](c)
  local _ <close> = setmetatable({}, { __close = it.close or function() end })
  fn(c, it)
  cancel()
end

--- One call, while a task brings what it waits for.
local function call_once(name)
  with(name, function(c, it)
    local waker = ctx.go(function()
      ctx.sleep(c, 0)
      it.wake()
    end)
    asyncs.assert_good(name, pcall(it.call, c))
    waker:wait(c)
  end)
end

describe("Every function that waits", function()
  for _, name in ipairs(asyncs.annotated()) do
    for place, run in pairs(places) do
      it(("does so in %s: %s"):format(place, name), function()
        local calls = 0
        run(function()
          call_once(name)
          calls = calls + 1
        end)
        assert.equal(1, calls)
      end)
    end
  end
end)

-- What ends something for good: a second call raises, or has the result of the first. And what
-- writes megabytes of JSON before it comes to what Res:finish does.
local apart = {
  ["ctx.http.Server:serve"] = true, ["ctx.http.Server:shutdown"] = true,
  ["ctx.uv.fs_close"] = true, ["ctx.uv.fs_closedir"] = true, ["ctx.http.Response:json"] = true,
  ["ctx.uv.Process:close"] = true,
}

describe("A loop that calls it with a context that has ended", function()
  for _, name in ipairs(asyncs.annotated()) do
    local test = apart[name] and function() end or it
    test("lets others run: " .. name, function()
      local others, calls = 0, 0
      reports(function()
        ctx.run(function(root)
          with(name, function(c, it)
            local done, cancel = ctx.with_cancel(c)
            cancel()
            local loop = ctx.go(function()
              while calls < 1000 and others < 4 do
                calls = calls + 1
                pcall(it.call, done)
              end
            end)
            ctx.go(function()
              while others < 4 and ctx.sleep(c, 0) do others = others + 1 end
              it.wake()
            end)
            loop:wait(c)
          end, root)
        end)
      end)
      assert.is_true(others >= 4, ("%d calls, and others ran %d times"):format(calls, others))
    end)
  end
end)

-- Cause: what it waits for may have ended, too, with a context that lives: an accept on a listener
-- that a shutdown has closed, a read at the end of a stream. Each answers at once, and a loop that
-- does not look at that kept all others from running. Cure: such answers count as those for a
-- context that has ended do. What raises is noticed by itself. With the rest nothing can be closed,
-- or what work that is over returned is a result.
describe("A loop that calls it once that has been closed", function()
  for _, name in ipairs(asyncs.annotated()) do
    local closes = name:find("^ctx%.http") or name:find("^ctx%.uv%.%u")
      or name == "ctx.pool.Pool:submit"
    local left_out = apart[name] or name == "ctx.uv.Process:wait"
    local test = closes and not left_out and it or function() end
    test("lets others run, or raises: " .. name, function()
      local others, calls, raised = 0, 0, false
      reports(function()
        ctx.run(function(root)
          with(name, function(c, it)
            local close = it.close or it.wake
            it.close = nil
            close()
            local loop = ctx.go(function()
              while calls < 1000 and others < 4 and not raised do
                local short <const>, cancel <close> = ctx.with_timeout(c, 5)
                calls, raised = calls + 1, not pcall(it.call, short)
                cancel()
              end
            end)
            ctx.go(function()
              while others < 4 and ctx.sleep(c, 0) do others = others + 1 end
            end)
            loop:wait(c)
          end, root)
        end)
      end)
      assert.is_true(others >= 4 or raised,
        ("%d calls, and others ran %d times"):format(calls, others))
    end)
  end
end)
