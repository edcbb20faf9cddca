-- SPDX-License-Identifier: MIT
--- A product page server over four services, each a process of its own, and what becomes of its
--- work when things go wrong: played in six acts, on loopback sockets.
---
--- Usage: demo.lua     (from the project: ./dev demo)
---
--- Exits 0 only if every act went as it must.
local folder = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. package.path

local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local errors = require "ctx.errors"
local client = require "client"
local stage = require "stage"

local SERVICES = {
  { name = "info", ms = 30 },
  { name = "reviews", ms = 80 },
  { name = "inventory", ms = 50 },
  { name = "recommendations", ms = 60 },
}

local say, expect = stage.say, stage.expect

-- -- The shop -----------------------------------------------------------------------------------

local function open_services(c, shop)
  for _, service in ipairs(SERVICES) do
    shop[service.name] = stage.start(c, folder .. "/backend.lua", service.name, service.ms)
  end
end

local function open_server(c, shop, cap)
  local args = {}
  for i, service in ipairs(SERVICES) do
    args[i] = shop[service.name].port
  end
  shop.server = stage.start(c, folder .. "/server.lua", args[1], args[2], args[3], args[4], cap)
end

local function close_services(c, shop)
  for _, service in ipairs(SERVICES) do
    shop[service.name].process:kill("sigterm")
    stage.finish(c, shop[service.name])
  end
end

local function mode(c, shop, service, text)
  assert(client.ask(c, shop[service].port, "mode " .. text))
end

--- Numbers from the stats line of a process: { started = 3, … }
local function stats(c, process)
  local numbers = {}
  for key, value in assert(client.ask(c, process.port, "stats")):gmatch("(%w+)=(%d+)") do
    numbers[key] = tonumber(value)
  end
  return numbers
end

--- Asks again until the numbers are as wanted; c is the patience.
local function await_stats(c, process, wanted)
  while true do
    local numbers = stats(c, process)
    if wanted(numbers) then
      return numbers
    end
    assert(ctx.sleep(c, 5))
  end
end

--- A page for one visitor: what came, and after how many ms.
local function visit(c, shop, id)
  local began = ctx.now()
  local page, err = client.ask(c, shop.server.port, "page " .. id)
  return page, err, ctx.now() - began
end

-- -- The acts -----------------------------------------------------------------------------------

local function all_well(c, shop)
  local page, err, ms = visit(c, shop, "7")
  say("visitor", page and "gets the page: " .. page or "gets no page: " .. tostring(err))
  expect(page and select(2, page:gsub("=", "")) == 4, "the page has all four parts")
  expect(ms < 1000, "it took about as long as the slowest service, not as all of them")
end

local function one_fails(c, shop)
  mode(c, shop, "info", "get fail 20")
  local before = stats(c, shop.reviews).cancelled
  local page, err = visit(c, shop, "8")
  say("visitor", "gets no page: " .. tostring(err))
  expect(not page and tostring(err):find("product info: ", 1, true), "the error names the service")
  local after = await_stats(c, shop.reviews, function(s) return s.cancelled > before end)
  say("reviews", "stopped working on it (", after.cancelled, " cancelled)")
  mode(c, shop, "info", "get ok 30")
end

local function one_hangs(c, shop)
  mode(c, shop, "inventory", "get hang")
  local page, err, ms = visit(c, shop, "9")
  say("visitor", ("gets no page after %.0f ms: %s"):format(ms, tostring(err)))
  expect(not page and tostring(err):find("deadline exceeded", 1, true), "the budget ended it")
  expect(ms >= 1900 and ms < 4000, "after 2 s, the budget")
  await_stats(c, shop.inventory, function(s) return s.cancelled > 0 end)
  say("inventory", "hangs no longer: its caller has gone")
  mode(c, shop, "inventory", "get ok 50")
end

local function visitor_leaves(c, shop)
  mode(c, shop, "info", "get hang")
  local before = {}
  for _, service in ipairs(SERVICES) do
    before[service.name] = stats(c, shop[service.name])
  end
  local visitor, leave = ctx.with_cancel(c)
  local page = ctx.go(visit, visitor, shop, "10")
  await_stats(c, shop.info, function(s) return s.started > before.info.started end)
  say("visitor", "closes the browser")
  leave(errors.new("closed the browser"))
  page:wait()
  await_stats(c, shop.info, function(s) return s.cancelled > before.info.cancelled end)
  await_stats(c, shop.server, function(s) return s.open == 0 end)
  say("info", "stopped working on it, and so did the server")
  mode(c, shop, "info", "get ok 30")
end

local function sigterm_under_load(c, shop)
  local VISITORS = 30
  mode(c, shop, "reviews", "get ok 400")
  local group <close>, gctx = errgroup.with_context(c)
  local answered = 0
  for i = 1, VISITORS do
    group:go(function()
      local page, err = visit(gctx, shop, "load" .. i)
      answered = answered + (page and 1 or 0)
      return page, err
    end)
  end
  await_stats(c, shop.server, function(s) return s.open == VISITORS end)
  say("demo", "SIGTERM, with ", VISITORS, " visitors waiting")
  shop.server.process:kill("sigterm")
  local ok, err = group:wait()
  say("visitors", answered, " of ", VISITORS, " got their page")
  expect(ok and answered == VISITORS, "nothing was lost: " .. tostring(err))
  expect(stage.finish(c, shop.server) == 0, "the server ended with 0")
  local refused, why = visit(c, shop, "late")
  expect(not refused, "and takes nobody in any more")
  say("visitor", "who is late gets no page: ", tostring(why))
  mode(c, shop, "reviews", "get ok 80")
end

local function overload(c, shop)
  local VISITORS, CAP = 40, 4
  mode(c, shop, "recommendations", "warm ok 9000")
  open_server(c, shop, CAP)
  local group <close>, gctx = errgroup.with_context(c)
  for i = 1, VISITORS do
    group:go(visit, gctx, shop, "crowd" .. i)
  end
  local ok, err = group:wait()
  local s = stats(c, shop.server)
  say("server", s.prefetched, " prefetches begun, ", s.shed, " shed, ", s.prefetching, " running")
  expect(ok, "every visitor got the page all the same: " .. tostring(err))
  expect(s.prefetched + s.shed == VISITORS and s.shed >= VISITORS - CAP, "the rest was shed")
  expect(s.prefetching <= CAP, "never more than the cap at a time")
  shop.server.process:kill("sigterm")
  expect(stage.finish(c, shop.server) == 0, "the server ended with 0")
end

local ACTS = {
  { "all well", all_well },
  { "a service fails: its siblings stop", one_fails },
  { "a service hangs: the deadline ends it", one_hangs },
  { "the visitor leaves: the work stops", visitor_leaves },
  { "SIGTERM under load: drained, nothing lost", sigterm_under_load },
  { "overload, in a second run: prefetches are shed", overload },
}

local failed = ctx.run(function(root)
  local c, cancel <close> = ctx.with_timeout(root, 60000)
  local shop = {}
  open_services(c, shop)
  open_server(c, shop, 256)
  for i, act in ipairs(ACTS) do
    stage.act(i, act[1], act[2], c, shop)
  end
  close_services(c, shop)
  return stage.failed()
end)
os.exit(failed == 0 and 0 or 1, true)
