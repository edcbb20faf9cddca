-- SPDX-License-Identifier: MIT
--- Runs commands side by side, each in a process group of its own, until one fails.
local uv = require "luv"

local running = {}

local function start(command, on_exit)
  local process, pid
  local timer = uv.new_timer()
  process, pid = uv.spawn("/bin/sh", { args = { "-c", command.text }, detached = true,
    cwd = command.folder, env = command.environment }, function(code, signal)
    timer:close()
    process:close()
    uv.kill(-pid, "sigkill") -- what it left behind
    on_exit(code == 0 and signal == 0)
  end)
  assert(process, pid)
  timer:start(command.timeout_ms, 0, function()
    uv.kill(-pid, "sigkill")
  end)
  return pid
end

--- running.all(commands, jobs) → nil, or the first command that failed or took too long; the others
--- are ended then. A command is { name, text, folder, environment, timeout_ms }; it gets its time
--- in `ms`.
function running.all(commands, jobs)
  local next_one, alive, failed = 1, {}, nil
  local function fill()
    while not failed and next_one <= #commands and #alive < jobs do
      local command = commands[next_one]
      next_one = next_one + 1
      local began = uv.hrtime()
      command.pid = start(command, function(well)
        command.ms = (uv.hrtime() - began) / 1e6
        for i, other in ipairs(alive) do
          if other == command then
            table.remove(alive, i)
          end
        end
        if not well and not failed then
          failed = command
          for _, other in ipairs(alive) do
            uv.kill(-other.pid, "sigkill")
          end
        end
        fill()
      end)
      alive[#alive + 1] = command
    end
  end
  fill()
  uv.run()
  return failed
end

return running
