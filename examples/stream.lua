-- SPDX-License-Identifier: MIT
--- A long stream of jobs through a few workers. The channel's buffer slows the producer down, and
--- closing the channel drains it. No job that was accepted is lost.
--
-- Usage: ./dev lua examples/stream.lua     (exits 0 only if all went as it should)

local channel = require "ctx.channel"
local ctx = require "ctx"
local waitgroup = require "ctx.waitgroup"

local WORKERS, ROOM, STREAM_MS = 3, 4, 60

--- Reads the stream until c ends. `send` waits while the buffer is full, so the source is slowed
--- down to what the workers can do.
local function read_stream(c, jobs)
  local n = 0
  while jobs:send(c, n + 1) do
    n = n + 1
  end
  return n
end

--- The workers have a context that outlives the stream: what was accepted is finished.
local function work(c, jobs, done)
  for job in jobs:iter(c) do
    ctx.sleep(c, 5)
    done[#done + 1] = job
  end
end

ctx.run(function(root)
  local jobs, workers, done = channel.new(ROOM), waitgroup.new(), {}
  for _ = 1, WORKERS do
    workers:go(work, root, jobs, done)
  end
  local stream, stop <close> = ctx.with_timeout(root, STREAM_MS)
  local accepted = read_stream(stream, jobs)
  local left = jobs:len()
  jobs:close()
  assert(workers:wait(root))
  print(("%d accepted, %d of them finished after the end of the stream, %d done")
    :format(accepted, left, #done))
  assert(accepted > 0 and #done == accepted)
end)
