-- SPDX-License-Identifier: MIT
-- What else there is in a process gets its turn while one task computes in slices of 5 ms and says
-- ctx.sleep(c, 0) between them: a connection, a timer of luv's own, a signal.

local ctx = require "ctx"
local luv = require "luv"
local signal = require "ctx.signal"
local uv = require "ctx.uv"

local SLICE_NS, TICK_MS, WATCHED_NS = 5e6, 10, 3e9

local function compute()
  local till = luv.hrtime() + SLICE_NS
  repeat until luv.hrtime() >= till
end

local function echo(c, listener)
  local client <close> = listener:accept(c)
  while client do
    local line = client:read_line(c)
    if not line or not client:write(c, line .. "\n") then
      break
    end
  end
end

-- The other process, and what it says.
local function start_client(port)
  local out, text = luv.new_pipe(false), {}
  assert(luv.spawn(arg[-1], {
    args = { "bench/edges/fair_client.lua", tostring(port), tostring(luv.os_getpid()) },
    stdio = { nil, out, 2 },
  }, function() end))
  out:read_start(function(_, chunk)
    if chunk then
      text[#text + 1] = chunk
    else
      out:close()
    end
  end)
  return function()
    while not out:is_closing() do
      luv.run("once")
    end
    return table.concat(text)
  end
end

local seen_ns, said, counted
ctx.run(function(root)
  local c, stop <close> = signal.notify(root, "sigterm")
  local listener <close> = assert(uv.listen("127.0.0.1", 0))
  ctx.go(echo, c, listener)
  said = start_client(listener:address().port)
  local ticks, timer = 0, luv.new_timer()
  timer:start(TICK_MS, TICK_MS, function() ticks = ticks + 1 end)
  local began = luv.hrtime()
  while not c:done() do
    compute()
    ctx.sleep(c, 0)
    if not counted and luv.hrtime() - began > WATCHED_NS then
      counted = ticks
      timer:close()
    end
  end
  seen_ns = luv.hrtime()
  return stop
end)

local text = said()
print(("fair.echo %s ms"):format(text:match("echo (%S+)")))
print(("fair.ticks %d of-300"):format(counted))
print(("fair.sigterm %.2f ms"):format((seen_ns - tonumber(text:match("sent (%S+)"))) / 1e6))
