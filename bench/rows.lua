-- SPDX-License-Identifier: MIT
-- The rows of the benchmark table, in order. To add one: a line here, and the row in the programs
-- that have it (bench/lua, bench/peers, csrc/bench; each says with `list` which it has).
--
--   name    of the row; the figure that a program prints under this name is its own
--   run     which row to ask the programs for, if that prints several figures; else the name itself
--   unit    of the figure; "ns" unless named
--   lua, c  what the figure may be at most, for ctx from Lua and from C:
--             ratio  times Go's          bytes  the same for bytes (of resident memory)
--             limit  a function of all figures, by program and row, that gives it in the row's unit
--
-- Idle: nobody waits on the context; a library that links lazily then has it in no list. Armed:
-- somebody does. A target set for the work as a whole stands in both. A row without a target is
-- here to be seen: so that neither ctx nor Go hides a weak spot.

-- Either of two, so the laxer one: a fixed time, or a fifth above the cheapest checked method.
local function limit_of_err(figures)
  local call = figures.lua and figures.lua["W5.call"]
  return math.max(65, call and 1.2 * call.value or 0)
end

local function limit_of_err_in_c(figures)
  local clock = figures.c and figures.c["W5.clock"]
  return clock and clock.value + 5
end

return {
  { name = "W1", work = "with_cancel + cancel, under a live parent",
    lua = { ratio = 0.7 }, c = { ratio = 0.05 } },
  { name = "W2.idle", work = "with_timeout (10 s) + cancel, under a live parent",
    lua = { ratio = 0.3 }, c = { ratio = 0.05 } },
  { name = "W2.armed", work = "… with an after_func, stopped",
    lua = { ratio = 0.3 }, c = { ratio = 0.05 } },
  { name = "W2b", work = "… with a task parked on it, joined",
    lua = { ratio = 0.35 } },
  { name = "W3.idle.derive", run = "W3.idle", work = "chain of 100: derive, per node",
    lua = { ratio = 0.5 }, c = { ratio = 0.1 } },
  { name = "W3.idle.cancel", run = "W3.idle", work = "… cancel root + err() of leaf, per node",
    lua = { ratio = 0.2 }, c = { ratio = 0.1 } },
  { name = "W3.armed.derive", run = "W3.armed", work = "chain of 100, leaf waited on: derive",
    lua = { ratio = 0.5 }, c = { ratio = 0.1 } },
  { name = "W3.armed.cancel", run = "W3.armed", work = "… cancel root + err() of the leaf",
    lua = { ratio = 0.2 }, c = { ratio = 0.1 } },
  { name = "W4.idle.derive", run = "W4.idle", work = "100 000 children: derive, per child" },
  { name = "W4.idle.cancel", run = "W4.idle", work = "… cancel root + err() of each" },
  { name = "W4.armed.derive", run = "W4.armed", work = "100 000 children, each waited on: derive" },
  { name = "W4.armed.cancel", run = "W4.armed", work = "… cancel root; in Go, with Done() made",
    lua = { ratio = 0.25 }, c = { ratio = 0.1 } },
  { name = "W4.armed.run", run = "W4.armed", work = "… cancel root + run an after_func of each" },
  { name = "W5", work = "err() on a live context with a deadline",
    lua = { limit = limit_of_err }, c = { limit = limit_of_err_in_c } },
  { name = "W5.call", run = "W5", work = "… beside it: a checked method of luv" },
  { name = "W5.clock", run = "W5", work = "… beside it: one read of the coarse clock" },
  { name = "W6.10", run = "W6", work = "value at depth 10, hit at the root",
    lua = { ratio = 1.4 } },
  { name = "W6.miss", run = "W6", work = "… miss", lua = { ratio = 0.9 } },
  { name = "W6.100", run = "W6", work = "… hit at the root, depth 100", lua = { ratio = 0.3 } },
  { name = "W6.leaf", run = "W6", work = "… hit at the leaf" },
  { name = "W6.derive", run = "W6", work = "with_value" },
  { name = "W7", work = "group + go + wait, one task; against errgroup.WithContext",
    lua = { ratio = 0.4 } },
  { name = "W8.closures", work = "group of 10 closures that yield once, one fails",
    lua = { ratio = 0.85 } },
  { name = "W8.args", work = "… as one function with arguments", lua = { ratio = 0.6 } },
  { name = "W8b", work = "… as closures, and the others wait for the cancel" },
  { name = "W9.park", run = "W9", work = "10^6 tasks parked on one context: start + park each",
    lua = { bytes = 0.5 } },
  { name = "W9.drain", run = "W9", work = "… cancel + run each to its end",
    lua = { ratio = 0.25 } },
  { name = "W9.peak", run = "W9", work = "… the most memory that the process held", unit = "MB" },
  { name = "W9g", work = "worst pause beside 10^5 parked tasks; incremental, small steps",
    unit = "ms", lua = { ratio = 0.75 } },
  { name = "W9g.wall", run = "W9g", work = "… with what the machine does meanwhile for others",
    unit = "ms" },
  { name = "W9g.default", work = "… as W9g, each mode on its own settings", unit = "ms" },
  { name = "W10.idle", work = "10^6 pending timeouts: make + cancel",
    lua = { ratio = 0.35, bytes = 0.75 }, c = { ratio = 0.1, bytes = 0.35 } },
  { name = "W10.armed", work = "… each with an after_func, stopped",
    lua = { ratio = 0.35, bytes = 0.75 }, c = { ratio = 0.1, bytes = 0.35 } },
  { name = "W11.cpu", run = "W11", work = "HTTP hello under a deadline each, wrk -c64: CPU time",
    lua = { ratio = 0.65 } },
  { name = "W11.wall", run = "W11", work = "… 1 / (requests a second)", lua = { ratio = 0.667 } },
  { name = "W11.p99", run = "W11", work = "… the 99th percentile of the latency", unit = "us" },
  { name = "W11.idle", run = "W11", work = "… 10^4 idle keep-alive connections", unit = "B" },
}
