-- SPDX-License-Identifier: MIT
--- What a program may do to the library besides calling it: collect at any allocation, run out of
--- memory, end handles under it, resume and close coroutines that wait, do anything in finalizers,
--- hooks and luv's callbacks, and pass arguments of any kind.
local core = require "ctx.core"
local luv = require "luv"

local trouble = {}

local found, alloc = pcall(require, "alloc") -- lua-static has it, other interpreters do not

-- -- Memory ---------------------------------------------------------------------------------------

local Memory = {}
Memory.__index = Memory

--- The trouble with memory of one round. `kind`: "plenty", "deep", "collect" (a collection at many
--- allocations) or "shortage" (allocations fail, but none of luv's, which could not bear it).
function trouble.memory(kind)
  local self = setmetatable({ kind = found and kind or "plenty" }, Memory)
  if self.kind == "shortage" then
    self.shortage = require "spec.support.shortage"
    self.shortage.spare_luv()
    self.once = self.shortage.armed(alloc.fail_once)
    self.after = self.shortage.armed(alloc.fail_after)
  end
  return self
end

--- Before each operation.
function Memory:arm(play)
  if self.kind == "collect" and play:chance(4) then
    alloc.collect(play:pick { 0, 1, 7, 50 })
  elseif self.kind == "shortage" and play:chance(3) then
    local fail = play:chance(2) and self.once or self.after
    self.armed = true
    fail(play.random(play:pick { 10, 100, 1000 }))
  end
end

--- Before whatever the round does for itself: there is memory.
function Memory:calm()
  if self.kind == "collect" then
    alloc.collect(0)
  elseif self.armed then
    self.armed = false
    self.shortage.over()
  end
end

--- Lets shortages end with a call.
local function calmed(self, ...)
  self:calm()
  return ...
end

--- As pcall; and there is memory when it returns, even if fn let it run short.
function Memory:call(fn, ...)
  return calmed(self, (found and alloc.call or pcall)(fn, ...))
end

-- -- Operations -----------------------------------------------------------------------------------

local operations = {}
trouble.operations = operations

--- Garbage whose finalizer does any operation. Where it waits, it is told that it cannot.
operations["trouble.finalizer"] = function(play)
  for _ = 1, play.random(3) do
    setmetatable({}, { __gc = function() play:step("a finalizer") end })
  end
  if play:chance(3) then
    collectgarbage()
  end
end

--- A coroutine that is no task.
operations["trouble.coroutine"] = function(play)
  local thread = coroutine.create(function()
    play:step("a coroutine")
    coroutine.yield("its own")
    play:step("a coroutine")
  end)
  play:keep("thread", thread)
  assert(coroutine.resume(thread))
end

operations["trouble.generator"] = function(play)
  for _ in coroutine.wrap(function()
    play:step("a generator")
    coroutine.yield(1)
    play:step("a generator")
  end) do
    if play:chance(2) then
      break
    end
  end
end

--- Resumes or closes a coroutine that waits for something else. Of tasks only where the round
--- bears that.
operations["trouble.stranger"] = function(play)
  local thread = play:need("thread")
  if coroutine.status(thread) ~= "suspended" then
    return
  elseif play:chance(2) then
    coroutine.close(thread)
  else
    coroutine.resume(thread, play:value(), play:value())
  end
end

operations["trouble.yield"] = function()
  coroutine.yield(1, 2, 3)
end

operations["trouble.hook"] = function(play)
  debug.sethook(function()
    debug.sethook()
    play:step("a hook")
  end, play:pick { "c", "r", "l", "" }, 1 + play.random(500))
end

--- As many C calls deep as Lua bears, or nearly.
operations["trouble.deep"] = function(play)
  local levels = play.trouble.kind ~= "deep" and 20 or play:pick { 150, 185, 190, 195, 197 }
  local function deeper(n)
    if n == 0 then
      play:step("nested calls")
      collectgarbage()
      return "x"
    end
    return (("x"):gsub("x", function() return deeper(n - 1) end))
  end
  deeper(levels)
end

--- Runs out of stack, with an operation near the end of it.
operations["trouble.overflow"] = function(play)
  if play.trouble.kind ~= "deep" then
    return
  end
  local at = play:pick { 100, 190000 // 3, 199000 // 3 }
  local function deeper(n, a, b)
    if n == at then
      play:step("a deep stack")
    end
    return 1 + deeper(n + 1, b, a)
  end
  pcall(deeper, 1, 2, 3)
end

operations["trouble.places"] = function(play) -- that cannot wait
  local list = { 3, 1, 2 }
  if play:chance(2) then
    table.sort(list, function(a, b) play:step("a comparison") return a < b end)
  else
    tostring(setmetatable({}, { __tostring = function() play:step("__tostring") return "x" end }))
  end
end

operations["trouble.close"] = function(play)
  local _ <close> = setmetatable({}, { __close = function() play:step("__close") end })
  if play:chance(2) then
    error(play:strange_error(), 0)
  end
end

operations["trouble.collect"] = function(play)
  collectgarbage(play:pick { "collect", "step", "incremental", "generational", "collect" })
end

--- Lets go of what a call has given.
local function release(name, result)
  if type(result) == "table" and type(result.close) == "function" then
    result:close()
  elseif name:find("fs_open$") or name:find("fs_mkstemp$") then
    luv.fs_close(result)
  elseif name:find("fs_opendir$") then
    luv.fs_closedir(result)
  end
end

--- Any public function or method with any arguments.
operations["trouble.nonsense"] = function(play)
  local declared = play.declared[play:pick(play.nonsense_names[play.names])]
  local fn, self
  if declared.method then
    self = play:one(declared.class)
    fn = self and self[declared.key]
  else
    fn = require(declared.module)[declared.key]
  end
  local arguments = { n = play.random(4) }
  for i = 1, arguments.n do
    arguments[i] = play:value()
  end
  local result
  if declared.method and not play:chance(8) then
    result = fn(self, table.unpack(arguments, 1, arguments.n))
  else
    result = fn(table.unpack(arguments, 1, arguments.n))
  end
  if result then
    release(declared.name, result)
  end
end

-- -- luv ------------------------------------------------------------------------------------------

operations["trouble.luv_timer"] = function(play)
  local timer = luv.new_timer()
  timer:start(play.random(5), 0, function()
    if not timer:is_closing() then
      timer:close()
    end
    play:step("luv's callback")
  end)
end

--- The handles that keep signals from ending the process stay.
local function may_close(play, handle)
  return not handle:is_closing() and handle ~= core.shared("ctx.signal").pipe
    and not play.own[handle]
end

--- Closes some of luv's handles, or all: the library's own, too.
operations["trouble.walk"] = function(play)
  if not play:chance(play.walks and 2 or 20) then
    return
  end
  local all = play:chance(2)
  luv.walk(function(handle)
    if may_close(play, handle) and (all or play:chance(4)) then
      handle:close()
    end
  end)
end

operations["trouble.close_handle"] = function(play)
  local object = play:need(play:pick { "ctx.uv.Stream", "ctx.uv.Listener", "ctx.uv.Udp" })
  local handle = object:handle()
  if handle and not handle:is_closing() then
    handle:close()
  end
end

return trouble
