-- SPDX-License-Identifier: MIT
--- Every wait that C has.
local core = require "ctx.core"
local ctx = require "ctx"

--- Each makes an object: returns what waits in it with a context, and what ends that wait.
return {
  ["c:wait"] = function(root)
    local c, cancel = ctx.with_cancel(root)
    return function() c:wait() return true end, cancel
  end,
  ["ctx.sleep"] = function()
    return function(c) return ctx.sleep(c, 5) end, function() end
  end,
  ["ctx.await"] = function(root)
    local resolves = {}
    return function(c)
      return ctx.await(c, function(resolve) resolves[#resolves + 1] = resolve end)
    end, function()
      ctx.go(function()
        ctx.sleep(root, 1)
        for _, resolve in ipairs(resolves) do resolve(true) end
      end)
    end
  end,
  ["t:wait"] = function(root)
    local gate, open = ctx.with_cancel(root)
    local task = ctx.go(function() gate:wait() return true end)
    return function(c) return task:wait(c) end, open
  end,
  ["semaphore:acquire"] = function(root)
    local s = core.semaphore(1)
    s:acquire(root)
    return function(c)
      local ok, err = s:acquire(c)
      if ok then s:release() end
      return ok, err
    end, function() s:release() end
  end,
  ["group:wait"] = function(root)
    local gate, open = ctx.with_cancel(root)
    local g = core.group()
    g:go(function() gate:wait() end)
    return function(c) return g:wait(c) end, open
  end,
  ["group:wait, with a context of the group's"] = function(root)
    local gate, open = ctx.with_cancel(root)
    local g <const> = core.group_with_context(root)
    g:go(function() gate:wait() end)
    return function(c) return g:wait(c) end, function()
      open()
      g:wait()
    end
  end,
  ["group:go"] = function(root)
    local gate, open = ctx.with_cancel(root)
    local g = core.group()
    g:set_limit(1)
    g:go(function() gate:wait() end)
    return function() return g:go(function() end) end, open
  end,
  ["queue:wait"] = function()
    local q, given = core.queue(), false
    return function(c)
      while not given do
        local err = select(2, q:wait(c, "queue:wait"))
        if err then return nil, err end
      end
      return true
    end, function()
      given = true
      while not q:empty() do q:wake() end
    end
  end,
}
