-- SPDX-License-Identifier: MIT
local ctx = require "ctx"
local errors = require "ctx.errors"
local misuse = require "spec.support.misuse"

--- A class of errors that is not ours, as a program might have.
local function class(name)
  return { __name = name, __tostring = function(err) return name .. " " .. err.code end }
end

describe("errors.new", function()
  it("prints as its message", function()
    assert.equal("disk full", tostring(errors.new("disk full")))
  end)

  it("makes a new error each time, however equal the text", function()
    local one, other = errors.new("disk full"), errors.new("disk full")
    assert.is_false(errors.is(one, other))
    assert.is_true(errors.is(one, one))
  end)

  it("names its class", function()
    assert.equal("ctx.errors.Error", getmetatable(errors.new("x")).__name)
  end)

  it("keeps its identity through error and pcall", function()
    local err = errors.new("disk full")
    local _, caught = pcall(error, err)
    assert.is_true(rawequal(err, caught))
  end)

  it("keeps its identity through a coroutine that dies of it", function()
    local err = errors.new("disk full")
    local thread = coroutine.create(function() error(err) end)
    local _, caught = coroutine.resume(thread)
    assert.is_true(rawequal(err, caught))
  end)
end)

describe("concatenation", function()
  local err = errors.new("disk full")

  it("gives a string, on either side", function()
    assert.equal("save: disk full", "save: " .. err)
    assert.equal("disk full, 3 times", err .. ", " .. 3 .. " times")
    assert.equal("disk fulldisk full", err .. err)
  end)

  it("accepts whatever has a text", function()
    local other = setmetatable({ code = 7 }, class("other"))
    assert.equal("disk fullother 7", err .. other)
    assert.equal("other 7disk full", other .. err)
  end)

  it("refuses nil as plain Lua does, at the line of the concatenation", function()
    misuse.raises(function() return (err .. nil) end, "nil value")
    misuse.raises(function() return ({} .. err) end, "table value")
  end)
end)

describe("errors.wrap", function()
  it("prints the message, then the error", function()
    local err = errors.wrap(errors.new("disk full"), "save order")
    assert.equal("save order: disk full", tostring(err))
    assert.equal("post: save order: disk full", tostring(errors.wrap(err, "post")))
  end)

  it("of nil is nil", function()
    assert.is_nil(errors.wrap(nil, "save order"))
  end)

  it("takes errors that are no objects", function()
    local err = errors.wrap("x.lua:3: bad luck", "save order")
    assert.equal("save order: x.lua:3: bad luck", tostring(err))
    assert.equal("x.lua:3: bad luck", errors.unwrap(err))
    assert.is_true(errors.is(err, "x.lua:3: bad luck"))
    assert.equal("load: false", tostring(errors.wrap(false, "load")))
    assert.is_true(errors.is(errors.wrap(false, "load"), false))
  end)

  it("takes errors of another class", function()
    local err = setmetatable({ code = 404 }, class("http error"))
    assert.equal("get user: http error 404", tostring(errors.wrap(err, "get user")))
  end)
end)

describe("errors.join", function()
  local a, b = errors.new("a"), errors.new("b")

  it("prints each on its own line, in order", function()
    assert.equal("a\nb\nplain", tostring(errors.join(a, b, "plain")))
    assert.equal("a", tostring(errors.join(a)))
  end)

  it("leaves nil out, and is nil when nothing is left", function()
    assert.equal("a\nb", tostring(errors.join(nil, a, nil, b, nil)))
    assert.is_nil(errors.join())
    assert.is_nil(errors.join(nil, nil))
  end)

  it("prints what it holds as that prints", function()
    local inner = errors.join(errors.wrap(a, "first"), errors.wrap(b, "second"))
    assert.equal("both: first: a\nsecond: b", tostring(errors.wrap(inner, "both")))
  end)

  it("is a new error, even of one", function()
    assert.is_false(rawequal(a, errors.join(a)))
    assert.is_true(errors.is(errors.join(a), a))
  end)
end)

describe("errors.is", function()
  local base, other = errors.new("base"), errors.new("base")

  it("finds an error through wraps and joins", function()
    local deep = errors.wrap(errors.join(other, errors.wrap(base, "inner")), "outer")
    assert.is_true(errors.is(deep, base))
    assert.is_true(errors.is(deep, other))
    assert.is_false(errors.is(deep, errors.new("base")))
    assert.is_false(errors.is(base, deep))
  end)

  it("finds the two sentinels through wraps", function()
    local err = errors.wrap(ctx.deadline_exceeded, "database query timed out")
    assert.is_true(errors.is(err, ctx.deadline_exceeded))
    assert.is_false(errors.is(err, ctx.canceled))
  end)

  it("of no error is false", function()
    assert.is_false(errors.is(nil, base))
  end)

  it("asks the error's class", function()
    local http = class("http error")
    http.is = function(err, target) return target == "not found" and err.code == 404 end
    local err = errors.wrap(setmetatable({ code = 404 }, http), "get user")
    assert.is_true(errors.is(err, "not found"))
    assert.is_false(errors.is(err, "gone"))
  end)

  it("asks the target's class", function()
    local range = { is = function(err, target)
      return type(err) == "table" and err.code ~= nil and err.code // 100 == target.hundreds
    end }
    local server_error = setmetatable({ hundreds = 5 }, range)
    local err = setmetatable({ code = 503 }, class("http error"))
    assert.is_true(errors.is(errors.wrap(err, "get user"), server_error))
    err = setmetatable({ code = 404 }, class("http error"))
    assert.is_false(errors.is(errors.wrap(err, "get user"), server_error))
  end)

  it("asks a class once when both are of it, and always answers a boolean", function()
    local asked = 0
    local one = { is = function() asked = asked + 1 return asked == 2 and "yes" or nil end }
    local err, target = setmetatable({}, one), setmetatable({}, one)
    assert.is_false(errors.is(err, target))
    assert.equal(1, asked)
    assert.is_true(errors.is(err, target))
  end)
end)

describe("errors.as", function()
  local http = class("http error")
  local first = setmetatable({ code = 404 }, http)
  local second = setmetatable({ code = 503 }, http)

  it("returns the first error of a class, depth first", function()
    local err = errors.join(errors.wrap(first, "one"), second)
    assert.is_true(rawequal(first, errors.as(err, http)))
    assert.is_true(rawequal(second, errors.as(errors.join(second, first), http)))
  end)

  it("returns the error itself when it is of the class", function()
    assert.is_true(rawequal(first, errors.as(first, http)))
  end)

  it("is nil for another class, a plain string, and nil", function()
    assert.is_nil(errors.as(errors.wrap(first, "one"), class("http error")))
    assert.is_nil(errors.as("a string", http))
    assert.is_nil(errors.as(nil, http))
  end)
end)

describe("errors.unwrap", function()
  it("gives back what was wrapped", function()
    local base = errors.new("base")
    assert.is_true(rawequal(base, errors.unwrap(errors.wrap(base, "outer"))))
  end)

  it("gives each error of a join", function()
    local a, b = errors.new("a"), errors.new("b")
    assert.same({ n = 2, a, b }, table.pack(errors.unwrap(errors.join(a, b))))
  end)

  it("is nil where nothing is wrapped", function()
    assert.is_nil(errors.unwrap(errors.new("base")))
    assert.is_nil(errors.unwrap("a string"))
    assert.is_nil(errors.unwrap({}))
    assert.is_nil(errors.unwrap(nil))
  end)

  it("asks errors of another class, so that chains may pass through them", function()
    local base = errors.new("base")
    local query = class("query error")
    query.unwrap = function(err) return nil, err.inner end
    local err = errors.wrap(setmetatable({ code = 1, inner = base }, query), "outer")
    assert.is_true(errors.is(err, base))
    assert.is_true(errors.is(err, errors.unwrap(err)))
  end)
end)
