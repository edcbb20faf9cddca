-- SPDX-License-Identifier: MIT
--- For the programs that specs start: this process ends when the one that started it has ended, as
--- the pipe that is its stdin tells.
local luv = require "luv"

local stdin = luv.new_pipe(false)
assert(stdin:open(0))
stdin:read_start(function(_, chunk)
  if not chunk then
    os.exit(2)
  end
end)
stdin:unref()

return stdin
