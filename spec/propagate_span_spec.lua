-- SPDX-License-Identifier: MIT
--- Spans: which are recorded, what they say, and what inject writes within them.
local ctx = require "ctx"
local errors = require "ctx.errors"
local luv = require "luv"
local misuse = require "spec.support.misuse"
local propagate = require "ctx.propagate"
local reports = require "spec.support.reports"
local testing = require "ctx.testing"

local raises = misuse.raises
local root = ctx.background()

local TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

local function from_caller(flags, state)
  return (propagate.extract(root, {
    traceparent = ("00-%s-%s-%s"):format(TRACE, SPAN, flags), tracestate = state,
  }))
end

--- Starts and finishes a span; returns what inject writes within it.
local function headers_within(c, name)
  local below, span <close> = propagate.start_span(c, name or "x")
  return propagate.inject(below, {}), span
end

describe("without a tracer", function()
  it("a span is nothing, and the trace goes on as it came", function()
    local c = from_caller("01", "a=b")
    local below, span = propagate.start_span(c, "x", { kind = "client", attributes = { a = 1 } })
    assert.equal(c, below)
    assert.is_false(span.recording)
    span:set("b", 2)
    span:finish("an error")
    assert.same({ traceparent = ("00-%s-%s-01"):format(TRACE, SPAN), tracestate = "a=b" },
      headers_within(c))
    assert.same({}, headers_within(root), "and none is invented")
  end)
end)

describe("a span", function()
  local spans, previous

  before_each(function()
    spans = {}
    previous = propagate.set_tracer {
      exporter = { export = function(_, span) spans[#spans + 1] = span end },
    }
  end)

  after_each(function()
    propagate.set_tracer(previous)
  end)

  it("of a sampled trace is recorded, below the caller's span", function()
    local headers = headers_within(from_caller("01", "a=b"), "work")
    local span = spans[1]
    assert.equal("work", span.name)
    assert.equal("internal", span.kind)
    assert.equal(TRACE, span.trace_id)
    assert.equal(SPAN, span.parent_span_id)
    assert.is_true(span.parent_is_remote)
    assert.equal("a=b", span.state)
    assert.equal(1, span.flags)
    assert.equal("ok", span.status)
    assert.same({ traceparent = ("00-%s-%s-01"):format(TRACE, span.span_id), tracestate = "a=b" },
      headers)
    assert.equal(1, #spans)
  end)

  it("of a trace that is not sampled is not recorded, and has an id even so", function()
    local headers, span = headers_within(from_caller("00"))
    assert.is_false(span.recording)
    assert.same({}, spans)
    assert.truthy(headers.traceparent:find("^00%-" .. TRACE .. "%-%x+%-00$"))
    assert.is_nil(headers.traceparent:find(SPAN, 1, true))
  end)

  it("keeps the flag of random ids, and drops those that nobody knows", function()
    assert.truthy(headers_within(from_caller("03")).traceparent:find("%-03$"))
    assert.truthy(headers_within(from_caller("02")).traceparent:find("%-02$"))
    assert.truthy(headers_within(from_caller("fd")).traceparent:find("%-01$"))
  end)

  it("without a trace begins one", function()
    local headers = headers_within(root)
    local span = spans[1]
    assert.equal(("00-%s-%s-03"):format(span.trace_id, span.span_id), headers.traceparent)
    assert.is_nil(headers.tracestate)
    assert.is_nil(span.parent_span_id)
    assert.is_false(span.parent_is_remote)
  end)

  it("within a span has that for its parent, and its siblings have other ids", function()
    local c, outer = propagate.start_span(root, "outer")
    headers_within(c, "a")
    headers_within(c, "b")
    outer:finish()
    local a, b = spans[1], spans[2]
    assert.equal(outer.span_id, a.parent_span_id)
    assert.equal(outer.span_id, b.parent_span_id)
    assert.is_false(a.parent_is_remote)
    assert.not_equal(a.span_id, b.span_id)
    assert.equal(outer, spans[3])
  end)

  it("has ids of which no two are the same", function()
    local seen = {}
    for _ = 1, 2000 do
      headers_within(root)
    end
    for _, span in ipairs(spans) do
      assert.truthy(span.trace_id:find("^%x+$") and #span.trace_id == 32)
      assert.truthy(span.span_id:find("^%x+$") and #span.span_id == 16)
      assert.is_nil(seen[span.trace_id] or seen[span.span_id])
      seen[span.trace_id], seen[span.span_id] = true, true
    end
  end)

  it("takes its length from the clock of deadlines, its start from the wall's", function()
    testing.run(function(c, clock)
      local before = luv.gettimeofday() -- os.time may be some ms behind it
      local _, span = propagate.start_span(c, "x")
      clock:advance(1234.5)
      span:finish()
      assert.equal(1234500000, span.end_ns - span.start_ns)
      assert.is_true(span.start_ns // 1000000000 >= before)
      assert.is_true(span.start_ns // 1000000000 <= luv.gettimeofday())
    end)
  end)

  it("notes attributes until it is finished, 128 at most", function()
    local _, span = propagate.start_span(root, "x", { attributes = { a = 1, b = true } })
    span:set("a", "new")
    for i = 1, 130 do
      span:set("k" .. i, i)
    end
    span:set("a", "last")
    span:finish()
    span:set("a", "late")
    assert.equal("last", span.attributes.a)
    assert.is_true(span.attributes.b)
    assert.equal(126, span.attributes.k126)
    assert.is_nil(span.attributes.k127)
    assert.equal(4, span.dropped)
  end)

  it("ends with a status and its cause; only the first word counts", function()
    for _, case in ipairs {
      { nil, "ok" }, { "boom", "error" }, { ctx.canceled, "canceled" },
      { errors.wrap(ctx.canceled, "x"), "canceled" },
      { errors.wrap(ctx.deadline_exceeded, "x"), "deadline_exceeded" },
    } do
      local _, span = propagate.start_span(root, "x")
      span:finish(case[1])
      span:finish("again")
      assert.equal(case[2], span.status)
      assert.equal(case[1], span.cause)
    end
    assert.equal(5, #spans)
  end)

  it("that is closed ends with the error that leaves, or with its context's end", function()
    testing.run(function(c)
      pcall(function()
        local _, _ <close> = propagate.start_span(c, "raises")
        error("boom", 0)
      end)
      do
        local limited, cancel <close> = ctx.with_timeout(c, 10, "too slow")
        local below, _ <close> = propagate.start_span(limited, "waits")
        ctx.sleep(below, 100)
      end
      do
        local _, span <close> = propagate.start_span(c, "said")
        span:finish("what was said")
      end
    end)
    assert.equal("error boom", spans[1].status .. " " .. spans[1].cause)
    assert.equal("deadline_exceeded", spans[2].status)
    assert.equal("context deadline exceeded: too slow", tostring(spans[2].cause))
    assert.equal("what was said", spans[3].cause)
    assert.equal(3, #spans)
  end)

  it("harms nobody when its exporter raises; that is reported", function()
    local told = reports(function()
      propagate.set_tracer { exporter = { export = function() error("no room") end } }
      headers_within(root)
    end)
    assert.equal("propagate", told[1].kind)
    assert.truthy(told[1].message:find("no room", 1, true))
    local mute = setmetatable({}, { __tostring = function() error("no words") end })
    told = reports(function()
      propagate.set_tracer { exporter = { export = function() error(mute) end } }
      headers_within(root)
    end)
    assert.truthy(told[1].message:find("cannot be printed", 1, true))
  end)

  it("goes to the exporter that there was when it began", function()
    local _, span = propagate.start_span(root, "x")
    propagate.set_tracer(nil)
    span:finish()
    assert.equal(span, spans[1])
  end)

  it("raises at the caller's line what makes no sense", function()
    local start = propagate.start_span
    raises(function() start(nil, "x") end, "a context expected, got nil")
    raises(function() start(root) end, "name: a string expected, got nil")
    raises(function() start(root, "x", 1) end, "a table expected")
    raises(function() start(root, "x", { kind = "other" }) end, "options.kind", '"other"')
    raises(function() start(root, "x", { attributes = { {} } }) end, "options.attributes")
    raises(function() start(root, "x", { attributes = { a = {} } }) end, "options.attributes")
    local _, span = start(root, "x")
    raises(function() span.set("a", 1) end, "call it with a colon")
    raises(function() span:set(1, 1) end, "key: a string expected")
    raises(function() span:set("a", nil) end, "value: a string, number or boolean")
    raises(function() span.finish() end, "call it with a colon")
    raises(function() propagate.set_tracer {} end, "options.exporter")
    raises(function() propagate.set_tracer { exporter = {} } end, "a method 'export'")
    raises(function() propagate.set_tracer { ratio = 2, exporter = previous } end, "options")
  end)
end)

describe("a tracer's ratio", function()
  local recorded

  local function count(ratio, n)
    recorded = 0
    local previous = propagate.set_tracer {
      exporter = { export = function() recorded = recorded + 1 end }, ratio = ratio,
    }
    for _ = 1, n do
      headers_within(root)
    end
    headers_within(from_caller("00"))
    propagate.set_tracer(previous)
    return recorded
  end

  it("is the part of the traces that begin here", function()
    assert.equal(0, count(0, 500))
    assert.equal(500, count(1, 500))
    local quarter = count(0.25, 4000)
    -- 1000 ± 8 standard deviations
    assert.is_true(quarter > 780 and quarter < 1220, tostring(quarter))
  end)

  it("does not touch the traces of callers", function()
    local previous = propagate.set_tracer {
      exporter = { export = function() recorded = recorded + 1 end }, ratio = 0,
    }
    recorded = 0
    headers_within(from_caller("01"))
    propagate.set_tracer(previous)
    assert.equal(1, recorded)
  end)
end)
