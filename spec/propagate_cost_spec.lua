-- SPDX-License-Identifier: MIT
-- Cause: headers were read to their end, and then judged by what had been kept; anybody can send a
-- server 60 kB of them with each request. Cure: each has a length beyond which nobody looks at it.
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local propagate = require "ctx.propagate"

local PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
local SECONDS = propagate.deadline { header = "x-timeout", unit = "s" }

--- The CPU time that these headers take; what is too short to measure counts as a tenth of a
--- millisecond.
local function cost(headers)
  return math.max(1e-4, cpu.least(1, function()
    propagate.extract(ctx.background(), headers, headers["x-timeout"] and SECONDS)
  end))
end

--- Fails if the headers that make(n) gives cost more as n grows from few to many.
local function assert_bounded(make, few, many)
  cpu.at_most(10, function() return cost(make(few)) end, function() return cost(make(many)) end)
end

local pieces = {
  traceparent = { " ", "0", "a", "-", PARENT .. "-" },
  tracestate = { " ", ",", " ,", "a", "a=b,", "a@", "=", "\t" },
  baggage = { " ", ",", " ,", "a", "a=b,", ";", "=", ";p", ";p=q", "; p = q ", "%41", "%FF",
    "a=%FF,", "\xFF" },
  ["grpc-timeout"] = { " ", "1", "1 ", "S", "\t1S" },
  ["x-timeout"] = { " ", "1", "1.", "." },
}
local before = { traceparent = { "", PARENT .. "-", "01" .. PARENT:sub(3) .. "-" },
  tracestate = { "", "a=" }, baggage = { "", "a=", "a=b" }, ["grpc-timeout"] = { "" },
  ["x-timeout"] = { "", "1." } }

for name, list in pairs(pieces) do
  it(("what the header %s costs does not grow with what is sent"):format(name), function()
    for _, piece in ipairs(list) do
      for _, start in ipairs(before[name]) do
        assert_bounded(function(size)
          local text = start .. piece:rep(size // #piece)
          return { traceparent = name ~= "traceparent" and PARENT or nil, [name] = text }
        end, 16384, 1 << 22)
      end
      assert_bounded(function(n)
        local values = {}
        for i = 1, n do values[i] = piece end
        return { traceparent = PARENT, [name] = values }
      end, 1 << 14, 1 << 18)
    end
  end)
end
