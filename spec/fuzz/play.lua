-- SPDX-License-Identifier: MIT
--- The random state of one round: the seed's choices, the objects that are alive, and what the
--- operations draw from them.
local ctx = require "ctx"
local errors = require "ctx.errors"
local luv = require "luv"

---@class fuzz.Play
---@field names string[]    the operations of this part of the round
---@field root ctx.Context  ends when the round is over
---@field left integer      operations that may still begin
local Play = {}
Play.__index = Play

local KEPT = 8       -- objects of a class that are kept at a time
local BRIEF_MS = 15  -- the most that a wait without another end may take
local SLOW_NS = 10e9 -- no operation sleeps so long
local DEEPEST = 60   -- calls of operations within one another

-- -- Choices --------------------------------------------------------------------------------------

--- xorshift: the same numbers in every Lua release.
local function random_of(seed)
  local state = seed * 0x9E3779B97F4A7C15 + 0x5DEECE66D
  return function(n)
    state = state ~ (state << 13)
    state = state ~ (state >> 7)
    state = state ~ (state << 17)
    return (state >> 1) % n + 1
  end
end

--- True once in n.
function Play:chance(n)
  return self.random(n) == 1
end

function Play:pick(list)
  return list[self.random(#list)]
end

--- What a close may be given.
function Play:why()
  return self:pick { false, "a reason", errors.new("a reason") } or nil
end

--- A time in ms that is soon over; at times zero, negative, or with a fraction.
function Play:ms()
  local ms = self.random(BRIEF_MS)
  return self:pick { ms, ms, ms, ms, ms, ms, ms / 7, 0, -1 }
end

-- -- Objects --------------------------------------------------------------------------------------

--- Keeps an object of this class for later operations; one that it displaces is retired.
---@generic T
---@param class string
---@param object T
---@return T
function Play:keep(class, object)
  if object == nil then
    return nil
  end
  local list = self.kept[class]
  if not list then
    list = {}
    self.kept[class] = list
  end
  local at = #list < KEPT and #list + 1 or self.random(KEPT)
  local old = list[at]
  list[at] = object
  if old ~= nil then
    self:retire(class, old)
  end
  return object
end

--- Lets go of an object as its class wants that.
function Play:retire(class, object)
  local retire = self.classes[class] and self.classes[class].retire
  if retire then
    local ok, err = pcall(retire, self, object)
    if not ok then
      self.retire_error = self.retire_error or ("%s: %s"):format(class, self.text(err))
    end
  end
end

--- An object of this class: one that is kept, or a new one. Nil when there is none and none can be
--- made here.
function Play:one(class)
  local list = self.kept[class]
  if list and list[1] ~= nil and not self:chance(4) then
    return list[self.random(#list)]
  end
  local make = self.classes[class] and self.classes[class].make
  local made = make and make(self)
  return made or list and list[self.random(math.max(1, #list))]
end

--- One of this class; the operation is given up where there is none.
function Play:need(class)
  local object = self:one(class)
  if object == nil then
    error(self.skipped, 0)
  end
  return object
end

-- -- Contexts -------------------------------------------------------------------------------------

--- Some context; it may live as long as the round. Most of those that are kept have ended before
--- long, and under one that has, no wait begins: so these are handed out now and then only.
function Play:context()
  if self:chance(12) then
    return ctx.background()
  end
  local c = self:one("ctx.Context")
  return c and (not c:err() or self:chance(6)) and c or self.root
end

--- A context that ends by itself within some milliseconds: for waits.
function Play:brief()
  local c, cancel = ctx.with_timeout(self:context(), self:ms())
  self:keep("ctx.Cancel", cancel)
  self:keep("brief", c)
  return c
end

-- -- Values ---------------------------------------------------------------------------------------

--- Objects that an error may be, and that are hard to print.
function Play:strange_error()
  local function fail() error("this cannot be printed") end
  return self:pick {
    "a text", ctx.canceled, 42, false, setmetatable({}, { __tostring = fail }),
    setmetatable({}, { __tostring = function() return 7 end }),
    setmetatable({}, { __name = 5, __index = fail, __eq = fail, __concat = fail, __gc = fail }),
    setmetatable({}, { __index = fail, __tostring = function() return coroutine.yield() end }),
    setmetatable({}, { __metatable = false }),
    coroutine.create(print), print, io.stderr,
  }
end

--- Any value, nil too.
function Play:value()
  local n = self.random(9)
  if n == 1 then
    return nil
  elseif n == 2 then
    return self:strange_error()
  elseif n == 3 then
    return self:pick { 0, -1, 1.5, 1e300, math.huge, -math.huge, 0 / 0, math.maxinteger,
      math.mininteger }
  elseif n == 4 then
    return self:pick { "", "x", "a\0b", ("y"):rep(self.random(70000)), "../up", "127.0.0.1",
      "sigterm" }
  elseif n == 5 then
    return self:callback()
  elseif n == 6 then
    return self:brief()
  elseif n == 7 then
    local list = self.kept[self:pick(self.class_names)]
    return list and list[1]
  elseif n == 8 then
    return { self.random(9), name = "x", timeout = 1 }
  end
  return self:pick { true, false, 1, 2, "text" }
end

-- -- Time -----------------------------------------------------------------------------------------

--- The ns in which this process has neither run nor stood in line for a processor: what else the
--- machine does, and a collection at each allocation, do not count. Where the system does not tell,
--- real time.
local function slept_ns()
  local file = io.open("/proc/self/schedstat")
  local ran, stood = (file and file:read("l") or ""):match("(%d+) (%d+)")
  if file then file:close() end
  return luv.hrtime() - (tonumber(ran) or 0) - (tonumber(stood) or 0)
end

-- -- Calls ----------------------------------------------------------------------------------------

--- Begins an operation: counts it, and writes it down before it is done, so that a crash has it.
local function begin(self, name, where)
  self.left = self.left - 1
  self.number = self.number + 1
  local tally = self.tallies[name] or { calls = 0, raised = 0 }
  self.tallies[name] = tally
  io.stdout:write("op ", self.number, " ", name, where and " in " or "", where or "", "\n")
  return tally
end

local function count(self, tally, ok, err)
  if not ok and err == self.skipped then
    return
  end
  tally.calls = tally.calls + 1
  if not ok then
    tally.raised = tally.raised + 1
    tally.last_error = self.text(err)
  end
end

--- Does the operation of this name, whatever comes of it.
---@param name string
---@param where? string  a callback of another
function Play:call(name, where)
  if self.left <= 0 or self.depth >= DEEPEST then
    return false
  end
  self.trouble:calm()
  local began, tally = pcall(begin, self, name, where)
  if not began then -- no memory for it
    return false
  end
  self.depth = self.depth + 1
  local operation, began_ns = self.operations[name], slept_ns()
  self.trouble:arm(self)
  local ok, err = self.trouble:call(operation, self)
  self.depth = self.depth - 1
  count(self, tally, ok, err)
  local took_ns = slept_ns() - began_ns
  if took_ns > SLOW_NS then
    io.stdout:write("wrong ", name, " slept for ", took_ns // 1000000000, " s\n")
  end
  return ok
end

--- The next operation of a shuffled deck of all: so a round of some hundreds does each.
function Play:next_name()
  local deck = self.deck
  if #deck == 0 then
    for i, name in ipairs(self.names) do
      deck[i] = name
    end
  end
  local at = self.random(#deck)
  local name = deck[at]
  deck[at] = deck[#deck]
  deck[#deck] = nil
  return name
end

--- Begins a part of the round, of so many operations of these names.
function Play:begin(names, operations)
  self.names, self.deck, self.left = names, {}, operations
  print(("part of %d operations from %d on"):format(operations, self.number + 1))
end

--- Does one operation more.
function Play:step(where)
  return self:call(self:next_name(), where)
end

--- A function for the library to call: at times it does operations, cancels, raises something
--- strange, or returns anything.
---@param ... any  what it returns when nothing special comes to pass
function Play:callback(...)
  local results = table.pack(...)
  local function call()
    if self:chance(3) then
      self:step("a callback")
    end
    if self:chance(6) then
      error(self:strange_error(), 0)
    elseif self:chance(8) then
      return self:value(), self:strange_error()
    end
    return table.unpack(results, 1, results.n)
  end
  return self:chance(5) and setmetatable({}, { __call = call }) or call
end

-- -- Judging --------------------------------------------------------------------------------------

--- Notes that the library has broken a promise, unless `ok`. In rounds without memory, or with
--- strangers who resume what is not theirs, only memory safety and the end of all waits count.
function Play:claim(ok, format, ...)
  if not ok and not self.lenient then
    local text = format:format(...)
    local trace = debug.traceback(("after operation %d: %s"):format(self.number, text), 2)
    io.stdout:write("wrong ", (trace:gsub("\n", "\nwrong   ")), "\n")
  end
  return ok
end

--- A wait's outcome is true (or a value), or nil and an error.
function Play:outcome(name, first, err, ...)
  self:claim(first ~= nil or err ~= nil, "%s returned nil without an error", name)
  return first, err, ...
end

-- -------------------------------------------------------------------------------------------------

--- A text for any object, also for one that cannot be printed.
local function text_of(object)
  if type(object) == "string" then
    return object
  end
  local ok, text = pcall(tostring, object)
  return ok and text or "(" .. type(object) .. " that cannot be printed)"
end

---@param seed integer
---@param operations table<string, fun(play: fuzz.Play)>
---@param classes table<string, { make: function?, retire: function? }>
local function new(seed, operations, classes)
  local play = setmetatable({
    seed = seed, random = random_of(seed), text = text_of, skipped = {}, kept = {},
    operations = operations, classes = classes, class_names = {}, deck = {},
    tallies = {}, number = 0, depth = 0, left = 0, began_ns = luv.hrtime(),
    root = ctx.background(),
  }, Play)
  for name in pairs(classes) do play.class_names[#play.class_names + 1] = name end
  table.sort(play.class_names)
  return play
end

return new
