-- SPDX-License-Identifier: MIT
-- Each row of the table of errors in callbacks, tried: with a text, an object, an object that
-- raises whatever it is asked, false, NaN and nil. An error that goes through, or is an outcome, is
-- what was raised; one that is reported is told once, with its traceback and the place of the
-- function, and changes nothing else.
--
-- Cause: the rows were only counted. A call of a breaker that raised nil was no failure, and what
-- ctx.await frees by was reported without its name. Cure: each row has a way that tries it.
local breaker = require "ctx.breaker"
local core = require "ctx.core"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local no_error = require "spec.support.no_error"
local pool = require "ctx.pool"
local propagate = require "ctx.propagate"
local reports = require "spec.support.reports"
local retry = require "ctx.retry"
local shutdown = require "ctx.shutdown"
local singleflight = require "ctx.singleflight"
local testing = require "ctx.testing"
local uv = require "ctx.uv"
local waitgroup = require "ctx.waitgroup"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

local function strict()
  local function raises() error("asked") end
  return setmetatable({}, { __index = raises, __newindex = raises, __tostring = raises,
    __eq = raises, __len = raises, __concat = raises, is = raises, unwrap = raises })
end

local VALUES = { text = "the text", object = {}, strict = strict(), ["false"] = false,
  nan = 0 / 0, ["nil"] = nil }

--- Whether `err` is what was raised: as it is, a text with a place in front, or an object made for
--- nil.
local function is_raised(name, value, err)
  if name == "text" then
    return errors.describe(err):find(value, 1, true) ~= nil
  elseif name == "nil" then
    return err ~= nil and no_error(errors.describe(err))
  end
  while value ~= value and err == err and errors.unwrap(err) ~= nil do
    err = errors.unwrap(err)
  end
  return rawequal(err, value) or value ~= value and err ~= err or errors.is(err, value)
end

local failed_options = { attempts = 2, backoff = 0 }

local function retried(root, option, fail)
  local options = { attempts = 2, backoff = 0, [option] = fail }
  if option == "random" then options.backoff = 1 end
  local calls = 0
  local ok, err = pcall(retry.call, root, options, function()
    calls = calls + 1
    return nil, "the outcome"
  end)
  assert.equal(1, calls)
  assert.is_false(ok)
  return err
end

--- What each row answers with: the error; or nothing, and then it is reported.
local through, outcome, reported = {}, {}, {}

through["ctx await(start)"] = function(root, fail)
  return select(2, pcall(ctx.await, root, fail))
end
through["ctx with(fn)"] = function(root, fail)
  local c, cancel = ctx.with_cancel(root)
  local ok, err = pcall(ctx.with, c, cancel, fail)
  assert.is_false(ok)
  assert.is_true(c:done())
  return err
end
through["ctx wrap(fn)"] = function(_, fail) return select(2, pcall(ctx.wrap(fail))) end
through["ctx.breaker call(fn)"] = function(root, fail)
  local b = breaker.new { failures = 1 }
  local ok, err = pcall(b.call, b, root, fail)
  assert.is_false(ok)
  assert.equal("open", b:state())
  return err
end
through["ctx.breaker is_failure"] = function(root, fail)
  local b = breaker.new { failures = 1, is_failure = fail }
  local ok, err = pcall(b.call, b, root, function() return nil, "the outcome" end)
  assert.is_false(ok)
  assert.equal("open", b:state())
  return err
end
through["ctx.retry call(fn)"] = function(root, fail)
  return select(2, pcall(retry.call, root, failed_options, fail))
end
for _, option in ipairs { "backoff", "random", "retryable" } do
  through["ctx.retry " .. option] = function(root, fail) return retried(root, option, fail) end
end
through["ctx.uv resolve"] = function(root, fail)
  return select(2, pcall(uv.connect, root, "nowhere", 1, { resolve = fail }))
end

outcome["ctx go(fn)"] = function(_, fail) return select(2, ctx.go(fail):wait()) end
outcome["ctx.errgroup collect(functions)"] = function(root, fail)
  return select(2, errgroup.collect(root, { fail }))
end
for _, method in ipairs { "go", "try_go" } do
  outcome["ctx.errgroup " .. method .. "(fn)"] = function(root, fail)
    local g, c = errgroup.with_context(root)
    g[method](g, fail)
    local _, err = g:wait()
    assert.is_true(c:done())
    return err
  end
end
outcome["ctx.pool new(fn)"] = function(root, fail)
  local p <close> = pool.new(root, { workers = 1 }, fail)
  p:submit(root, 1)
  p:drain(root)
  return p:errors()[1].err
end
local function shut_down(root, add)
  local s = shutdown.new(root, { signals = {} })
  add(s)
  s:stop()
  return s:run()
end
outcome["ctx.shutdown go(fn)"] = function(root, fail)
  local task
  local report = shut_down(root, function(s) task = s:go(fail) end)
  task:wait() -- or it is reported, too
  return report.failed[1].err
end
outcome["ctx.shutdown on(fn)"] = function(root, fail)
  return shut_down(root, function(s) s:on("drain", "h", fail) end).phases.drain.hooks[1].err
end
outcome["ctx.singleflight call(fn)"] = function(root, fail)
  return select(2, singleflight.new():call(root, "key", fail))
end
outcome["ctx.waitgroup go(fn)"] = function(root, fail)
  local wg = waitgroup.new()
  local task = wg:go(fail)
  assert.is_true(wg:wait(root))
  return select(2, task:wait())
end

reported["ctx after_func(fn)"] = function(root, fail)
  local c, cancel = ctx.with_cancel(root)
  ctx.after_func(c, fail)
  cancel()
end
reported["ctx await(free)"] = function(root, fail)
  local c, cancel = ctx.with_cancel(root)
  local late
  ctx.go(ctx.await, c, function(resolve) late = resolve end, fail)
  coroutine.yield()
  cancel()
  coroutine.yield()
  late(1)
end
reported["ctx.breaker on_change"] = function(root, fail)
  local b = breaker.new { failures = 1, on_change = fail }
  assert.equal("kept", select(2, b:call(root, function() return nil, "kept" end)))
end
reported["ctx.pool on_error"] = function(root, fail)
  local p <close> = pool.new(root, { workers = 1, on_error = fail }, function() error("kept") end)
  p:submit(root, 1)
  assert.is_true(p:drain(root))
end
reported["ctx.propagate exporter"] = function(root, fail)
  local before = propagate.set_tracer { exporter = { export = fail } }
  local _, span = propagate.start_span(root, "s")
  span:finish()
  propagate.set_tracer(before)
end
reported["ctx.retry on_retry"] = function(root, fail)
  local calls = 0
  assert.equal("kept", retry.call(root, { backoff = 0, on_retry = fail }, function()
    calls = calls + 1
    if calls == 1 then return nil, "again" end
    return "kept"
  end))
end

-- Those that need a server, another thread, or the main thread: other specs try them.
local ELSEWHERE = { ["ctx run(main)"] = "run_spec", ["ctx set_report(fn)"] = "report_spec",
  ["ctx.http handler"] = "http_defects_spec",
  ["ctx.http chain(...)"] = "http_server_middleware_spec",
  ["ctx.http access_log"] = "http_server_middleware_spec",
  ["ctx.http on_error"] = "http_defects_spec", ["ctx.http body"] = "http_client_upload_spec",
  ["ctx.http failure"] = "http_server_failure_option_spec",
  ["ctx.propagate.otlp post"] = "propagate_otlp_failure_spec",
  ["ctx.testing run(fn)"] = "testing_spec", ["ctx.uv work(fn)"] = "uv_misuse_spec" }

--- Calls `way` with a function that raises `value`, in a test; what it answers, and the reports.
local function try(way, value)
  local answer
  local function fail() error(value) end
  local list = reports(function()
    testing.run(function(root)
      answer = table.pack(way(root, fail))
      core.tell_failures()
    end)
  end)
  local info = debug.getinfo(fail, "S")
  return answer, list, ("%s:%d"):format(info.short_src, info.linedefined)
end

describe("an error in a callback:", function()
  for answer, rows in pairs { through = through, outcome = outcome } do
    for row, way in pairs(rows) do
      it(row .. (answer == "through" and " goes through" or " is the outcome"), function()
        for _, name in ipairs { "text", "object", "strict", "false", "nan", "nil" } do
          local got, list = try(way, VALUES[name])
          if not (name == "nil" and answer == "through") then
            assert.is_true(is_raised(name, VALUES[name], got[1]), name .. ": "
              .. errors.describe(got[1]))
          end
          assert.equal(0, #list, name .. ": " .. (list[1] and list[1].message or ""))
        end
      end)
    end
  end

  for row, way in pairs(reported) do
    it(row .. " is reported", function()
      for _, name in ipairs { "text", "object", "strict", "false", "nan", "nil" } do
        local _, list, place = try(way, VALUES[name])
        assert.equal(1, #list, name)
        local message = list[1].message
        assert.matches("stack traceback:", message, 1, true)
        assert.matches(row == "ctx after_func(fn)" and "callbacks_rows_spec.lua" or place, message,
          1, true)
        local text = ({ text = "the text", object = "table: ", strict = "cannot be printed",
          ["false"] = "false", nan = "nan" })[name]
        assert.is_true(text and message:find(text, 1, true) ~= nil or name == "nil"
          and no_error(message), message)
      end
    end)
  end

  it("each row of the table is tried here or elsewhere", function()
    local file = assert(io.open(top .. "docs/reference/callbacks.md"))
    local text = file:read("a")
    file:close()
    local rows = {}
    for module, name in text:gmatch("\n| `([%w_.]+)` | `([%w_().]+)` |") do
      local row = module .. " " .. name
      rows[row] = true
      assert(through[row] or outcome[row] or reported[row] or ELSEWHERE[row], row)
    end
    for _, list in ipairs { through, outcome, reported, ELSEWHERE } do
      for row in pairs(list) do
        assert(rows[row], row)
      end
    end
    for row, spec in pairs(ELSEWHERE) do
      local other = assert(io.open(("%sspec/%s.lua"):format(top, spec)), row)
      other:close()
    end
  end)
end)
