-- SPDX-License-Identifier: MIT
--- The shop's page server.
---
--- Usage: server.lua INFO REVIEWS INVENTORY RECOMMENDATIONS PREFETCH_CAP
---        (the ports of its services)  prints "listening PORT"; SIGTERM shuts it down in phases
---
---   page ID  → ok part=value; …     or error …
---   stats    → ok open=… prefetched=… shed=… prefetching=…
local ctx = require "ctx"
local shutdown = require "ctx.shutdown"
local uv = require "ctx.uv"
local waitgroup = require "ctx.waitgroup"
local prefetch = require "prefetch"
local product = require "product"
local requests = require "requests"

local ports = {}
for i, service in ipairs({ "info", "reviews", "inventory", "recommendations" }) do
  ports[service] = assert(math.tointeger(arg[i]), "a port for each service, please")
end

local open = 0 -- pages that are being made

local function render(page)
  local parts = {}
  for part, value in pairs(page) do
    parts[#parts + 1] = part .. "=" .. value
  end
  table.sort(parts)
  return "ok " .. table.concat(parts, "; ")
end

local function answer(prefetcher, request, line)
  local id = line:match("^page (%w+)$")
  if id then
    open = open + 1
    local page, err = product.page(request, ports, id)
    open = open - 1
    if not page then
      return "error " .. tostring(err):gsub("\n.*", "")
    end
    prefetcher:start(request, id)
    return render(page)
  elseif line == "stats" then
    return ("ok open=%d prefetched=%d shed=%d prefetching=%d")
      :format(open, prefetcher.started, prefetcher.shed, (prefetcher.places:held()))
  end
  return "error what is that?"
end

ctx.run(function(root)
  local s <close> = shutdown.new(root, { timeouts = { drain = 5000, wait = 2000 } })
  local listener <close> = assert(uv.listen("127.0.0.1", 0))
  local in_flight = waitgroup.new()
  local prefetcher = prefetch.new(ports.recommendations, tonumber(arg[5]) or 256, function(...)
    in_flight:go(...)
  end)
  s:on("stop", "listener", function()
    listener:close("the shop is closing")
  end)
  s:on("drain", "requests", function(c)
    return in_flight:wait(c)
  end)
  ctx.go(requests.accept, s:context(), listener, function(connection)
    in_flight:go(requests.handle, s:context(), connection, function(request, line)
      return answer(prefetcher, request, line)
    end)
  end)
  local port = listener:address().port
  print("listening " .. port)
  io.stdout:flush()
  print(s:run())
end)
