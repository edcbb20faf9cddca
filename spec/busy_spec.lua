-- SPDX-License-Identifier: MIT
-- Cause: a task that slept for no time again and again made luv's timer be set to 0 from within its
-- own callback; luv then runs it again at once, for ever, and nothing else: no socket, no other
-- timer. Cure: what is due now is left to the idle handle, of which the next turn comes after the
-- sockets'.
local ctx = require "ctx"
local testing = require "ctx.testing"
local uv = require "luv"

describe("a task that only ever gives way to others", function()
  it("gives way to luv's sockets, too", function()
    testing.run(function(root)
      local fds = assert(uv.socketpair())
      local one, other = uv.new_pipe(false), uv.new_pipe(false)
      one:open(fds[1])
      other:open(fds[2])
      local got
      one:read_start(function(_, chunk)
        got = chunk
      end)
      other:try_write("x")
      local turns = 0
      while not got and turns < 100000 do
        turns = turns + 1
        ctx.sleep(root, 0)
      end
      one:close()
      other:close()
      assert.equal("x", got)
    end, { real = true })
  end)
end)
