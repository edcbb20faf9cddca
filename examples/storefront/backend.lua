-- SPDX-License-Identifier: MIT
--- One of the services behind the shop, with latency and failures by script.
---
--- Usage: backend.lua NAME LATENCY_MS     prints "listening PORT", and serves until SIGTERM
---
---   get ID       → ok NAME of ID        after the latency
---   warm ID      → ok                   the same, for the prefetcher
---   mode get|warm ok|fail|hang [MS]     what these do from now on
---   stats        → ok started=… finished=… cancelled=…
local ctx = require "ctx"
local signal = require "ctx.signal"
local uv = require "ctx.uv"
local waitgroup = require "ctx.waitgroup"
local requests = require "requests"

local NAME, LATENCY_MS = arg[1], tonumber(arg[2])

local modes = {
  get = { mode = "ok", ms = LATENCY_MS },
  warm = { mode = "ok", ms = LATENCY_MS },
}
local stats = { started = 0, finished = 0, cancelled = 0 }

local function work(request, verb, id)
  local how = modes[verb]
  stats.started = stats.started + 1
  local ok
  if how.mode == "hang" then
    request:wait()
  else
    ok = ctx.sleep(request, how.ms)
  end
  if not ok then
    stats.cancelled = stats.cancelled + 1
    return "error cancelled"
  end
  stats.finished = stats.finished + 1
  return how.mode == "fail" and "error out of order" or ("ok %s of %s"):format(NAME, id)
end

local function answer(request, line)
  local verb, rest = line:match("^(%a+)%s*(.*)$")
  if verb == "get" or verb == "warm" then
    return work(request, verb, rest)
  elseif verb == "mode" then
    local what, mode, ms = rest:match("^(%a+) (%a+)%s*(%d*)$")
    modes[what] = { mode = mode, ms = tonumber(ms) or LATENCY_MS }
    return "ok"
  elseif verb == "stats" then
    return ("ok started=%d finished=%d cancelled=%d")
      :format(stats.started, stats.finished, stats.cancelled)
  end
  return "error what is that?"
end

ctx.run(function(root)
  local c, stop <close> = signal.notify(root, "sigterm", "sigint")
  local listener <close> = assert(uv.listen("127.0.0.1", 0))
  local wg = waitgroup.new()
  local port = listener:address().port
  print("listening " .. port)
  io.stdout:flush()
  requests.accept(c, listener, function(connection)
    wg:go(requests.handle, c, connection, answer)
  end)
  wg:wait()
end)
