-- SPDX-License-Identifier: MIT
--- Groups of tasks that fail and stop together, after golang.org/x/sync/errgroup.
---
---     local g <close>, gctx = errgroup.with_context(c)
---     g:go(fetch, gctx, "a")
---     g:go(fetch, gctx, "b")
---     local ok, err = g:wait()
---
--- A task fails by raising, or by returning nil or false and an error. The first that fails cancels
--- the group's context, with its error as the cause. Leaving the scope of the group cancels it and
--- waits for its tasks, on every path.
local core = require "ctx.core"
local errors = require "ctx.errors"
local want = require "ctx.want"

---@class ctx.errgroup
local errgroup = {}

local FUNCTIONS = want.table_of("a table of functions", want.fn, want.something, "functions")

errgroup.with_context = core.group_with_context

errgroup.new = core.group

--- One task of collect: what it returns is stored, what it fails with begins with its name.
local function run(results, name, fn, gctx)
  local returned, value, err = errors.call(fn, gctx)
  if returned and (value or err == nil) then
    results[name] = value
    return nil
  end
  local failure = errors.wrap(returned and err or value, errors.describe(name))
  if not returned and err then
    failure.traceback = ("%s\n\tin %s, %s"):format(err, errors.describe(name), errors.place(fn))
  end
  return nil, failure
end

--- Runs all functions at once, each as fn(gctx), and collects what they return under their names.
--- The first that fails cancels the rest, and its error begins with its name. On a context that is
--- done no function is started.
---@async
---@param c ctx.Context
---@param functions table<any, fun(gctx: ctx.Context): any>
---@return table? results
---@return any? err  that of the first function that failed, behind its name; or that of c
function errgroup.collect(c, functions)
  want.context(c, "collect")
  FUNCTIONS(functions, "collect", 2)
  if c:done() then
    return nil, c:ended()
  end
  core.check_wait(c, "errgroup.collect")
  local results = {}
  local g <close>, gctx = errgroup.with_context(c)
  for name, fn in pairs(functions) do
    g:go(run, results, name, fn, gctx)
  end
  local ok, err = g:wait()
  if not ok then
    return nil, err
  end
  return results
end

return errgroup
