-- SPDX-License-Identifier: MIT
-- Cause: headers were read to their end, and then judged by what had been kept; anybody can send a
-- server 60 kB of them with each request. Cure: each has a length beyond which nobody looks at it.
local cpu = require "spec.support.cpu"
local ctx = require "ctx"
local propagate = require "ctx.propagate"

local PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
local SECONDS = propagate.deadline { header = "x-timeout", unit = "s" }

local function cost(headers)
  return cpu(1, function()
    propagate.extract(ctx.background(), headers, headers["x-timeout"] and SECONDS)
  end)
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
        local function headers(size)
          local text = start .. piece:rep(size // #piece)
          return { traceparent = name ~= "traceparent" and PARENT or nil, [name] = text }
        end
        local of_kept, of_sent = cost(headers(16384)), cost(headers(1 << 22))
        assert.is_true(of_sent < 8 * of_kept + 0.002, ("%s: %q and so on"):format(name, piece))
      end
      local many = {}
      for i = 1, 1 << 17 do many[i] = piece end
      assert.is_true(cost { traceparent = PARENT, [name] = many } < 0.01,
        ("%s: %q in many headers"):format(name, piece))
    end
  end)
end
