-- SPDX-License-Identifier: MIT
--- traceparent and tracestate: what is taken for valid, and what goes on.
local ctx = require "ctx"
local misuse = require "spec.support.misuse"
local propagate = require "ctx.propagate"
local random = require "spec.support.random"

local raises = misuse.raises
local root = ctx.background()

local TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
local PARENT = ("00-%s-%s-01"):format(TRACE, SPAN)

local function extract(parent, state)
  return (propagate.extract(root, { traceparent = parent, tracestate = state }))
end

--- What goes on of these headers.
local function forwarded(parent, state)
  local headers = propagate.inject(extract(parent, state), {})
  return headers.traceparent, headers.tracestate
end

describe("a traceparent", function()
  it("gives its trace, the caller's span and the flags", function()
    local trace = propagate.trace(extract(PARENT))
    assert.equal(TRACE, trace.trace_id)
    assert.equal(SPAN, trace.span_id)
    assert.is_true(trace.sampled)
    assert.is_false(trace.random)
    assert.is_true(trace.remote)
    assert.is_nil(trace.state)
    assert.equal(PARENT, tostring(trace))
  end)

  local zero_trace, zero_span = ("0"):rep(32), ("0"):rep(16)
  local malformed = {
    ["nothing"] = "",
    ["one digit short"] = PARENT:sub(1, -2),
    ["one more at the end"] = PARENT .. "0",
    ["a dash at the end"] = PARENT .. "-",
    ["more than version 00 has"] = PARENT .. "-extra",
    ["a trace of zeros"] = ("00-%s-%s-01"):format(zero_trace, SPAN),
    ["a span of zeros"] = ("00-%s-%s-01"):format(TRACE, zero_span),
    ["upper case in the trace"] = ("00-%s-%s-01"):format(TRACE:upper(), SPAN),
    ["upper case in the span"] = ("00-%s-%s-01"):format(TRACE, SPAN:upper()),
    ["upper case in the flags"] = ("00-%s-%s-0A"):format(TRACE, SPAN),
    ["upper case in the version"] = ("0A-%s-%s-01"):format(TRACE, SPAN),
    ["the version ff"] = ("ff-%s-%s-01"):format(TRACE, SPAN),
    ["no digits in the version"] = (".0-%s-%s-01"):format(TRACE, SPAN),
    ["three digits of version"] = ("000-%s-%s-01"):format(TRACE, SPAN),
    ["one digit of version"] = ("0-%s-%s-01"):format(TRACE, SPAN),
    ["no digits in the trace"] = ("00-g%s-%s-01"):format(TRACE:sub(2), SPAN),
    ["a long trace"] = ("00-%s0-%s-01"):format(TRACE, SPAN),
    ["a short trace"] = ("00-%s-%s-01"):format(TRACE:sub(2), SPAN),
    ["a digit moved from the trace to the span"] =
      ("00-%s-0%s-01"):format(TRACE:sub(2), SPAN),
    ["no digits in the span"] = ("00-%s-%s.-01"):format(TRACE, SPAN:sub(2)),
    ["a long span"] = ("00-%s-%s0-01"):format(TRACE, SPAN),
    ["a short span"] = ("00-%s-%s-01"):format(TRACE, SPAN:sub(2)),
    ["no digits in the flags"] = ("00-%s-%s-.1"):format(TRACE, SPAN),
    ["one digit of flags"] = ("00-%s-%s-1"):format(TRACE, SPAN),
    ["three digits of flags"] = ("00-%s-%s-001"):format(TRACE, SPAN),
    ["other separators"] = PARENT:gsub("%-", "_"),
    ["two on one line"] = PARENT .. "," .. PARENT,
    ["two of a later version on one line"] = "01" .. PARENT:sub(3) .. ",01" .. PARENT:sub(3),
    ["two headers"] = { PARENT, PARENT },
    ["no headers"] = {},
    ["a header that is not a string"] = { 12 },
    ["a number"] = 12,
    ["a line break"] = PARENT .. "\n",
    ["a zero byte"] = "00-" .. TRACE:sub(1, 31) .. "\0-" .. SPAN .. "-01",
    ["a later version that is too short"] = "01" .. PARENT:sub(3, -2),
    ["a later version with a long trace"] = ("01-%s0-%s-01"):format(TRACE, SPAN),
    ["a later version with a long span"] = ("01-%s-%s0-01"):format(TRACE, SPAN),
    ["a later version with more and no dash"] = "01" .. PARENT:sub(3) .. ".more",
  }
  for what, header in pairs(malformed) do
    it("that is malformed, " .. what .. ", leaves the context as it is", function()
      assert.equal(root, extract(header, "a=b"))
    end)
  end

  local valid = {
    ["in a list of its own"] = { { PARENT }, PARENT },
    ["between blanks"] = { " \t" .. PARENT .. " ", PARENT },
    ["not sampled"] = { PARENT:sub(1, -2) .. "0", PARENT:sub(1, -2) .. "0" },
    ["with flags that nobody knows, as it came"] = { PARENT:sub(1, -3) .. "f9",
      PARENT:sub(1, -3) .. "f9" },
    ["of a later version, as 00"] = { "cc" .. PARENT:sub(3), PARENT },
    ["of a later version, without what it adds"] = { "cc" .. PARENT:sub(3) .. "-And MORE", PARENT },
    ["of a later version, with the flags of 00"] = { "cc" .. PARENT:sub(3, -3) .. "ff",
      PARENT:sub(1, -3) .. "03" },
    ["of version fe"] = { "fe" .. PARENT:sub(3), PARENT },
  }
  for what, case in pairs(valid) do
    it("goes on " .. what, function()
      assert.equal(case[2], (forwarded(case[1])))
    end)
  end

  it("has flags that are bits, not numbers", function()
    for flags = 0, 255 do
      local trace = propagate.trace(extract(("00-%s-%s-%02x"):format(TRACE, SPAN, flags)))
      assert.equal(flags % 2 == 1, trace.sampled, flags)
      assert.equal(flags // 2 % 2 == 1, trace.random, flags)
    end
  end)

  it("that is not there is not invented", function()
    assert.is_nil(propagate.trace(root))
    assert.equal(root, (propagate.extract(root, {})))
    assert.same({}, propagate.inject(root, {}))
    assert.equal(root, extract(nil, "a=b"), "a tracestate alone is nothing")
  end)

  it("replaces that of the parent; a malformed one does not", function()
    local c = extract(PARENT, "a=b")
    local other = PARENT:gsub("00f0", "11f0")
    local replaced = propagate.extract(c, { traceparent = other })
    assert.equal(other, propagate.inject(replaced, {}).traceparent)
    assert.equal(c, (propagate.extract(c, { traceparent = "00-" })))
  end)
end)

describe("random traceparents", function()
  it("go on as they are; with one byte changed they do, or count as absent", function()
    local seed = os.time()
    local next_number = random(seed)
    local function digits(n)
      local out = {}
      for i = 1, n do out[i] = ("%x"):format(next_number(16) - 1) end
      return table.concat(out)
    end
    for round = 1, 2000 do
      local header = ("00-%s-1%s-%s"):format("1" .. digits(31), digits(15), digits(2))
      assert.equal(header, (forwarded(header)), "seed " .. seed)
      local at, byte = next_number(#header), string.char(next_number(256) - 1)
      local changed = header:sub(1, at - 1) .. byte .. header:sub(at + 1)
      local same_form = changed:find("^00%-[%da-f]+%-[%da-f]+%-[%da-f][%da-f]$")
        and changed:sub(36, 36) == "-"
      local later = changed:find("^[%da-f][%da-f]%-") and changed:sub(3) == header:sub(3)
        and not changed:find("^ff")
      local out = forwarded(changed)
      local where = ("seed %d, round %d: %q"):format(seed, round, changed)
      if same_form then
        assert.equal(changed, out, where)
      elseif later then
        assert.equal(header:sub(1, 53), out and out:sub(1, 53), where)
      else
        assert.is_nil(out, where)
      end
    end
  end)
end)

describe("a tracestate", function()
  local k256, v256 = ("k"):rep(256), ("v"):rep(256)

  local function members(n)
    local list = {}
    for i = 1, n do list[i] = ("k%d=%d"):format(i, i) end
    return table.concat(list, ",")
  end

  local forwards = {
    ["as it came"] = { "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE" },
    ["from several headers, in order"] = { { "a=1,b=2", "c=3" }, "a=1,b=2,c=3" },
    ["without blanks and what is empty"] = { " a=1 ,\t,, b=2,", "a=1,b=2" },
    ["with blanks in and before values"] = { "a= 1 2", "a= 1 2" },
    ["with all characters of keys"] = { "0az_-*/@=1" },
    ["with the first and last characters of values"] = { "a=!+-<>~" },
    ["with two of one key, for whom they concern"] = { "a=1,a=2" },
    ["with 32 members"] = { members(32) },
    ["with the longest key"] = { k256 .. "=v" },
    ["with the longest value"] = { "k=" .. v256 },
  }
  for what, case in pairs(forwards) do
    it("goes on " .. what, function()
      local parent, state = forwarded(PARENT, case[1])
      assert.equal(PARENT, parent)
      assert.equal(case[2] or case[1], state)
    end)
  end

  local malformed = {
    ["no value"] = "a", ["an empty value"] = "a=", ["an empty key"] = "=1",
    ["upper case in a key"] = "A=1", ["a key that begins with a sign"] = "_a=1",
    ["a blank in a key"] = "a b=1", ["a second equals sign"] = "a=b=c",
    ["a tab in a value"] = "a=1\t2", ["a letter beyond ASCII"] = "a=\xC3\xB6",
    ["a line break"] = "a=1\r\nx: y", ["a zero byte"] = "a=\0", ["33 members"] = members(33),
    ["a long key"] = k256 .. "k=1", ["a long value"] = "k=" .. v256 .. "v",
    ["one bad member among good ones"] = "a=1,b,c=3", ["nothing"] = "", ["only commas"] = " , ,",
    ["33 members, most of them empty"] = "a=1" .. (", "):rep(32),
    ["more than 32 full members take"] = "a=1," .. (" "):rep(40000) .. ",b=2",
    ["a number"] = 5, ["a list with a number"] = { "a=1", 5 }, ["an empty list"] = {},
  }
  for what, state in pairs(malformed) do
    it("that is malformed, " .. what .. ", is left out, and its trace is not", function()
      local parent, out = forwarded(PARENT, state)
      assert.equal(PARENT, parent)
      assert.is_nil(out)
      assert.is_nil(propagate.trace(extract(PARENT, state)).state)
    end)
  end

  it("of more than 512 characters loses the longest members first, then the last", function()
    local long, short = "l=" .. ("x"):rep(128), "s=" .. ("y"):rep(98)
    local function line(...) return table.concat({ ... }, ",") end
    assert.equal(512, #line(short, short, short, short, short) + #"," + #"abcdef=")
    assert.equal(line(short, short, short, short, short), select(2,
      forwarded(PARENT, line(short, long, short, short, short, short))))
    assert.equal(line(short, short, short, short, short), select(2,
      forwarded(PARENT, line(short, short, short, short, short, short))))
    local exact = line(short, short, short, short, short, "abcde=1")
    assert.equal(512, #exact)
    assert.equal(exact, select(2, forwarded(PARENT, exact)))
    assert.equal(line(short, short, short, short, short), select(2,
      forwarded(PARENT, exact .. "2")))
  end)
end)

describe("headers full of blanks", function()
  -- The usual pattern for that took time by the square of the length: for these, hours.
  it("do not keep the loop busy", function()
    local blanks = (" "):rep(1 << 20)
    assert.same({ PARENT }, { forwarded(PARENT, "a=b" .. blanks .. "c") })
    assert.is_nil(forwarded(" a" .. blanks .. "b"))
    local c = propagate.extract(root, { ["grpc-timeout"] = " 1" .. blanks .. "S" })
    assert.is_nil(c:deadline())
  end)
end)

describe("inject", function()
  local c = extract(PARENT, "a=b")

  it("leaves what is there, in whatever case", function()
    assert.same({ TraceParent = "mine" }, propagate.inject(c, { TraceParent = "mine" }),
      "another's tracestate does not go with it")
    assert.same({ traceparent = PARENT, TRACESTATE = "mine" },
      propagate.inject(c, { TRACESTATE = "mine" }))
    assert.same({ "x", traceparent = PARENT, tracestate = "a=b" }, propagate.inject(c, { "x" }))
  end)

  it("writes nothing for a context that is done", function()
    local below, cancel = ctx.with_timeout(c, 1000)
    cancel()
    assert.same({}, propagate.inject(below, {}))
  end)

  it("raises at the caller's line what makes no sense", function()
    raises(function() propagate.inject(nil, {}) end, "'inject'", "a context expected, got nil")
    raises(function() propagate.inject(c) end, "headers: a table expected, got nil")
    raises(function() propagate.inject(c, {}, "x") end, "#3", "a deadline, or false")
    raises(function() propagate.extract({}, {}) end, "'extract'", "a context expected")
    raises(function() propagate.extract(c, "x") end, "headers: a table expected")
    raises(function() propagate.extract(c, {}, {}) end, "a deadline, or false")
    raises(function() propagate.trace() end, "'trace'", "a context expected, got nil")
  end)
end)
