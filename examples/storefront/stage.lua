-- SPDX-License-Identifier: MIT
--- What the demo plays on: a timeline on the terminal, processes with what they log, and what is
--- expected of them.
local cjson = require "cjson"
local ctx = require "ctx"
local luv = require "luv"
local uv = require "ctx.uv"

local stage = {
  verbose = false, -- whether the timeline has all that is logged
}

local began = ctx.now()
local failures = 0

-- -- The timeline ---------------------------------------------------------------------------------

--- One line of the timeline.
---@param who string
---@param ... any
function stage.say(who, ...)
  local text = {}
  for i = 1, select("#", ...) do
    text[i] = tostring((select(i, ...)))
  end
  print(("%7.0f ms  %-15s %s"):format(ctx.now() - began, who, table.concat(text)))
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

-- -- Processes ------------------------------------------------------------------------------------

---@class Player
---@field name string
---@field process ctx.uv.Process
---@field port integer
---@field url string
---@field records table[]  what it has logged
---@field reading ctx.Task  reads its stdout to the end

--- Reads what a player logs; anything else goes on the timeline.
local function read_log(c, player)
  for line in function() return (player.process.stdout:read_line(c)) end do
    local ok, record = pcall(cjson.decode, line)
    if ok then
      player.records[#player.records + 1] = record
    end
    if stage.verbose or not ok then
      stage.say(player.name, line)
    end
    local wake = player.wake
    player.wake = nil
    if wake then
      wake(true)
    end
  end
end

--- Starts a program of this folder and waits until it listens.
---@param c ctx.Context
---@param under string[]  words before the interpreter's: a program that then runs it
---@param name string
---@param file string
---@param ... any  its arguments
---@return Player
function stage.start_under(c, under, name, file, ...)
  local folder = file:match("^(.*)/[^/]*$")
  local words = table.pack(table.unpack(under))
  for _, word in ipairs({ luv.exepath(), "-e",
    ("package.path = %q .. package.path"):format(folder .. "/?.lua;"), file, ... }) do
    words[#words + 1] = tostring(word)
  end
  local process = assert(uv.start(c, words[1], {
    args = table.pack(table.unpack(words, 2)), stdout = "pipe", stderr = "inherit",
  }))
  local port = assert(process.stdout:read_line(c)):match("^listening (%d+)$")
  local player = { name = name, process = process, port = math.tointeger(port),
    url = "http://127.0.0.1:" .. port, records = {} }
  player.reading = ctx.go(read_log, c, player)
  return player
end

--- The same without anything before it.
function stage.start(c, name, file, ...)
  return stage.start_under(c, {}, name, file, ...)
end

--- How many records are as wanted.
---@param player Player
---@param wanted fun(record: table): any
---@return integer
function stage.count(player, wanted)
  local count = 0
  for _, record in ipairs(player.records) do
    count = count + (wanted(record) and 1 or 0)
  end
  return count
end

--- Waits until a player has logged what is wanted, so many times; c is the patience.
---@async
---@return table record  the last of them
function stage.await(c, player, wanted, times)
  local seen, at = 0, 0
  while true do
    while at < #player.records do
      at = at + 1
      local record = player.records[at]
      seen = seen + (wanted(record) and 1 or 0)
      if seen == (times or 1) then
        return record
      end
    end
    if player.reading:status() == "done" then
      error(player.name .. " has ended without what it was to log")
    end
    assert(ctx.await(c, function(resolve) player.wake = resolve end))
  end
end

--- Waits for the end of a player, with what it still has to say.
---@async
---@param c ctx.Context
---@param player Player
---@return integer? code
function stage.finish(c, player)
  player.reading:wait(c)
  local exit = assert(player.process:wait(c))
  player.process:close()
  return exit.code
end

return stage
