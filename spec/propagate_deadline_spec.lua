-- SPDX-License-Identifier: MIT
--- The time that is left, in a header, also over three hops.
local ctx = require "ctx"
local misuse = require "spec.support.misuse"
local propagate = require "ctx.propagate"
local random = require "spec.support.random"
local testing = require "ctx.testing"

local raises = misuse.raises
local grpc = propagate.deadline { header = "grpc-timeout", unit = "grpc" }

local function ms_of(value, deadline)
  return (select(2, propagate.extract(ctx.background(), { ["grpc-timeout"] = value }, deadline)))
end

describe("grpc-timeout", function()
  it("is written in the finest unit that has room in 8 digits, rounded down", function()
    for ms, wanted in pairs {
      [1] = "1000000n", [0.5] = "500000n", [99.999999] = "99999999n", [100] = "100000u",
      [100.0009] = "100000u", [5000] = "5000000u", [99999.999] = "99999999u", [100000] = "100000m",
      [100000.9] = "100000m", [99999999] = "99999999m", [1e8] = "100000S",
      [99999999000] = "99999999S", [1e11] = "1666666M", [5.9e12] = "98333333M",
      [8.9e12] = "2472222H",
    } do
      assert.equal(wanted, grpc:encode(ms), ms)
    end
  end)

  it("is never 0, and not written without a limit or without time", function()
    assert.equal("1n", grpc:encode(1e-6))
    assert.equal("1n", grpc:encode(1e-9))
    for _, ms in ipairs { 0, -0.0, -1, -math.huge, math.huge, 9e12 } do
      assert.is_nil(grpc:encode(ms), tostring(ms))
    end
  end)

  it("raises at the caller's line: another type than a number, and a call with a dot", function()
    misuse.raises(function() grpc:encode("x") end, "#1 to 'encode' (ms: a number expected")
    misuse.raises(function() grpc:encode() end, "#1 to 'encode' (ms: a number expected, got nil")
    misuse.raises(function() grpc:encode(0 / 0) end, "#1 to 'encode'")
    misuse.raises(function() grpc.encode(5) end, "bad self to 'encode'", "colon")
    misuse.raises(function() grpc.decode("5S") end, "bad self to 'decode'", "colon")
  end)

  it("is read in all units, in which case matters", function()
    for value, wanted in pairs {
      ["1H"] = 3600000, ["1M"] = 60000, ["1S"] = 1000, ["1m"] = 1, ["1u"] = 0.001,
      ["1n"] = 0.000001, ["00000005S"] = 5000, ["99999999m"] = 99999999,
      ["2499999H"] = 8999996400000, [" 5S\t"] = 5000, ["0S"] = 0,
    } do
      assert.equal(wanted, ms_of(value), value)
    end
    assert.equal(5000, ms_of { "5S" })
  end)

  it("that is malformed, or no clock can show, is no deadline", function()
    for _, value in ipairs {
      "", "5", "S", "5s", "5h", "5 S", "5Sx", "-5S", "+5S", "5.5S", "1e3S", "0x5S", "123456789S",
      "000000001S", "5SS", "S5", "\xD9\xA5S", "5S,5S", "5S\n", "5S\0", "99999999H", "2500000H",
      "inf", "nanm", 5, true, { "5S", "5S" }, {}, { 5 },
    } do
      assert.is_nil(ms_of(value), tostring(value))
    end
  end)

  it("of a random time comes back no later, and less than one unit sooner", function()
    local seed = os.time()
    local next_number = random(seed)
    for _ = 1, 5000 do
      local ms = next_number(2 ^ 30 // 1) * 10.0 ^ (next_number(13) - 10)
      local value = grpc:encode(ms)
      local back = grpc:decode(value)
      local where = ("seed %d: %.17g ms, %s"):format(seed, ms, value)
      assert.truthy(value:find("^[1-9]%d?%d?%d?%d?%d?%d?%d?[HMSmun]$"), where)
      -- One nanosecond is the least there is; and floats are exact to 16 digits.
      assert.is_true(back <= ms * (1 + 1e-15) or value == "1n", where)
      local unit = grpc:decode("1" .. value:sub(-1))
      assert.is_true(ms - back < unit * 1.0000001, where)
    end
  end)
end)

describe("a deadline in a header of the program's own", function()
  it("is in ms by default, rounded down, and never 0", function()
    local deadline = propagate.deadline { header = "X-Request-Timeout-Ms" }
    for ms, wanted in pairs {
      [1500] = "1500", [1500.9] = "1500", [0.2] = "1", [1e12] = "1000000000000",
    } do
      assert.equal(wanted, deadline:encode(ms))
    end
    assert.is_nil(deadline:encode(0))
    assert.is_nil(deadline:encode(math.huge))
    assert.equal(1500, deadline:decode("1500"))
    assert.equal(1500.5, deadline:decode("1500.5"))
    for _, value in ipairs { "", "-1", "+1", "1e3", "0x10", "1.", ".5", "inf", "nan", "1 2", "1ms",
        "9000000000000", ("9"):rep(400), 12, {} } do
      assert.is_nil(deadline:decode(value), tostring(value))
    end
  end)

  it("knows other units", function()
    for unit, wanted in pairs { s = "1.500", ms = "1500", us = "1500700", ns = "1500700000",
        grpc = "1500700u" } do
      local deadline = propagate.deadline { header = "t", unit = unit }
      assert.equal(wanted, deadline:encode(1500.7))
      assert.is_true(math.abs(deadline:decode(wanted) - 1500.7) <= 0.7001)
    end
    local seconds = propagate.deadline { header = "t", unit = "s" }
    assert.equal("0.001", seconds:encode(0.01))
    assert.equal(2000, seconds:decode("2"))
  end)

  it("takes the place of grpc-timeout; false means none", function()
    testing.run(function(root)
      local deadline = propagate.deadline { header = "X-Timeout" }
      local c, cancel <close> = ctx.with_timeout(root, 1500)
      assert.same({ ["x-timeout"] = "1500" }, propagate.inject(c, {}, deadline))
      assert.same({}, propagate.inject(c, {}, false))
      assert.same({ ["X-TIMEOUT"] = "1" }, propagate.inject(c, { ["X-TIMEOUT"] = "1" }, deadline))
      local headers = { ["x-timeout"] = "70", ["grpc-timeout"] = "5S" }
      assert.equal(70, select(2, propagate.extract(root, headers, deadline)))
      assert.equal(5000, select(2, propagate.extract(root, headers)))
      assert.is_nil(select(2, propagate.extract(root, headers, false)))
    end)
  end)

  it("raises at the caller's line what makes no sense", function()
    raises(function() propagate.deadline() end, "options.header", "the name of a header")
    raises(function() propagate.deadline {} end, "options.header", "the name of a header")
    raises(function() propagate.deadline { header = "a b" } end, "options.header")
    raises(function() propagate.deadline { header = "" } end, "options.header")
    raises(function() propagate.deadline { header = "Content-Length" } end, "options.header")
    raises(function() propagate.deadline { header = "a", unit = "h" } end, "options.unit", '"h"')
    raises(function() propagate.deadline { header = "a", units = "s" } end, "name of an option")
  end)
end)

describe("the time that is left", function()
  it("is that of each attempt", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 5000)
      assert.equal("5000000u", propagate.inject(c, {})["grpc-timeout"])
      clock:advance(4000)
      assert.equal("1000000u", propagate.inject(c, {})["grpc-timeout"])
      clock:advance(999)
      assert.equal("1000000n", propagate.inject(c, {})["grpc-timeout"])
      clock:advance(1)
      assert.same({}, propagate.inject(c, {}))
    end)
  end)

  it("is the ancestor's if that is less, and the caller's own word stays", function()
    testing.run(function(root)
      local a, cancel_a <close> = ctx.with_timeout(root, 100)
      local b, cancel_b <close> = ctx.with_timeout(a, 5000)
      assert.equal("100000u", propagate.inject(b, {})["grpc-timeout"])
      assert.same({ ["Grpc-Timeout"] = "1S" }, propagate.inject(b, { ["Grpc-Timeout"] = "1S" }))
      assert.same({}, propagate.inject(root, {}))
    end)
  end)
end)

-- What a server does with a request: its own limit, and no more than the caller has left.
local function serve(root, headers, handler)
  local c, ms = propagate.extract(root, headers)
  local limited, cancel <close> = ctx.with_timeout(c, math.min(ms or math.huge, 30000))
  return handler(limited)
end

describe("over three hops", function()
  local exported

  before_each(function()
    exported = {}
    local exporter = { export = function(_, span) exported[span.name] = span end }
    propagate.set_tracer { exporter = exporter }
  end)

  after_each(function()
    propagate.set_tracer(nil)
  end)

  --- Does the work of one service after `ms`, then calls the next.
  local function hop(c, name, ms, following)
    local server, _ <close> = propagate.start_span(c, name, { kind = "server" })
    local ok, err = ctx.sleep(server, ms)
    if not ok then
      return nil, err
    end
    local client, _ <close> = propagate.start_span(server, name .. " calls", { kind = "client" })
    return following(propagate.inject(client, {}))
  end

  it("A has 5 s and spends 4; C has 1 left, one trace, and the right parents", function()
    testing.run(function(root)
      local left_at_c, trace_at_c
      local c, cancel <close> = ctx.with_timeout(root, 5000)
      c = propagate.with_baggage(c, "tenant", "a b")
      assert.is_true(hop(c, "A", 1000, function(to_b)
        return serve(root, to_b, function(at_b)
          return hop(at_b, "B", 3000, function(to_c)
            return serve(root, to_c, function(at_c)
              left_at_c, trace_at_c = at_c:remaining(), propagate.trace(at_c)
              assert.equal("a b", propagate.baggage(at_c, "tenant"))
              return true
            end)
          end)
        end)
      end))
      assert.equal(1000, left_at_c)
      local a, a_calls, b, b_calls =
        exported["A"], exported["A calls"], exported["B"], exported["B calls"]
      for _, span in pairs(exported) do
        assert.equal(a.trace_id, span.trace_id)
      end
      assert.is_nil(a.parent_span_id)
      assert.equal(a.span_id, a_calls.parent_span_id)
      assert.equal(a_calls.span_id, b.parent_span_id)
      assert.is_true(b.parent_is_remote)
      assert.equal(b.span_id, b_calls.parent_span_id)
      assert.is_false(b_calls.parent_is_remote)
      assert.equal(b_calls.span_id, trace_at_c.span_id)
      assert.equal(4000000000, a.end_ns - a.start_ns)
      assert.equal(3000000000, b.end_ns - b.start_ns)
    end)
  end)

  it("C that needs too long ends with A's deadline, and its span says so", function()
    testing.run(function(root, clock)
      local c, cancel <close> = ctx.with_timeout(root, 5000)
      local ok, err = hop(c, "A", 4000, function(to_c)
        return serve(root, to_c, function(at_c)
          return hop(at_c, "C", 60000, error)
        end)
      end)
      assert.is_nil(ok)
      assert.equal(ctx.deadline_exceeded, err)
      assert.equal(5000, clock:elapsed())
      assert.equal("deadline_exceeded", exported["C"].status)
      assert.equal("deadline_exceeded", exported["A"].status)
    end)
  end)
end)
