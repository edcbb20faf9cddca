-- SPDX-License-Identifier: MIT
--- What the demo plays on: a timeline on the terminal, processes, and what is expected of them.
local ctx = require "ctx"
local uv = require "ctx.uv"

local stage = {}

local began = ctx.now()
local failures = 0

--- One line of the timeline.
---@param who string
---@param ... any
function stage.say(who, ...)
  local text = {}
  for i = 1, select("#", ...) do
    text[i] = tostring((select(i, ...)))
  end
  print(("%7.0f ms  %-9s %s"):format(ctx.now() - began, who, table.concat(text)))
  io.stdout:flush()
end

--- Remembers, and says, that something did not go as it must.
---@param ok any
---@param what string
function stage.expect(ok, what)
  if not ok then
    failures = failures + 1
    stage.say("FAILED", what)
  end
end

--- Plays one act; an error in it is a failure, and the next act comes all the same.
---@param number integer
---@param title string
---@param play function
function stage.act(number, title, play, ...)
  print(("\nAct %d: %s"):format(number, title))
  local ok, err = xpcall(play, debug.traceback, ...)
  stage.expect(ok, tostring(err))
end

---@return integer failed  how many expectations were not met
function stage.failed()
  return failures
end

--- Starts a Lua program of this folder and waits until it listens.
---@param c ctx.Context
---@param under string[]  words before the interpreter's: a program that then runs it
---@param file string
---@param ... any  its arguments
---@return { process: ctx.uv.Process, port: integer }
function stage.start_under(c, under, file, ...)
  local folder = file:match("^(.*)/[^/]*$")
  local words = table.pack(table.unpack(under))
  for _, word in ipairs({ stage.interpreter(), "-e",
    ("package.path = %q .. package.path"):format(folder .. "/?.lua;"), file, ... }) do
    words[#words + 1] = tostring(word)
  end
  local process = assert(uv.start(c, words[1], {
    args = table.pack(table.unpack(words, 2)), stdout = "pipe", stderr = "inherit",
  }))
  local line = assert(process.stdout:read_line(c))
  return { process = process, port = assert(math.tointeger(line:match("^listening (%d+)$"))) }
end

--- The same without anything before it.
---@param c ctx.Context
---@param file string
---@param ... any
function stage.start(c, file, ...)
  return stage.start_under(c, {}, file, ...)
end

--- The interpreter that runs this program.
function stage.interpreter()
  local i = 0
  while arg[i - 1] do
    i = i - 1
  end
  return arg[i]
end

--- Waits for the end of a process, with what it still prints on the timeline.
---@param c ctx.Context
---@return integer? code
function stage.finish(c, started)
  while true do
    local line = started.process.stdout:read_line(c)
    if not line then
      break
    end
    stage.say("", line)
  end
  local exit = assert(started.process:wait(c))
  started.process:close()
  return exit.code
end

return stage
