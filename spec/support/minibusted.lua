-- SPDX-License-Identifier: MIT
--- As much of busted as our specs use, in little memory: stress.lua runs each of them thousands of
--- times, and collects everything at each step of that.
---
---     local tests = minibusted.load("spec/value_spec.lua")
---     for _, test in ipairs(tests) do
---       test.prepare()  -- what comes once, before the first test of its block
---       test.run()      -- the test with its before_each hooks
---       test.clean()    -- its after_each hooks
---     end
---     minibusted.finish()
local minibusted = {}

-- -- assert ---------------------------------------------------------------------------------------

local function deep_equal(a, b)
  if rawequal(a, b) then
    return true
  elseif type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not deep_equal(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function raises(fn, expected)
  local ok, err = pcall(fn)
  return not ok and (expected == nil or deep_equal(err, expected))
end

--- Each answers whether its arguments are as the name says. What follows them is a message.
local checks = {
  equal = function(a, b) return a == b end,
  same = deep_equal,
  rawequal = rawequal,
  matches = function(pattern, text, init, plain)
    return type(text) == "string" and text:find(pattern, init, plain) ~= nil
  end,
  truthy = function(value) return value and true or false end,
  falsy = function(value) return not value end,
  error = raises,
}
checks.equals, checks.match, checks.errors = checks.equal, checks.matches, checks.error
for _, value in ipairs({ true, false }) do
  checks[tostring(value)] = function(got) return got == value end
end
for _, name in ipairs({ "nil", "string", "number", "table", "function", "userdata", "boolean" }) do
  checks[name] = function(got) return type(got) == name end
end

local filler = { is = true, are = true, has = true, have = true, was = true, does = true }

--- `assert.is_not.same` and its like: an object that takes the words apart as they come.
local function phrase(words, negated)
  return setmetatable({}, {
    __index = function(_, name)
      local left, no = words, negated
      for word in name:gmatch("[^_]+") do
        if word == "no" or word == "not" then
          no = not no
        elseif not filler[word] then
          left = left .. word
        end
      end
      return phrase(left, no)
    end,
    __call = function(_, ...)
      local check = checks[words]
      if not check then
        error("minibusted has no assert." .. words, 2)
      elseif check(...) == negated then
        error(("assert.%s%s: %s against %s"):format(negated and "not_" or "", words,
          tostring((...)), tostring((select(2, ...)))), 2)
      end
    end,
  })
end

local plain = assert
local asserts = setmetatable({}, {
  __call = function(_, ...) return plain(...) end,
  __index = function(self, name)
    local found = phrase("", false)[name]
    rawset(self, name, found)
    return found
  end,
})

-- -- describe and it ------------------------------------------------------------------------------

local block -- the describe that is being read
local blocks = {}

local function new_block(outer, name)
  local new = {
    outer = outer, name = outer and outer.name .. name .. " " or "",
    tests = outer and outer.tests or {},
    before_each = {}, after_each = {}, setup = {}, teardown = {},
  }
  blocks[#blocks + 1] = new
  return new
end

local function describe(name, fn)
  local outer = block
  block = new_block(outer, name)
  fn()
  block = outer
end

--- Calls the hooks of this kind of the block and all around it, the outermost first.
local function call_hooks(b, kind)
  if b then
    call_hooks(b.outer, kind)
    for _, hook in ipairs(b[kind]) do
      hook()
    end
  end
end

--- Does what comes once, before the first test of a block.
local function set_up(b)
  if b and not b.ready then
    set_up(b.outer)
    b.ready = true
    for _, hook in ipairs(b.setup) do
      hook()
    end
  end
end

local function clean_up(b)
  while b do
    for _, hook in ipairs(b.after_each) do
      pcall(hook)
    end
    b = b.outer
  end
end

local function it(name, fn)
  local own = block
  own.tests[#own.tests + 1] = {
    name = own.name .. name,
    prepare = function() set_up(own) end,
    run = function()
      call_hooks(own, "before_each")
      fn()
    end,
    --- The after_each hooks; what these raise after a test that was cut short says nothing.
    clean = function() clean_up(own) end,
  }
end

local function hook_adder(kind)
  return function(fn)
    block[kind][#block[kind] + 1] = fn
  end
end

local words = {
  describe = describe, context = describe, insulate = describe, expose = describe, it = it,
  pending = function() end, assert = asserts,
  before_each = hook_adder("before_each"), after_each = hook_adder("after_each"),
  setup = hook_adder("setup"), teardown = hook_adder("teardown"),
  lazy_setup = hook_adder("setup"), lazy_teardown = hook_adder("teardown"),
}

--- Reads a spec file: the list of its tests, none of which has run.
---@param path string
function minibusted.load(path)
  for word, meaning in pairs(words) do
    _G[word] = meaning
  end
  block = new_block(nil, "")
  local top = block
  plain(loadfile(path))(path)
  return top.tests
end

--- Undoes what came once.
function minibusted.finish()
  for i = #blocks, 1, -1 do
    if blocks[i].ready then
      for _, hook in ipairs(blocks[i].teardown) do
        hook()
      end
    end
  end
end

return minibusted
