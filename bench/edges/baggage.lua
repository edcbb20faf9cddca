-- SPDX-License-Identifier: MIT
-- A request with a baggage of 60 kB, which any client may send.

local ctx = require "ctx"
local propagate = require "ctx.propagate"

local ROUNDS = 100

local members = {}
for i = 1, 6000 do
  members[i] = ("k%d=%d"):format(i, i % 10)
end
local headers = { baggage = table.concat(members, ","):sub(1, 60000) }
local began = os.clock()
for _ = 1, ROUNDS do
  propagate.extract(ctx.background(), headers)
end
print(("baggage.60kB %.3f ms"):format((os.clock() - began) / ROUNDS * 1e3))
