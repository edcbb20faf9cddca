-- SPDX-License-Identifier: MIT
--- The exporter with ctx.http's client and a collector by Node, which checks each field.
local ctx = require "ctx"
local loopback = require "spec.support.loopback"
local otlp = require "ctx.propagate.otlp"
local propagate = require "ctx.propagate"
local reports = require "spec.support.reports"
local uv = require "ctx.uv"

local LIMIT_MS = 200000
local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."
local script = here .. "/../support/otlp_collector.js"

--- Runs fn(c, exporter, collector) beside a collector, with the exporter as the tracer's.
local function with_collector(first_status, options, fn)
  loopback.run(function(root)
    local c, cancel <close> = ctx.with_timeout(root, LIMIT_MS)
    local collector <close> = assert(uv.start(c, "node", {
      args = { script, first_status }, stdout = "pipe", stderr = "inherit",
    }))
    local port = assert(collector.stdout:read_line(c)):match("^port (%d+)$")
    options.endpoint = ("http://127.0.0.1:%s/v1/traces"):format(port)
    local exporter = otlp.new(options)
    local previous = propagate.set_tracer { exporter = exporter }
    local ok, err = xpcall(fn, debug.traceback, c, exporter, collector)
    propagate.set_tracer(previous)
    assert(ok, err)
  end)
end

local function work(c, n)
  for i = 1, n do
    local below, _ <close> = propagate.start_span(c, "outer " .. i, { kind = "server" })
    local _, inner <close> = propagate.start_span(below, "größer \xFF \0 \"\\", {
      kind = "client", attributes = { n = i, part = i / 7, yes = true, text = "\u{1F600}\n\xC3" },
    })
    inner:finish(i % 2 == 0 and ctx.deadline_exceeded or nil)
  end
end

describe("the exporter and a collector", function()
  it("understand one another, field by field", function()
    with_collector(nil, { service = "shop", batch = 60 }, function(c, exporter, collector)
      work(c, 50)
      assert(exporter:shutdown(c))
      assert.equal("spans 60", collector.stdout:read_line(c))
      assert.equal("spans 40", collector.stdout:read_line(c))
      assert.same({ queued = 0, sent = 98, dropped = 0, failed = 0, rejected = 2 },
        exporter:stats())
    end)
  end)

  it("send again what was not taken", function()
    with_collector("503", {}, function(c, exporter, collector)
      work(c, 1)
      assert(exporter:flush(c))
      assert.equal("answered 503", collector.stdout:read_line(c))
      assert.equal("spans 2", collector.stdout:read_line(c))
      assert.equal(1, exporter:stats().sent)
      assert(exporter:shutdown(c))
    end)
  end)

  it("lose spans, and nothing else, when the collector is gone", function()
    local told = reports(function()
      with_collector(nil, { timeout = 200 }, function(c, exporter, collector)
        collector:close()
        work(c, 3)
        assert.is_true(exporter:shutdown(c))
        assert.equal(6, exporter:stats().failed)
      end)
    end)
    assert.equal("otlp", told[1].kind)
    assert.equal(1, #told, told[2] and told[2].message)
  end)
end)
