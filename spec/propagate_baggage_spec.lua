-- SPDX-License-Identifier: MIT
--- The header `baggage`.
local ctx = require "ctx"
local misuse = require "spec.support.misuse"
local propagate = require "ctx.propagate"
local random = require "spec.support.random"

local raises = misuse.raises
local root = ctx.background()

local function extract(header)
  return (propagate.extract(root, { baggage = header }))
end

local function forwarded(header)
  return propagate.inject(extract(header), {}).baggage
end

describe("baggage", function()
  it("is read by name, decoded, with its properties as they came", function()
    local c = extract("userId = alice ,serverNode=DF%2028; p = 1 ;q, eq=a=b==,empty=")
    assert.same({ userId = "alice", serverNode = "DF 28", eq = "a=b==", empty = "" },
      propagate.baggage(c))
    assert.equal("alice", (propagate.baggage(c, "userId")))
    assert.same({ "DF 28", "p=1;q" }, { propagate.baggage(c, "serverNode") })
    assert.is_nil((propagate.baggage(c, "userid")), "case matters")
    assert.same({}, propagate.baggage(root))
    assert.is_nil((propagate.baggage(root, "x")))
  end)

  it("goes on as it came, in order, without blanks", function()
    for header, wanted in pairs {
      ["a=1"] = "a=1", [" a = 1 , b=2 "] = "a=1,b=2", ["a=%20%zz;p;q=1"] = "a=%20%zz;p;q=1",
      ["a=1,a=2"] = "a=1,a=2", ["a=1;;p"] = "a=1;p", ["a=1;"] = "a=1", [",a=1,,"] = "a=1",
      ["!#$%&'*+-.^_`|~=1"] = "!#$%&'*+-.^_`|~=1", ["a=!#+-:<[]~"] = "a=!#+-:<[]~",
    } do
      assert.equal(wanted, forwarded(header))
    end
    assert.equal("a=1,b=2,c=3", forwarded { "a=1, b=2", "c=3" })
  end)

  it("of one name twice has the last value", function()
    assert.equal("2", (propagate.baggage(extract("a=1,a=2"), "a")))
    assert.same({ a = "2" }, propagate.baggage(extract("a=1,a=2")))
  end)

  it("loses members that are malformed, and no others", function()
    for _, bad in ipairs {
      "b", "=b", "b c=1", "b=1 2", 'b="1"', "b=\\", "b=\xC3\xB6", "b\0=1", "b=1\n", "b=1;p p",
      "b=1;p=\xFF", "b=1;=2", "b@=1", "(b)=1", "b=\r\nx: y",
    } do
      assert.equal("a=1,c=3", forwarded("a=1," .. bad .. ",c=3"), bad)
      assert.equal(root, extract(bad), bad)
    end
    for _, nothing in ipairs { "", " ", ",,", 5, true, {}, { 5 }, { "a=1", 5 } } do
      assert.equal(root, extract(nothing), tostring(nothing))
    end
  end)

  it("has 64 members and 8192 bytes at most, and only whole members", function()
    local list = {}
    for i = 1, 70 do list[i] = ("k%d=%d"):format(i, i) end
    assert.equal(table.concat(list, ",", 1, 64), forwarded(table.concat(list, ",")))
    local half = "a=" .. ("x"):rep(4093)
    assert.equal(8192, #(half .. ",b=" .. ("x"):rep(4094)))
    assert.equal(8192, #forwarded(half .. ",b=" .. ("x"):rep(4094)))
    assert.equal(half, forwarded(half .. ",b=" .. ("x"):rep(4095) .. ",c=1"))
    assert.equal(half, forwarded { half, "b=" .. ("x"):rep(4095), "c=1" })
    assert.equal(root, extract("a=" .. ("x"):rep(8191)))
  end)

  -- Cause: all of the header was read, and 64 members were kept of it: 60 kB cost a server 13 ms
  -- before any handler. Cure: no more is read than may be kept, the malformed included.
  it("costs what is kept of it, not what was sent", function()
    local function cost(header)
      collectgarbage()
      collectgarbage("stop")
      local before = collectgarbage("count")
      extract(header)
      local used = collectgarbage("count") - before
      collectgarbage("restart")
      return used
    end
    for _, piece in ipairs { "a=b,", "a=b;p;q=1,", "a=%FF,", "x,", " ,", "a b=c," } do
      local kept = cost(piece:rep(64))
      assert.is_true(cost(piece:rep(60000 // #piece)) < kept + 40, piece)
      local list = {}
      for i = 1, 20000 do list[i] = piece:sub(1, -2) end
      assert.is_true(cost(list) < kept + 120, piece)
    end
  end)

  -- Cause: the decoded bytes were handed out as they were. Cure: what is not UTF-8 is U+FFFD, as
  -- W3C Baggage (3.3.1.3) asks.
  it("is UTF-8 whatever was sent", function()
    for octets, wanted in pairs {
      ["%FF%FE"] = "\u{FFFD}\u{FFFD}", ["ok%C3"] = "ok\u{FFFD}",
      ["%ED%A0%80"] = "\u{FFFD}\u{FFFD}\u{FFFD}",
      ["%C3%A4"] = "ä", ["%E2%82%AC"] = "€", ["%C0%80x"] = "\u{FFFD}\u{FFFD}x",
    } do
      assert.equal(wanted, (propagate.baggage(extract("a=" .. octets), "a")), octets)
      assert.equal("a=" .. octets, forwarded("a=" .. octets), "it goes on as it came")
    end
  end)

  it("is not overwritten", function()
    assert.same({ BAGGAGE = "x=1" }, propagate.inject(extract("a=1"), { BAGGAGE = "x=1" }))
  end)
end)

describe("with_baggage", function()
  it("makes another context, and leaves the first", function()
    local a = extract("a=1;p,b=2,a=3")
    local b = propagate.with_baggage(a, "a", "4")
    assert.equal("b=2,a=4", propagate.inject(b, {}).baggage)
    assert.equal("a=1;p,b=2,a=3", propagate.inject(a, {}).baggage)
    assert.equal("new=1", propagate.inject(propagate.with_baggage(root, "new", "1"), {}).baggage)
  end)

  it("takes out what is nil", function()
    local c = propagate.with_baggage(extract("a=1,b=2"), "a", nil)
    assert.equal("b=2", propagate.inject(c, {}).baggage)
    c = propagate.with_baggage(c, "b", nil)
    assert.same({}, propagate.inject(c, {}))
    assert.same({}, propagate.baggage(c))
    assert.same({}, propagate.inject(propagate.with_baggage(root, "b", nil), {}))
  end)

  -- Cause: the oldest members were kept, and the new one was left out silently. Cure: a value that
  -- a program sets comes first, whatever its caller has sent.
  it("makes room for the new value: the oldest go", function()
    local c = root
    for i = 1, 64 do c = propagate.with_baggage(c, "k" .. i, tostring(i)) end
    c = propagate.with_baggage(c, "tenant", "acme")
    assert.equal("acme", (propagate.baggage(c, "tenant")))
    assert.is_nil((propagate.baggage(c, "k1")))
    assert.equal("2", (propagate.baggage(c, "k2")))
    assert.matches("^k2=2,k3=3,.*,k64=64,tenant=acme$", propagate.inject(c, {}).baggage)
    c = extract("old=1,b=" .. ("x"):rep(8000) .. ",c=3")
    c = propagate.with_baggage(c, "tenant", ("t"):rep(180))
    assert.equal("c=3,tenant=" .. ("t"):rep(180), propagate.inject(c, {}).baggage)
    c = propagate.with_baggage(c, "k", ("x"):rep(8190))
    assert.equal("k=" .. ("x"):rep(8190), propagate.inject(c, {}).baggage)
  end)

  it("refuses a value that fits into no header", function()
    raises(function() propagate.with_baggage(root, "k", ("x"):rep(8191)) end, "#3", "8192 bytes")
    raises(function() propagate.with_baggage(root, "k", (" "):rep(2731)) end, "#3", "8192 bytes")
    raises(function() propagate.with_baggage(root, "k", ("\xFF"):rep(911)) end, "#3", "8192 bytes")
    propagate.with_baggage(root, "k", (" "):rep(2730))
  end)

  it("survives without_cancel, as values do", function()
    local c = ctx.without_cancel(propagate.with_baggage(root, "a", "1"))
    assert.equal("1", (propagate.baggage(c, "a")))
  end)

  it("brings any text to the other side, and no byte of it into the header", function()
    local seed = os.time()
    local next_number = random(seed)
    for _ = 1, 500 do
      local bytes = {}
      for i = 1, next_number(40) - 1 do bytes[i] = utf8.char(next_number(0xD800) - 1) end
      local value = table.concat(bytes)
      local header = propagate.inject(propagate.with_baggage(root, "k", value), {}).baggage
      local where = ("seed %d: %q"):format(seed, value)
      assert.is_nil(header:find('[^\x21-\x7E]') or header:find('[",;\\]'), where)
      assert.equal(value, (propagate.baggage(extract(header .. ",x=1"), "k")), where)
    end
  end)

  -- The usual pattern for that took time by the square of the length: for this header, hours.
  it("does not keep the loop busy with blanks", function()
    local blanks = (" "):rep(1 << 20)
    assert.same({}, propagate.baggage(extract("a=b" .. blanks .. "c")))
    assert.same({}, propagate.baggage(extract("a=b;" .. blanks .. "c d" .. blanks)))
  end)

  it("raises at the caller's line what makes no sense", function()
    raises(function() propagate.with_baggage() end, "a context expected, got nil")
    raises(function() propagate.with_baggage(root, "a b", "") end, "name: a token", '"a b"')
    raises(function() propagate.with_baggage(root, "", "") end, "name: a token")
    raises(function() propagate.with_baggage(root, nil, "") end, "name: a token")
    raises(function() propagate.with_baggage(root, "a", 1) end, "#3", "a string expected, got 1")
    raises(function() propagate.baggage(nil) end, "a context expected")
    raises(function() propagate.baggage(root, 1) end, "name: a string expected")
  end)
end)
