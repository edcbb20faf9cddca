-- SPDX-License-Identifier: MIT
--- A shop of six processes, a gateway before a product service before four services, and what
--- becomes of their work when things go wrong: played in seven acts over HTTP on loopback sockets.
---
--- Usage: demo.lua [--open]     (from the project: ./dev demo)
---   --open: plays nothing, but keeps the shop open until ^C, for a curl of yours
---
--- Needs curl, and wrk for one act. Exits 0 only if every act went as it must.
local folder = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = folder .. "/?.lua;" .. package.path

local cjson = require "cjson"
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
local http = require "ctx.http"
local signal = require "ctx.signal"
local stage = require "stage"
local uv = require "ctx.uv"

if #arg > 1 or arg[1] and arg[1] ~= "--open" then
  io.stderr:write("usage: demo.lua [--open]\n")
  os.exit(2)
end

local SERVICES = {
  { name = "info", ms = 30 },
  { name = "reviews", ms = 80 },
  { name = "inventory", ms = 50 },
  { name = "recommendations", ms = 60 },
}

local PATIENCE_MS = 30000 -- for each act

local say, expect = stage.say, stage.expect

-- -- The shop -------------------------------------------------------------------------------------

local function open_services(shop)
  for _, service in ipairs(SERVICES) do
    local name = service.name
    shop[name] = stage.start(shop.open, name, folder .. "/backend.lua", name, service.ms)
  end
end

local function open_product(shop, cap)
  shop.product = stage.start(shop.open, "product", folder .. "/product.lua", shop.info.port,
    shop.reviews.port, shop.inventory.port, shop.recommendations.port, cap)
end

local function open_gateway(shop)
  shop.gateway = stage.start(shop.open, "gateway", folder .. "/gateway.lua", shop.product.port)
end

--- Waits until a player has ended, and tells how.
local function finish(c, shop, name)
  local record = stage.await(c, shop[name], function(it) return it.event == "ended" end)
  say(name, ("has ended: %s, drained in %.0f ms"):format(record.why, record.drain_ms))
  expect(stage.finish(c, shop[name]) == 0, name .. " ended well")
end

local function close(c, shop, name)
  shop[name].process:kill("sigterm")
  finish(c, shop, name)
end

--- What a service does from now on: ok, fail, hang.
local function mode(c, shop, name, kind, how, ms)
  local url = ("%s/mode/%s?how=%s&ms=%d"):format(shop[name].url, kind, how, ms or 0)
  assert(assert(http.request(c, { method = "PUT", url = url })).status == 200)
end

--- A page for one visitor, who is known by the id of the request.
local function visit(c, shop, id)
  local began = ctx.now()
  local page, err = http.get(c, shop.gateway.url .. "/products/" .. id,
    { headers = { ["X-Request-ID"] = id } })
  return page, err, ctx.now() - began
end

--- What a player logs at the begin, or at the end, of the request with this id.
local function begins(id)
  return function(record) return record.event == "begins" and record.request_id == id end
end

local function ends(id)
  return function(record) return record.event == nil and record.request_id == id end
end

--- Waits until all these have ended their work on it, and tells how.
local function tell_ends(c, shop, id, ...)
  local records = {}
  for _, name in ipairs({ ... }) do
    local record = stage.await(c, shop[name], ends(id))
    local status = record.status and ("%d"):format(record.status) or "no answer"
    say(name, ("%s %s: %s after %.0f ms%s"):format(record.method, record.path, status, record.ms,
      record.cause and ", " .. record.cause or ""))
    records[name] = record
  end
  return records
end

-- -- The acts -------------------------------------------------------------------------------------

local EVERYBODY = { "gateway", "product", "info", "reviews", "inventory", "recommendations" }

--- curl's output for these arguments, as a visitor would type them.
local function curl(c, ...)
  say("visitor", "curl ", table.concat({ ... }, " "))
  local result = assert(uv.spawn(c, "curl", { args = { ... }, stdout = "pipe" }))
  return result.stdout, result.code
end

local function all_well(c, shop)
  for _, path in ipairs({ "/healthz", "/readyz" }) do
    local answer = curl(c, "-s", shop.gateway.url .. path)
    say("gateway", "is ", (answer:gsub("\n$", "")))
    expect(answer:find("^%l+\n$"), path .. " answers")
  end
  local text = curl(c, "-s", "-H", "X-Request-ID:7", shop.gateway.url .. "/products/7")
  say("visitor", "gets ", text)
  local parts = 0
  for _, part in pairs(cjson.decode(text)) do
    parts = parts + (part.id == "7" and 1 or 0)
  end
  expect(parts == 4, "the page has all four parts")
  local records = tell_ends(c, shop, "7", table.unpack(EVERYBODY))
  local trace = records.gateway.trace_id
  say("demo", "all in one trace, ", trace)
  for name, record in pairs(records) do
    expect(trace and record.trace_id == trace, name .. " is in the gateway's trace")
  end
  local left = stage.await(c, shop.info, begins("7")).left
  say("demo", ("of the gateway's 5 s, info had %.0f ms"):format(left))
  expect(left < 2000, "the budget came down to the last service")
end

local function one_fails(c, shop)
  mode(c, shop, "info", "items", "fail", 20)
  mode(c, shop, "reviews", "items", "hang")
  local page = assert(visit(c, shop, "8"))
  say("visitor", "gets ", page.status, ": ", page.body:match("[^\n]*"))
  expect(page.status == 502 and page.body == "product info has failed\n", "it names the service")
  local records = tell_ends(c, shop, "8", "info", "reviews", "product")
  say("product", "noted: ", records.product.error)
  expect(records.product.error:find("product info: 503 out of order", 1, true), "and its error")
  expect(records.reviews.cause == tostring(http.client_gone), "reviews hung, and was stopped")
  mode(c, shop, "info", "items", "ok", 30)
  mode(c, shop, "reviews", "items", "ok", 80)
end

local function one_hangs(c, shop)
  mode(c, shop, "inventory", "items", "hang")
  local page, _, ms = assert(visit(c, shop, "9"))
  say("visitor", ("gets %d after %.0f ms: %s"):format(page.status, ms, page.body:match("[^\n]*")))
  expect(page.status == 504 and page.body == "inventory took too long\n", "it names the service")
  local records = tell_ends(c, shop, "9", "inventory", "product", "gateway")
  expect(records.product.cause == tostring(http.request_timeout), "the budget ended it")
  expect(records.product.ms >= 2000 and not records.gateway.cause, "that of the product service")
  mode(c, shop, "inventory", "items", "ok", 50)
end

local function visitor_leaves(c, shop)
  for _, service in ipairs(SERVICES) do
    mode(c, shop, service.name, "items", "hang")
  end
  local url = shop.gateway.url .. "/products/10"
  say("visitor", "curl -H X-Request-ID:10 ", url)
  local visitor = assert(uv.start(c, "curl", { args = { "-s", "-H", "X-Request-ID:10", url } }))
  for _, service in ipairs(SERVICES) do
    stage.await(c, shop[service.name], begins("10"))
  end
  say("visitor", "^C")
  visitor:kill("sigint")
  visitor:wait(c)
  visitor:close()
  local records = tell_ends(c, shop, "10", table.unpack(EVERYBODY))
  for name, record in pairs(records) do
    expect(record.cause == tostring(http.client_gone), name .. " stopped since nobody waited")
  end
  for _, service in ipairs(SERVICES) do
    mode(c, shop, service.name, "items", "ok", service.ms)
  end
end

local function sigterm_with_visitors(c, shop)
  local VISITORS = 30
  mode(c, shop, "reviews", "items", "ok", 300)
  local group <close>, gctx = errgroup.with_context(c)
  local answered = 0
  for i = 1, VISITORS do
    group:go(function()
      local page, err = visit(gctx, shop, "crowd-" .. i)
      answered = answered + (page and page.status == 200 and 1 or 0)
      return page, err
    end)
  end
  stage.await(c, shop.reviews, function(record)
    return record.event == "begins" and record.request_id:find("^crowd%-")
  end, VISITORS)
  say("demo", "SIGTERM, with ", VISITORS, " visitors waiting")
  shop.gateway.process:kill("sigterm")
  local ok, err = group:wait()
  say("visitors", answered, " of ", VISITORS, " got their page")
  expect(ok and answered == VISITORS, "nothing was lost: " .. tostring(err))
  finish(c, shop, "gateway")
  local late, why = visit(c, shop, "late")
  expect(not late, "and takes nobody in any more")
  say("visitor", "a late visitor gets no page: ", tostring(why))
  mode(c, shop, "reviews", "items", "ok", 80)
end

--- wrk counts the pages that it got; the gateway's log says how many it has given away.
local function sigterm_under_wrk(c, shop)
  open_gateway(shop)
  local words = { "-t", "1", "-c", "30", "-d", "60s", shop.gateway.url .. "/products/load" }
  say("demo", "wrk ", table.concat(words, " "))
  local wrk = assert(uv.start(c, "wrk", { args = words, stdout = "pipe" }))
  local function given(record) return record.path == "/products/load" and record.status == 200 end
  stage.await(c, shop.gateway, given, 100)
  say("demo", "SIGTERM, under load")
  close(c, shop, "gateway")
  wrk:kill("sigint") -- it says what it has, before its time
  local text = {}
  for chunk in function() return (wrk.stdout:read(c)) end do
    text[#text + 1] = chunk
  end
  wrk:close()
  text = table.concat(text)
  local got = math.tointeger(text:match("(%d+) requests in"))
  local pages = stage.count(shop.gateway, given)
  say("wrk", got, " pages have come, of ", pages, " that the gateway gave")
  expect(got == pages, "nothing was lost: " .. text)
  expect(stage.count(shop.gateway, function(it) return it.cause end) == 0, "and nothing was cut")
end

local function overload(c, shop)
  local VISITORS, CAP = 40, 4
  mode(c, shop, "recommendations", "warm", "hang")
  close(c, shop, "product")
  open_product(shop, CAP)
  open_gateway(shop)
  local group <close>, gctx = errgroup.with_context(c)
  for i = 1, VISITORS do
    group:go(function()
      local page, err = visit(gctx, shop, "much-" .. i)
      return page and page.status == 200, err or page.body
    end)
  end
  local ok, err = group:wait()
  expect(ok, "every visitor got the page all the same: " .. tostring(err))
  local counts = cjson.decode(assert(http.get(c, shop.product.url .. "/prefetches")).body)
  say("product", ("%d pages; %d prefetches begun, %d shed; at most %d at a time"):format(VISITORS,
    counts.begun, counts.shed, counts.most))
  expect(counts.begun + counts.shed == VISITORS and counts.shed > 0, "the rest was shed")
  expect(counts.most == CAP, "never more than the cap at a time")
end

local ACTS = {
  { "all well", all_well },
  { "a service fails: its siblings stop", one_fails },
  { "a service hangs: the deadline ends it", one_hangs },
  { "the visitor leaves: the work stops in all processes", visitor_leaves },
  { "SIGTERM with visitors waiting: drained, nothing lost", sigterm_with_visitors },
  { "the same under wrk", sigterm_under_wrk },
  { "overload: prefetches are shed", overload },
}

local function play(c, shop)
  for i, act in ipairs(ACTS) do
    if c:err() then
      return expect(false, "not all acts were played: " .. tostring(c:cause()))
    end
    local patience, cancel <close> = ctx.with_timeout(c, PATIENCE_MS)
    stage.act(i, act[1], act[2], patience, shop)
  end
end

--- For a visitor at the keyboard.
local function stay_open(c, shop)
  stage.verbose = true
  say("demo", "curl -i ", shop.gateway.url, "/products/7")
  for _, service in ipairs(SERVICES) do
    say("demo", "curl -X PUT '", shop[service.name].url, "/mode/items?how=hang'   (ok, fail)")
  end
  c:wait()
end

local failed = ctx.run(function(root)
  -- For the acts alone: the processes do not hear of ^C, and are closed in order after it.
  local c, stop <close> = signal.notify(root, "sigint", "sigterm")
  local shop = { open = root } -- the context of its processes
  open_services(shop)
  open_product(shop)
  open_gateway(shop)
  local fn = arg[1] == "--open" and stay_open or play
  fn(c, shop)
  print()
  local patience, cancel <close> = ctx.with_timeout(root, PATIENCE_MS)
  for _, name in ipairs(EVERYBODY) do
    close(patience, shop, name)
  end
  return stage.failed()
end)
print(failed == 0 and "\nAll went as it must. Read on in examples/storefront/gateway.lua."
  or ("\n%d went as they must not; see FAILED above."):format(failed))
os.exit(failed == 0 and 0 or 1, true)
