-- SPDX-License-Identifier: MIT
-- errors.call runs a caller's function under a message handler: for pools, hooks, groups, handlers.
-- report.guard runs those that only listen.
--
-- Cause: four hand-made pairs of xpcall and handler, each of which forgot something else: that Lua
-- calls no handler without memory, or that an error may be nil. Cure: one.
local ctx = require "ctx"
local errors = require "ctx.errors"
local no_error = require "spec.support.no_error"
local out_of_memory = require "spec.support.memory"
local report = require "ctx.report"
local reports = require "spec.support.reports"

describe("errors.call", function()
  it("returns true and the results, nils included", function()
    local got = table.pack(errors.call(function(...) return nil, ..., nil end, 1, 2))
    assert.same({ true, nil, 1, nil, n = 4 }, got)
    assert.same({ true, n = 1 }, table.pack(errors.call(function() end)))
  end)

  it("returns false, the error itself and where it was raised", function()
    local object = setmetatable({}, { __index = error, __tostring = error })
    local function fail() error(object) end
    local ok, err, trace = errors.call(fail)
    assert.is_false(ok)
    assert.is_true(rawequal(object, err))
    assert.matches("^stack traceback:\n", trace)
    assert.matches("errors_call_spec%.lua:%d+: in function <", trace)
  end)

  it("makes an error of error(nil)", function()
    local ok, err, trace = errors.call(error, nil)
    assert.is_false(ok)
    assert.is_true(no_error(err))
    assert.equal(trace, err.traceback)
  end)

  it("tells that there is no memory", function()
    local ok, err = errors.call(out_of_memory)
    assert.is_false(ok)
    assert.equal("not enough memory", err)
  end)

  it("takes what can be called, and calls what cannot be an error", function()
    local object = setmetatable({}, { __call = function(_, x) return x end })
    assert.same({ true, 5 }, { errors.call(object, 5) })
    local ok, err = errors.call(5)
    assert.is_false(ok)
    assert.matches("attempt to call a number", err)
  end)

  it("lets the function wait", function()
    ctx.run(function(root)
      assert.same({ true, true }, { errors.call(ctx.sleep, root, 0) })
    end)
  end)
end)

describe("report.guard", function()
  it("reports what a callback raises, with its place, and returns nothing", function()
    local line
    local list = reports(function()
      local function listener(what)
        error(what, 0)
      end
      line = debug.getinfo(listener, "S").linedefined
      assert.equal(0, select("#", report.guard("module", "on_event", listener, "broken")))
      report.guard("module", "on_event", function() return "ignored" end)
      report.guard("module", "on_event", out_of_memory)
      report.guard("module", "on_event", error, setmetatable({}, { __tostring = error }))
    end)
    assert.equal(3, #list)
    assert.equal("module", list[1].kind)
    assert.matches("^module: on_event failed: broken\nstack traceback:", list[1].message)
    assert.matches(("in on_event, spec/errors_call_spec%%.lua:%d$"):format(line), list[1].message)
    assert.matches("^module: on_event failed: not enough memory\n", list[2].message)
    assert.matches("cannot be printed", list[3].message, 1, true)
  end)
end)

describe("the text of an error", function()
  it("is told as far as it can be, when a part of it cannot be printed", function()
    local broken = setmetatable({}, { __tostring = function() error("no") end })
    local joined = errors.join("first", broken, errors.wrap(broken, "reading"), "last")
    assert.equal("first\n(an error object that cannot be printed)\n"
      .. "reading: (an error object that cannot be printed)\nlast", tostring(joined))
    assert.equal("(an error object that cannot be printed)", errors.describe(broken))
  end)
end)
