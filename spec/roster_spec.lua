-- SPDX-License-Identifier: MIT
-- The connections of a server were the keys of a table: with 16 381 idle ones each that came and
-- went cost 1.3 ms, as Lua builds such a table anew for every key while nearly all its nodes are
-- taken. An array in which each knows its place costs the same at any number.
local cpu = require "spec.support.cpu"
local new_random = require "spec.support.random"
local roster = require "ctx.roster"

describe("a roster", function()
  local seed = os.time() % 1000000

  it("holds what was added and not removed (seed " .. seed .. ")", function()
    local random, list, model, size = new_random(seed), roster.new(), {}, 0
    local all = {}
    for i = 1, 50 do
      all[i] = { name = i }
    end
    for _ = 1, 5000 do
      local object = all[random(#all)]
      if model[object] then
        assert.is_true(list:remove(object))
        model[object], size = nil, size - 1
      else
        assert.is_false(list:remove(object))
        list:add(object)
        model[object], size = true, size + 1
      end
      assert.equal(size, list.size)
      local seen, n = {}, 0
      list:each(function(each)
        assert.is_nil(seen[each])
        seen[each], n = true, n + 1
      end)
      assert.equal(size, n)
      for each in pairs(model) do
        assert.is_true(seen[each])
      end
    end
  end)

  it("may lose each one when it is called (seed " .. seed .. ")", function()
    local random = new_random(seed)
    for _ = 1, 500 do
      local list, seen, left = roster.new(), {}, 0
      for i = 1, random(8) do
        list:add({ i })
      end
      local size = list.size
      list:each(function(object)
        assert.is_nil(seen[object])
        seen[object] = true
        if random(2) == 1 then
          list:remove(object)
        else
          left = left + 1
        end
      end)
      local n = 0
      for _ in pairs(seen) do
        n = n + 1
      end
      assert.same({ size, left }, { n, list.size })
    end
  end)

  it("costs the same beside any number", function()
    local function cost(beside)
      local list = roster.new()
      for _ = 1, beside do
        list:add({})
      end
      return cpu.least(20000, function()
        local object = {}
        list:add(object)
        list:remove(object)
      end)
    end
    cpu.at_most(10, function() return cost(10) end, function() -- it was 1000 times and more
      return cost((1 << 14) - 3)
    end)
  end)
end)
