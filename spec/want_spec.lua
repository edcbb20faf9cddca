-- SPDX-License-Identifier: MIT
-- The checks of arguments: which values they take, what they hand back, what they say, and where.
local ctx = require "ctx"
local raises = require("spec.support.misuse").raises
local want = require "ctx.want"

--- A public function with one argument that this rule checks.
local function checked(rule, argument)
  return function(value)
    value = rule(value, "open", 1, argument)
    return value
  end
end

describe("a rule", function()
  it("hands back the value to use", function()
    assert.equal("integer", math.type(checked(want.descriptor)(3.0)))
    assert.equal("integer", math.type(checked(want.count)(2.0)))
    assert.equal("integer", math.type(checked(want.port)(8080.0)))
    assert.equal("integer", math.type(checked(want.whole())(-2.0)))
    assert.equal(false, checked(want.flag)(false))
    assert.equal(math.huge, checked(want.ms)(math.huge))
  end)

  it("raises at its caller's line, and says what it wants and what came", function()
    raises(function() checked(want.count)(0) end,
      "bad argument #1 to 'open' (n: a whole number of 1 or more expected, got 0)")
    raises(function() checked(want.port)(65536) end,
      "(port: a port, a whole number from 0 to 65535 expected, got 65536)")
    raises(function() checked(want.text, "path")("a\0b\nc") end,
      [[(path: a string without zero bytes expected, got "a\0b\nc")]])
    raises(function() checked(want.ms)(0 / 0) end, "(ms: a time in ms expected, got nan)")
    raises(function() checked(want.ms)(ctx.background()) end, "got ctx.Context)")
  end)

  it("takes no number that is a string, and no other kind", function()
    for _, rule in ipairs { want.count, want.port, want.descriptor, want.ms, want.duration,
      want.positive_ms, want.flag, want.fn, want.table } do
      for _, value in ipairs { "1", "", ctx.canceled, io.stdout, 0 / 0 } do
        if not (rule == want.table and type(value) == "table") then
          raises(function() checked(rule)(value) end, "bad argument #1 to 'open'")
        end
      end
      raises(function() checked(rule)(nil) end, "got nil")
    end
  end)

  it("knows the limits", function()
    for _, bad in ipairs { { want.count, 0 }, { want.count, 1.5 }, { want.count, math.huge },
      { want.port, -1 }, { want.descriptor, 2 ^ 31 }, { want.duration, -1 },
      { want.positive_ms, 0 }, { want.ms, 1e300 }, { want.ms, 9e12 } } do
      raises(function() checked(bad[1])(bad[2]) end, "bad argument #1 to 'open'")
    end
    assert.equal(-1, checked(want.ms)(-1))
    assert.equal(0, checked(want.duration)(0))
  end)
end)

describe("a function", function()
  it("may be anything that can be called, the library's own cancel included", function()
    local _, cancel = ctx.with_cancel(ctx.background())
    local object = setmetatable({}, { __call = function() end })
    local guarded = setmetatable({}, { __call = function() end, __metatable = false })
    for _, fn in ipairs { print, cancel, object, guarded } do
      assert.equal(fn, checked(want.fn)(fn))
    end
    cancel()
  end)

  it("is nothing that cannot", function()
    local stranger = setmetatable({}, { __call = "f" })
    raises(function() checked(want.fn)(stranger) end, "a function")
  end)
end)

describe("one_of, either and list", function()
  it("take what they name", function()
    local mode = want.one_of("read", "write", "append")
    assert.equal("write", checked(mode)("write"))
    raises(function() checked(mode, "mode")("wirte") end,
      [[(mode: "read", "write" or "append" expected, got "wirte")]])
    local either = want.either("a count or a function", want.count, want.fn)
    assert.equal("integer", math.type(checked(either)(2.0)))
    assert.equal(print, checked(either)(print))
    raises(function() checked(either)("x") end, "a count or a function expected")
  end)

  it("a list is a new one, and has neither holes nor other keys", function()
    local ports = checked(want.list(want.port, "a list of ports"), "ports")
    local given = { 1.0, 2 }
    local taken = ports(given)
    assert.same({ 1, 2 }, taken)
    assert.equal("integer", math.type(taken[1]))
    assert.not_equal(given, taken)
    assert.same({}, ports {})
    raises(function() ports { 1, "x" } end, [[(ports[2]: a port]], [[got "x")]])
    raises(function() ports { [1] = 1, [3] = 3 } end, "ports[2]:")
    raises(function() ports { a = 1 } end,
      [[(ports: a list of ports expected, got table with the key "a")]])
  end)
end)

describe("options", function()
  local KNOWN = {
    idle_timeout = want.positive_ms, read_timeout = want.positive_ms, handler = want.fn,
    fd = want.descriptor, on_error = want.fn,
    retry = want.options_of { attempts = want.count, timeouts = want.options_of { all = want.ms } },
  }
  local function open(given)
    local options = want.options(given, "open", 2, KNOWN)
    return options
  end
  local function indirectly(given)
    local function check()
      local options = want.options(given, "open", 2, KNOWN, 1)
      return options
    end
    local options = check()
    return options
  end

  it("are a new table, with the values to use", function()
    local given = { fd = 3.0, retry = { attempts = 2.0 } }
    local options = open(given)
    assert.equal("integer", math.type(options.fd))
    assert.equal("integer", math.type(options.retry.attempts))
    given.fd, given.retry.attempts = "x", "x"
    assert.same({ fd = 3, retry = { attempts = 2 } }, options)
    assert.same({}, open(nil))
  end)

  it("are told by their path", function()
    raises(function() open(5) end, "#2 to 'open' (options: a table expected, got 5)")
    raises(function() open { fd = -1 } end, "(options.fd: a descriptor")
    raises(function() open { retry = { timeouts = { all = "x" } } } end,
      [[(options.retry.timeouts.all: a time in ms expected, got "x")]])
    raises(function() indirectly { fd = -1 } end, "(options.fd: a descriptor")
  end)

  it("name the nearest for one that is not known", function()
    for given, nearest in pairs {
      hander = [[got "hander"; the nearest is "handler")]],
      timeout = [[the nearest are "idle_timeout", "read_timeout")]],
      idleTimeout = [[the nearest is "idle_timeout")]],
      onerror = [[the nearest is "on_error")]],
      frobnicate = [[known are "fd", "handler", "idle_timeout", "on_error", "read_timeout", "re]],
    } do
      raises(function() open { [given] = 1 } end, "options: the name of an option", nearest)
    end
    raises(function() open { print } end, "the name of an option expected, got 1; known are")
    raises(function() open { retry = { attempt = 1 } } end, "options.retry: the name of an option",
      [[the nearest is "attempts"]])
  end)
end)
