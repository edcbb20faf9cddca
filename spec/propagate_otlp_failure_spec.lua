-- SPDX-License-Identifier: MIT
--- The exporter when its receiver fails, and when it is shut down.
local collector = require "spec.support.collector"
local ctx = require "ctx"
local errors = require "ctx.errors"
local otlp = require "ctx.propagate.otlp"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local OK, export, with = collector.OK, collector.export, collector.with

describe("an exporter whose receiver", function()
  for _, status in ipairs { 429, 502, 503, 504 } do
    it("answers " .. status .. " tries again, and waits longer each time", function()
      local again = { status = status, headers = {} }
      with({ timeout = 60000 }, { again, again, again, OK }, function(root, _, exporter, to)
        export(exporter, 3)
        assert.is_true(exporter:flush(root))
        assert.equal(4, #to.calls)
        for n = 2, 4 do
          assert.equal(to.calls[1].body, to.calls[n].body)
          local waited, full = to.calls[n].at - to.calls[n - 1].at, 1000 * 2 ^ (n - 2)
          assert.is_true(waited >= full / 2 and waited <= full + 1, tostring(waited))
        end
        assert.equal(3, exporter:stats().sent)
      end)
    end)
  end

  it("says Retry-After is asked no sooner", function()
    local later = { status = 503, headers = { ["retry-after"] = "7" } }
    with({ timeout = 60000 }, { later, OK }, function(root, _, exporter, to)
      export(exporter, 1)
      exporter:flush(root)
      assert.equal(7000, to.calls[2].at - to.calls[1].at)
      assert.equal(1, exporter:stats().sent)
    end)
  end)

  it("asks for more time than the batch has is not asked again", function()
    local told = reports(function()
      local later = { status = 429, headers = { ["retry-after"] = "11" } }
      with({ timeout = 10000 }, { later, OK }, function(root, clock, exporter, to)
        export(exporter, 1)
        assert.is_true(exporter:flush(root))
        assert.equal(1, #to.calls)
        assert.equal(0, clock:elapsed())
        assert.equal(1, exporter:stats().failed)
      end)
    end)
    assert.truthy(told[1].message:find("status 429", 1, true))
  end)

  for _, status in ipairs { 301, 400, 401, 404, 500, 501 } do
    it("answers " .. status .. " gets that batch no more", function()
      local told = reports(function()
        with({}, { { status = status }, OK }, function(root, _, exporter, to)
          export(exporter, 2)
          assert.is_true(exporter:flush(root))
          assert.equal(1, #to.calls)
          export(exporter, 1)
          exporter:flush(root)
          assert.same({ queued = 0, sent = 1, dropped = 0, failed = 2, rejected = 0 },
            exporter:stats())
        end)
      end)
      assert.equal(1, #told)
      assert.equal("otlp", told[1].kind)
      assert.truthy(told[1].message:find("2 spans are lost.*status " .. status))
    end)
  end

  --- A receiver that takes so many spans at a time; notes how many came, and in how many calls.
  local function small(most, to)
    return function(_, _, _, body)
      local count = select(2, body:gsub('"spanId"', ""))
      to.calls, to.largest = to.calls + 1, math.max(to.largest, count)
      if count > most then
        return { status = 413 }
      end
      to.arrived = to.arrived + count
      return OK
    end
  end

  -- Cause: every refusal lost its batch. Cure: 413 is for the size, so the batch goes in parts.
  for _, most in ipairs { 1, 3, 5, 39, 40 } do
    it("takes " .. most .. " spans at a time gets all 40, in parts", function()
      local to = { calls = 0, largest = 0, arrived = 0 }
      testing.run(function(root)
        local exporter = otlp.new { post = small(most, to) }
        export(exporter, 40)
        assert.is_true(exporter:flush(root))
        assert.equal(40, to.arrived)
        assert.is_true(to.calls <= 6 + 40 // math.max(most // 2, 1) + 1, to.calls)
        assert.same({ queued = 0, sent = 40, dropped = 0, failed = 0, rejected = 0 },
          exporter:stats())
        exporter:shutdown(root)
      end)
    end)
  end

  it("refuses one span for its size alone loses that one, and tells it", function()
    local told = reports(function()
      testing.run(function(root)
        local exporter = otlp.new { post = function(_, _, _, body)
          return body:find("too large", 1, true) and { status = 413 } or OK
        end }
        for i = 1, 9 do
          exporter:export(collector.span(i == 4 and "too large" or "x"))
        end
        assert.is_true(exporter:flush(root))
        assert.same({ queued = 0, sent = 8, dropped = 0, failed = 1, rejected = 0 },
          exporter:stats())
        exporter:shutdown(root)
      end)
    end)
    assert.equal(1, #told)
    assert.truthy(told[1].message:find("1 spans are lost.*status 413"))
  end)

  it("refuses all for their size is asked a bounded number of times", function()
    reports(function()
      testing.run(function(root)
        local to = { calls = 0, largest = 0, arrived = 0 }
        local exporter = otlp.new { post = small(0, to) }
        export(exporter, 64)
        assert.is_true(exporter:flush(root))
        assert.equal(6 + 64, to.calls)
        assert.equal(64, exporter:stats().failed)
        exporter:shutdown(root)
      end)
    end)
  end)

  it("cannot be reached is asked again until the time of the batch is over; one report", function()
    local told = reports(function()
      with({ timeout = 10000 }, { errors.new("connection refused") },
        function(root, clock, exporter, to)
          export(exporter, 1)
          assert.is_true(exporter:flush(root))
          assert.is_true(#to.calls >= 3 and clock:elapsed() <= 10000)
          export(exporter, 1)
          exporter:flush(root)
          assert.equal(2, exporter:stats().failed)
        end)
    end)
    assert.equal(1, #told)
    assert.truthy(told[1].message:find("connection refused", 1, true))
  end)

  it("fails, recovers and fails again is reported twice", function()
    local bad = { status = 400 }
    local told = reports(function()
      with({}, { bad, bad, OK, bad, bad }, function(root, _, exporter)
        for _ = 1, 5 do
          export(exporter, 1)
          exporter:flush(root)
        end
      end)
    end)
    assert.equal(2, #told)
  end)

  it("never answers holds up nobody for more than the time of a batch", function()
    reports(function()
      with({ timeout = 3000 }, { function(c) return nil, c:wait() end, OK },
        function(root, clock, exporter)
          export(exporter, 1)
          assert.is_true(exporter:flush(root))
          assert.equal(3000, clock:elapsed())
          assert.equal(1, exporter:stats().failed)
        end)
    end)
  end)

  it("makes post raise, or return nonsense, loses that batch only", function()
    local told = reports(function()
      with({ timeout = 1 }, { function() error("boom") end, function() end, {}, OK },
        function(root, _, exporter)
          for _ = 1, 4 do
            export(exporter, 1)
            assert.is_true(exporter:flush(root))
          end
          assert.equal(3, exporter:stats().failed)
          assert.equal(1, exporter:stats().sent)
        end)
    end)
    assert.equal(1, #told)
    assert.equal("otlp", told[1].kind)
    assert.truthy(told[1].message:find("boom", 1, true))
  end)
end)

describe("an exporter whose post hangs for ever", function()
  it("ends with the run, which says so, and counts the spans as failed", function()
    local hang = function() ctx.await(ctx.background(), function() end) end
    local to = collector.receiver(hang, OK)
    local exporter = otlp.new { batch = 1, post = to.post }
    reports(function()
      local ok, err = pcall(ctx.run, function() export(exporter, 1) end)
      assert.is_false(ok)
      assert.truthy(tostring(err):find("all tasks are asleep", 1, true))
    end)
    assert.equal(1, exporter:stats().failed)
    ctx.run(function(root)
      export(exporter, 1)
      assert.is_true(exporter:shutdown(root))
    end)
    assert.equal(1, exporter:stats().sent)
  end)
end)

describe("a flush", function()
  it("that is over counts, also if its context ends in that turn", function()
    local cancel
    with({}, { function() cancel() return OK end }, function(root, _, exporter)
      local c
      c, cancel = ctx.with_cancel(root)
      export(exporter, 1)
      assert.is_true(exporter:flush(c))
    end)
  end)
end)

describe("the shutdown of an exporter", function()
  it("sends the rest, and takes no more", function()
    with({ batch = 3 }, { OK }, function(root, clock, exporter, to)
      export(exporter, 5)
      assert.is_true(exporter:shutdown(root))
      assert.equal(5, exporter:stats().sent)
      export(exporter, 2)
      assert.equal(2, exporter:stats().dropped)
      assert.is_true(exporter:shutdown(root), "again")
      clock:advance(60000)
      assert.equal(2, #to.calls)
    end)
  end)

  it("ends with its context; what is left is dropped, and what is under way is cut off", function()
    reports(function()
      with({ batch = 3 }, { function(c) return nil, c:wait() end },
        function(root, clock, exporter)
          export(exporter, 8)
          local c, cancel <close> = ctx.with_timeout(root, 2000)
          local ok, err = exporter:shutdown(c)
          assert.is_nil(ok)
          assert.equal(ctx.deadline_exceeded, err)
          assert.equal(2000, clock:elapsed())
          clock:settle()
          assert.same({ queued = 0, sent = 0, dropped = 5, failed = 3, rejected = 0 },
            exporter:stats())
        end)
    end)
  end)

  it("on a context that has ended begins nothing", function()
    with({}, { OK }, function(root, clock, exporter, to)
      export(exporter, 2)
      local c, cancel = ctx.with_cancel(root)
      cancel("enough")
      local ok, err = exporter:shutdown(c)
      assert.is_nil(ok)
      assert.equal("context canceled: enough", tostring(err))
      clock:advance(60000)
      assert.equal(0, #to.calls)
      assert.equal(2, exporter:stats().dropped)
    end)
  end)

  it("leaves no timer behind", function()
    with({}, { OK }, function(root, _, exporter)
      export(exporter, 1)
      local c, cancel = ctx.with_cancel(root)
      cancel()
      exporter:shutdown(c)
    end)
  end)

  it("a flush that is given up leaves the batch to be sent", function()
    with({}, { function(c) ctx.sleep(c, 500) return OK end }, function(root, clock, exporter)
      export(exporter, 2)
      local c, cancel <close> = ctx.with_timeout(root, 100)
      assert.equal(ctx.deadline_exceeded, select(2, exporter:flush(c)))
      clock:advance(400)
      assert.equal(2, exporter:stats().sent)
    end)
  end)
end)
