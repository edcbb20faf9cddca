-- SPDX-License-Identifier: MIT
--- One round of the fuzzer, in a process and a folder of its own.
---
---     lua-static spec/fuzz/round.lua SEED MEMORY [OPERATIONS]
---
--- MEMORY is "plenty", "deep" (at times the stacks of C and of Lua are full), "collect" (a
--- collection at many allocations) or "shortage" (some fail).
--- Prints "op N NAME" before each operation; then for each a line of calls, and what is wrong. Ends
--- with "over", unless something kills it.
local seed, budget = assert(math.tointeger(arg[1])), math.tointeger(arg[3] or 600)

io.stdout:setvbuf("line")
local trouble = require "spec.fuzz.trouble"
-- Before anybody keeps a function of luv's for himself.
local memory = trouble.memory(arg[2])

local annotations = require "spec.docs.annotations"
local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"
local aftermath = require "spec.fuzz.aftermath"
local catalogue = require "spec.fuzz.catalogue"
local new_play = require "spec.fuzz.play"
local uv = require "ctx.uv"

local ROUND_MS = 20000 -- the end of every context of the round
local ACTORS = 8

-- Functions that wait without a context, and those to which a number is a descriptor of ours.
local NO_NONSENSE = { ["ctx.Context:wait"] = true, ["ctx.uv.work"] = true, ["ctx.debug"] = true,
  ["ctx.uv.open"] = true, ["ctx.uv.listen_fd"] = true, ["ctx.uv.start"] = true,
  ["ctx.uv.spawn"] = true, ["ctx.uv.poll"] = true, ["ctx.http.Server:listen"] = true,
  ["ctx.signal.notify"] = true, ["ctx.run"] = true, ["ctx.testing.run"] = true,
  ["ctx.testing.clock"] = true, ["ctx.http.request"] = true, ["ctx.set_report"] = true }

--- The functions that may be called with any arguments, among operations of these names.
local function nonsense_names(declared, operations)
  local names = {}
  for _, name in ipairs(operations) do
    local fields = declared[name]
    if fields and fields.key and not NO_NONSENSE[name] and not fields.parameters:find("fd") then
      names[#names + 1] = name
    end
  end
  return names
end

local function prepare()
  local play = new_play(seed, catalogue.operations, catalogue.classes)
  play.declared = annotations.read((arg[0]:gsub("/spec/fuzz/[^/]*$", "")))
  play.nonsense_names = {
    [catalogue.inside] = nonsense_names(play.declared, catalogue.inside),
    [catalogue.outside] = nonsense_names(play.declared, catalogue.outside),
  }
  play.trouble = memory
  play.walks = play:chance(4)
  play.strangers = play:chance(4)
  play.lenient = memory.kind == "shortage" or memory.kind == "deep" or play.strangers or play.walks
  play.report = function(message, kind)
    play:claim(type(message) == "string" and type(kind) == "string", "a report that is no text")
  end
  ctx.set_report(play.report)
  return play
end

--- The signals that the round sends to itself have their default action at times: these handles
--- keep that from ending the process.
local function keep_signals(play)
  play.own = {}
  for _, name in ipairs { "sigusr1", "sigusr2", "sighup" } do
    local handle = luv.new_signal()
    handle:start(name, function() end)
    handle:unref()
    play.own[handle] = true
  end
end

--- Told SIGQUIT, says where all wait: for a round that does not end.
local function tell_on_demand(play)
  local handle = luv.new_signal()
  handle:start("sigquit", function()
    io.stderr:write(aftermath.stacks(), "\n")
  end)
  handle:unref()
  play.own[handle] = true
end

-- -- The three places -----------------------------------------------------------------------------

local function act(play)
  if play.strangers then
    play:keep("thread", (coroutine.running()))
  end
  while play.left > 0 do
    -- Also what the play does for itself may run out of memory, or be closed by a stranger.
    memory:call(play.step, play)
    memory:call(coroutine.yield)
  end
end

local function in_tasks(play, operations)
  play:begin(catalogue.outside, operations)
  ctx.run(function(root)
    local c, cancel = ctx.with_timeout(root, ROUND_MS)
    play.root = c
    -- Should this function run out of memory, the run still ends.
    local stop = ctx.after_func(root, function()
      play.left = 0
      memory:calm()
      aftermath.retire_all(play)
    end)
    for _ = 1, play.random(ACTORS) do
      ctx.go(act, play)
    end
    while play.left > 0 and not c:err() do
      memory:call(play.step, play)
      memory:call(ctx.sleep, c, 1)
    end
    play.left = 0
    memory:calm()
    stop()
    cancel("the round is over")
    aftermath.settle(play, function(ms) ctx.sleep(root, ms) end, 1)
  end)
  play.root = ctx.background()
end

--- `names`: those of the operations that may come here. `leaves`: what has begun is left to the end
--- of the state.
local function on_the_main_thread(play, names, operations, leaves)
  play:begin(names, operations)
  local cancel
  play.root, cancel = ctx.with_timeout(ctx.background(), ROUND_MS)
  while play.left > 0 and not play.root:err() do
    memory:call(play.step, play)
  end
  play.left = 0
  if leaves then
    return
  end
  cancel("the round is over")
  aftermath.settle(play, function(ms)
    pcall(ctx.sleep, ctx.background(), ms)
    luv.run("nowait")
  end, 0)
end

-- -------------------------------------------------------------------------------------------------

local function tell(play)
  for name, tally in pairs(play.tallies) do
    print(("calls %s %d %d %s"):format(name, tally.calls, tally.raised,
      (tally.last_error or ""):gsub("%s+", " "):sub(1, 300)))
  end
  print("over")
end

local play = prepare()
keep_signals(play)
tell_on_demand(play)
print(("round %d: memory %s, strangers %s, walks %s"):format(seed, memory.kind, play.strangers,
  play.walks))
-- What the library keeps for good is there before it is counted.
ctx.run(function(root)
  http.get(root, "http://127.0.0.1:1")
  uv.spawn(root, "true")
  uv.fs_stat(root, ".")
end)
local before = aftermath.descriptors()
local main_first = play:chance(3)
if main_first then
  on_the_main_thread(play, catalogue.outside, budget // 4)
end
local ok, err = memory:call(in_tasks, play, budget)
play:claim(ok, "ctx.run raised: %s", play.text(err))
-- A run that has not ended leaves tasks that the next part, which has a clock of its own, may not
-- meet.
local leaves = play:chance(3)
if ok then
  on_the_main_thread(play, catalogue.inside, budget // 8, leaves)
end
debug.sethook()
if leaves then
  luv.run("nowait") -- luv 1.44 bears no state that ends with handles that are being closed
else
  aftermath.compare(play, before)
end
tell(play)
