-- SPDX-License-Identifier: MIT
--- The exporter: what it sends, when, and what it does when nobody takes it.
local cjson = require "cjson"
local collector = require "spec.support.collector"
local ctx = require "ctx"
local misuse = require "spec.support.misuse"
local otlp = require "ctx.propagate.otlp"
local propagate = require "ctx.propagate"

local raises = misuse.raises

local OK, receiver, span, with = collector.OK, collector.receiver, collector.span, collector.with
local export, names = collector.export, collector.names

describe("OTLP as JSON", function()
  --- What is sent of one span.
  local function sent(fields)
    local result
    with({}, { OK }, function(root, _, exporter, to)
      exporter:export(span("work", fields))
      assert.is_true(exporter:flush(root))
      result = to.spans(1)[1]
    end)
    return result
  end

  local function attributes(list)
    local values = {}
    for _, each in ipairs(list) do values[each.key] = each.value end
    return values
  end

  it("has the fields, numbers and ids of the protocol", function()
    assert.same({
      traceId = ("a"):rep(32), spanId = ("b"):rep(16), name = "work", kind = 1, flags = 0x103,
      startTimeUnixNano = "1700000000123456789", endTimeUnixNano = "1700000001123456789",
    }, sent())
    assert.same({
      traceId = ("a"):rep(32), spanId = ("b"):rep(16), name = "work", kind = 2, flags = 0x301,
      startTimeUnixNano = "1700000000123456789", endTimeUnixNano = "1700000001123456789",
      parentSpanId = ("c"):rep(16), traceState = "a=b", droppedAttributesCount = 4,
    }, sent { parent_span_id = ("c"):rep(16), parent_is_remote = true, state = "a=b", dropped = 4,
      kind = "server", flags = 1 })
    for number, kind in ipairs { "internal", "server", "client", "producer", "consumer" } do
      assert.equal(number, sent({ kind = kind }).kind)
    end
  end)

  it("has attributes with their types", function()
    local list = attributes(sent({ attributes = {
      text = "größer", whole = 9007199254740993, half = 0.5, yes = true, no = false,
      nan = 0 / 0, huge = math.huge, low = -math.huge,
    } }).attributes)
    assert.same({
      text = { stringValue = "größer" }, whole = { intValue = "9007199254740993" },
      half = { doubleValue = 0.5 }, yes = { boolValue = true }, no = { boolValue = false },
      nan = { doubleValue = "NaN" }, huge = { doubleValue = "Infinity" },
      low = { doubleValue = "-Infinity" },
    }, list)
  end)

  -- Cause: cjson writes 14 digits. Cure: each number is written with as many as it takes.
  it("reads doubles back as they were", function()
    local numbers = { at = 1764490466.123456, big = 2.0 ^ 53 + 2, third = 1 / 3, tenth = 0.1,
      small = 5e-324, large = 1.7976931348623157e308, zero = -0.0, whole = 3.0 }
    local read = 0
    with({}, { OK }, function(root, _, exporter, to)
      exporter:export(span("work", { attributes = numbers }))
      assert.is_true(exporter:flush(root))
      for key, digits in to.calls[1].body:gmatch('"key":"(%l+)","value":{"doubleValue":([^}]+)}') do
        read = read + 1
        assert.equal(numbers[key], tonumber(digits), key)
      end
    end)
    assert.equal(8, read)
  end)

  it("cuts no character in two", function()
    local one = sent { name = ("x"):rep(4095) .. "größer" }
    assert.equal(("x"):rep(4095) .. "g", one.name)
    assert.equal(("x"):rep(4093) .. "g", sent({ name = ("x"):rep(4093) .. "g\u{20AC}" }).name)
    assert.equal(("x"):rep(4095), sent({ name = ("x"):rep(4095) .. "\u{1F600}" }).name)
  end)

  it("is UTF-8 whatever the text is, and texts have a limit", function()
    local one = sent { name = "a\xFFb\xC3", attributes = { ["\xFE"] = ("x"):rep(5000) } }
    assert.equal("a\u{FFFD}b\u{FFFD}", one.name)
    assert.equal(4096, #attributes(one.attributes)["\u{FFFD}"].stringValue)
  end)

  it("tells by status and error.type how a span ended", function()
    local function ended(fields)
      local one = sent(fields)
      local kind = one.attributes and attributes(one.attributes)["error.type"].stringValue
      return one.status and one.status.code, one.status and one.status.message, kind
    end
    assert.same({ 2, "boom" }, { ended { status = "error", cause = "boom" } })
    assert.same({ 2, "context deadline exceeded", "deadline_exceeded" },
      { ended { status = "deadline_exceeded", cause = ctx.deadline_exceeded, kind = "server" } })
    assert.same({ 2, "context canceled", "canceled" },
      { ended { status = "canceled", cause = ctx.canceled } })
    assert.same({ nil, nil, "canceled" },
      { ended { status = "canceled", cause = ctx.canceled, kind = "server" } })
    assert.same({ nil, nil, "404" },
      { ended { attributes = { ["error.type"] = "404" } } })
    assert.same({ 2, "x", "own" }, { ended { status = "deadline_exceeded", cause = "x",
      attributes = { ["error.type"] = "own" } } })
    assert.equal(1, #sent({ status = "canceled", cause = "x",
      attributes = { ["error.type"] = "own" } }).attributes)
    local unprintable = setmetatable({}, { __tostring = function() error("no") end })
    assert.truthy(sent({ status = "error", cause = unprintable }).status.message:find("cannot be"))
  end)

  it("says whose spans they are", function()
    with({ service = "shop", resource = { ["host.name"] = "h", replica = 3 },
        headers = { Authorization = "Bearer x" }, endpoint = "https://otel/v1/traces" }, { OK },
      function(root, _, exporter, to)
        export(exporter, 2)
        exporter:flush(root)
        local call = to.calls[1]
        assert.equal("https://otel/v1/traces", call.url)
        assert.same({ authorization = "Bearer x", ["content-type"] = "application/json" },
          call.headers)
        local body = cjson.decode(call.body)
        assert.equal(1, #body.resourceSpans)
        assert.same({
          ["service.name"] = { stringValue = "shop" }, ["host.name"] = { stringValue = "h" },
          replica = { intValue = "3" }, ["telemetry.sdk.name"] = { stringValue = "ctx" },
          ["telemetry.sdk.language"] = { stringValue = "lua" },
          ["telemetry.sdk.version"] = { stringValue = ctx._VERSION:match("%d+%.%d+%.%d+") },
        }, attributes(body.resourceSpans[1].resource.attributes))
        assert.same({ name = "ctx" }, body.resourceSpans[1].scopeSpans[1].scope)
        assert.equal("1 2", names(to.spans(1)))
      end)
  end)
end)

describe("the exporter", function()
  it("sends a batch when there is one, and the rest after its interval", function()
    with({ batch = 3, interval = 5000 }, { OK }, function(root, clock, exporter, to)
      export(exporter, 2)
      clock:advance(4999)
      assert.equal(0, #to.calls)
      exporter:export(span("third"))
      clock:settle()
      clock:settle()
      assert.equal("1 2 third", names(to.spans(1)))
      exporter:export(span("fourth"))
      clock:advance(4999)
      assert.equal(1, #to.calls)
      clock:advance(1)
      clock:settle()
      clock:settle()
      assert.equal("fourth", names(to.spans(2)))
      assert.same({ queued = 0, sent = 4, dropped = 0, failed = 0, rejected = 0 },
        exporter:stats())
      assert.is_true(exporter:flush(root))
    end)
  end)

  it("leaves what comes meanwhile, and is no batch, for later", function()
    with({ batch = 3, interval = 5000 }, { function(c) ctx.sleep(c, 100) return OK end },
      function(root, clock, exporter, to)
        export(exporter, 3)
        clock:advance(50)
        export(exporter, 2)
        clock:advance(5000)
        assert.equal(1, #to.calls)
        clock:advance(200)
        assert.equal("1 2", names(to.spans(2)))
        assert.is_true(exporter:flush(root))
      end)
  end)

  it("sends one batch at a time, and each span once, in order", function()
    local under_way, most = 0, 0
    local function slow(c)
      under_way = under_way + 1
      most = math.max(most, under_way)
      ctx.sleep(c, 100)
      under_way = under_way - 1
      return OK
    end
    with({ batch = 10, max_queue = 100 }, { slow }, function(root, _, exporter, to)
      export(exporter, 35)
      assert.is_true(exporter:flush(root))
      assert.equal(1, most)
      assert.equal(4, #to.calls)
      local all = {}
      for n = 1, 4 do
        all[n] = names(to.spans(n))
      end
      local wanted = {}
      for i = 1, 35 do wanted[i] = tostring(i) end
      assert.equal(table.concat(wanted, " "), table.concat(all, " "))
    end)
  end)

  it("goes on without a pause while there are batches", function()
    with({ batch = 3 }, { OK }, function(_, clock, exporter, to)
      export(exporter, 10)
      for _ = 1, 20 do clock:settle() end
      assert.equal(3, #to.calls)
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("sends no more than 4 MiB at a time, and a span more", function()
    with({}, { OK }, function(root, _, exporter, to)
      local attributes = {}
      for i = 1, 50 do attributes[tostring(i)] = ("x"):rep(4096) end
      for _ = 1, 25 do
        exporter:export(span("large", { attributes = attributes }))
      end
      assert.is_true(exporter:flush(root))
      assert.equal(2, #to.calls)
      assert.is_true(#to.calls[1].body > 4 * 2 ^ 20 and #to.calls[1].body < 4.3 * 2 ^ 20)
      assert.equal(25, exporter:stats().sent)
    end)
  end)

  it("never waits, drops what has no room, and counts it", function()
    with({ batch = 4, max_queue = 10 }, { function(c) ctx.sleep(c, 1000) return OK end },
      function(root, clock, exporter, to)
        export(exporter, 25)
        assert.equal(0, #to.calls, "nothing is sent from within export")
        assert.same({ queued = 10, sent = 0, dropped = 15, failed = 0, rejected = 0 },
          exporter:stats())
        clock:settle()
        export(exporter, 25)
        assert.equal(10, exporter:stats().queued, "beside the batch that is under way")
        assert.is_true(exporter:flush(root))
        assert.equal(14, exporter:stats().sent)
        assert.equal(36, exporter:stats().dropped)
      end)
  end)

  it("lets others have a turn while it encodes", function()
    with({ batch = 200 }, { OK }, function(root, clock, exporter, to)
      local turns, stop = 0, false
      local task = ctx.go(function()
        while not stop and ctx.sleep(root, 0) do
          turns = turns + 1
        end
      end)
      export(exporter, 200)
      exporter:flush(root)
      assert.equal(1, #to.calls)
      stop = true
      task:wait()
      assert.is_true(turns >= 6, tostring(turns))
      assert.equal(0, clock:elapsed())
    end)
  end)

  it("keeps no program alive between batches", function()
    local to = receiver(OK)
    local exporter = otlp.new { post = to.post }
    ctx.run(function()
      export(exporter, 1)
    end)
    assert.equal(0, #to.calls, "the run has not waited for the interval")
    ctx.run(function(root)
      assert.is_true(exporter:shutdown(root))
    end)
    assert.equal(1, #to.calls)
  end)

  it("makes no spans of its own sending", function()
    local previous
    with({}, { function(c)
      local below, inner <close> = propagate.start_span(c, "POST", { kind = "client" })
      assert.is_false(inner.recording)
      return below and OK
    end }, function(root, _, exporter)
      previous = propagate.set_tracer { exporter = exporter }
      local _, one = propagate.start_span(root, "work")
      one:finish()
      exporter:flush(root)
      assert.same({ queued = 0, sent = 1, dropped = 0, failed = 0, rejected = 0 },
        exporter:stats())
      propagate.set_tracer(previous)
    end)
  end)

  it("counts what the receiver refuses of a batch", function()
    for body, rejected in pairs {
      ['{"partialSuccess":{"rejectedSpans":"2","errorMessage":"x"}}'] = 2,
      ['{"partialSuccess":{"rejectedSpans":1}}'] = 1, ['{"partialSuccess":{}}'] = 0,
      ['{"partialSuccess":{"rejectedSpans":"99"}}'] = 5, ["no JSON"] = 0, ["[]"] = 0, ["1"] = 0,
      ['{"partialSuccess":{"rejectedSpans":"x"}}'] = 0, ['{"partialSuccess":null}'] = 0,
      ['{"partialSuccess":{"rejectedSpans":"-5"}}'] = 0,
      ['{"partialSuccess":{"rejectedSpans":-5}}'] = 0,
      ['{"partialSuccess":{"rejectedSpans":"0x2"}}'] = 0,
    } do
      with({}, { { status = 200, body = body } }, function(root, _, exporter)
        export(exporter, 5)
        exporter:flush(root)
        assert.equal(rejected, exporter:stats().rejected, body)
        assert.equal(5 - rejected, exporter:stats().sent, body)
      end)
    end
  end)

  it("raises at the caller's line what makes no sense", function()
    raises(function() otlp.new { endpoint = "ftp://x" } end, "options.endpoint: a URL")
    raises(function() otlp.new { batch = 0 } end, "options.batch")
    raises(function() otlp.new { interval = 0 } end, "options.interval")
    raises(function() otlp.new { endpoint = "http://h/\r\nX: y" } end, "options.endpoint")
    raises(function() otlp.new { headers = { a = 1 } } end, "options.headers")
    raises(function() otlp.new { headers = { a = "b\r\nc: d" } } end, "options.headers")
    raises(function() otlp.new { headers = { ["a b"] = "c" } } end, "options.headers")
    raises(function() otlp.new { headers = { A = "b", a = "c" } } end, "options.headers")
    raises(function() otlp.new { headers = { ["Content-Length"] = "5" } } end, "options.headers")
    raises(function() otlp.new { resource = { a = {} } } end, "options.resource")
    raises(function() otlp.new { queue = 1 } end, "the name of an option")
    raises(function() otlp.new(5) end, "a table expected")
    local exporter = otlp.new()
    raises(function() exporter.export(span()) end, "call it with a colon")
    raises(function() exporter:flush() end, "'flush'", "a context expected")
    raises(function() exporter:shutdown({}) end, "'shutdown'", "a context expected")
  end)
end)
