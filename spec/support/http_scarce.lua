-- SPDX-License-Identifier: MIT
--- A program for lua-static. A server has requests of several kinds, and its allocations
--- fail in turn: alone, or with all that follow for a while. Each client must see an answer or the
--- end of its connection, the server must forget it, and must end itself. Prints what went on
--- without end or stayed open, and how often memory was short. Arguments: a case, or "" for all;
--- a seed, or 1.
local shortage = require "spec.support.shortage"
shortage.spare_luv()
shortage.reach_callbacks()

local alloc = require "alloc"
local core = require "ctx.core"
local ctx = require "ctx"
local handles = require "ctx.testing.handles"
local http = require "ctx.http"
local luv = require "luv"

local PATIENCE_MS = 3000 -- for an event that must come
local MOST = 400         -- allocations of one exchange
local STEP = 9           -- each of so many fails, beginning with one at random
local BUSY_TURNS = 20    -- of the loop, in which memory is short
-- Known, and open: a task that waits in accept while memory is short from the begin of the
-- connection on may not hear of it until the next one comes. So the lasting shortage begins later.
local FIRST = { fail_once = 1, fail_after = 12 }

ctx.set_report(function() end)

local GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
local POST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"

local function echo(req, res)
  return res:finish(req.ctx, (req:body()))
end

local function slow(req, res)
  ctx.sleep(req.ctx, 1)
  return res:finish(req.ctx, "late")
end

local function fail(_, res, _, message)
  return res:finish(res.ctx, message)
end

-- Each: what the client sends, in pieces; the handler; how many answers come, when all goes well.
-- `leaves`: the client goes without one.
local cases = {
  get = { sends = { GET }, answers = 1, handler = slow },
  ["body in pieces"] = { sends = { POST .. "\r\nab", "cd", "e" }, answers = 1, handler = echo },
  ["continue"] = { sends = { POST .. "Expect: 100-continue\r\n\r\n", "abcde" }, answers = 1,
    handler = echo },
  pipelined = { sends = { GET .. GET .. GET, GET }, answers = 4, handler = slow },
  ["handler raises"] = { sends = { GET, GET }, answers = 2, handler = function() error("x") end },
  ["no sense"] = { sends = { "what?\r\n\r\n" }, answers = 1, handler = echo },
  ["no sense, to failure"] = { sends = { "what?\r\n\r\n" }, answers = 1, handler = echo,
    options = { failure = fail } },
  ["no head in time"] = { sends = { "GET /" }, answers = 1, handler = echo,
    options = { read_header_timeout = 5 } },
  ["no body in time"] = { sends = { POST .. "\r\nab" }, answers = 1, handler = echo,
    options = { read_timeout = 5 } },
  ["idle too long"] = { sends = { GET }, answers = 2, handler = echo,
    options = { idle_timeout = 5 } },
  ["body nobody reads"] = { sends = { POST .. "\r\nab", "cde", GET }, answers = 2, handler = slow },
  leaves = { sends = { GET }, answers = 1, leaves = true,
    handler = function(req) return req.ctx:wait() end },
  ["leaves behind much"] = { sends = { GET, ("x"):rep(70000) }, answers = 1, leaves = true,
    handler = function(req) return req.ctx:wait() end },
  chunks = { sends = { GET }, answers = 1, handler = function(req, res)
    for _ = 1, 3 do res:write(req.ctx, "some") end
    return res:finish(req.ctx)
  end },
  hijacked = { sends = { GET }, answers = 1, handler = function(req)
    local stream <close> = assert(req:hijack())
    stream:write(req.ctx, "HTTP/1.1 101 x\r\n\r\n")
  end },
}

--- Turns the loop until it is so, or patience ends; whether it is.
local function until_true(fn)
  local deadline = luv.hrtime() + PATIENCE_MS * 1e6
  while not fn() do
    if luv.hrtime() > deadline then
      return false
    end
    luv.run("nowait")
    core.turn() -- the scheduler may have had no memory to ask the loop for one
  end
  return true
end

--- A client whose luv callbacks have memory: counts heads of answers, and sees the end.
local function new_client(port)
  local client = { heads = 0, text = "", over = false, handle = luv.new_tcp() }
  client.handle:connect("127.0.0.1", port, function(err)
    client.over, client.connected = err ~= nil, true
    if err then return end
    client.handle:read_start_spared(function(_, bytes)
      client.over = client.over or not bytes
      client.text = client.text .. (bytes or "")
      local text = client.text:gsub("HTTP/1.1 100 ", "")
      client.heads = select(2, text:gsub("HTTP/1.1 %d%d%d ", ""))
    end)
  end)
  return client
end

local function said(what, name, how, n)
  print(("left: %s: %s, with allocation %d %s failing"):format(name, what, n, how))
end

--- The client sends its pieces, each once the loop has turned for the one before.
local function send(client, case)
  for _, piece in ipairs(case.sends) do
    client.handle:write(piece)
    for _ = 1, 5 do luv.run("nowait") end
  end
  for _ = 1, BUSY_TURNS do luv.run("nowait") end
end

--- A handle that was not open before and stays so.
local function stays_open(before)
  local left
  until_true(function()
    left = nil
    for _, handle in ipairs(handles.list()) do
      if not before[handle] then left = handle end
    end
    return not left
  end)
  return left
end

--- One exchange with the n-th allocation failing; whether so many were made.
local function try(name, case, how, n)
  local raised, open = shortage.raised, {}
  for _, handle in ipairs(handles.list()) do open[handle] = true end
  local options = { handler = case.handler }
  for key, value in pairs(case.options or {}) do options[key] = value end
  local c, cancel = ctx.with_cancel(ctx.background())
  local server = http.server(options)
  assert(server:listen("127.0.0.1", 0))
  local serving = ctx.go(server.serve, server, c)
  for _ = 1, 3 do luv.run("nowait") end
  local client = new_client(server:address().port)
  shortage.armed(alloc[how])(n)
  for _ = 1, 3 do luv.run("nowait") end
  if until_true(function() return client.connected end) and not client.over then
    send(client, case)
  end
  local failed = shortage.over() >= n
  -- Without memory to call back, luv ends the program, and so the connections.
  local function lives()
    return shortage.raised == raised
  end
  if not case.leaves and lives() and not until_true(function()
    return client.over or client.heads >= case.answers
  end) then
    said(("a client that waits, with %d answers"):format(client.heads), name, how, n)
  end
  client.handle:close()
  if lives() and not until_true(function()
    local stats = server:stats()
    return stats.connections == 0 and stats.requests == 0
  end) then
    local stats = server:stats()
    said(("%d connections, %d requests"):format(stats.connections, stats.requests), name, how, n)
  end
  cancel()
  if not until_true(function() return serving:status() == "done"
    or serving:status() == "failed" end) then
    said("a server that goes on", name, how, n)
  end
  server:close()
  local left = stays_open(open)
  if left then said(tostring(left), name, how, n) end
  return failed
end

local seed = math.tointeger(arg[2]) or 1
math.randomseed(seed)
local names, total = {}, 0
for name in pairs(cases) do
  if (arg[1] or "") == "" or name == arg[1] then names[#names + 1] = name end
end
table.sort(names)
for _, name in ipairs(names) do
  try(name, cases[name], "fail_once", MOST) -- what is made once is made now
  for _, how in ipairs({ "fail_once", "fail_after" }) do
    local n = FIRST[how] + math.random(0, STEP - 1)
    local more = true
    while n < MOST and more do
      local ok
      ok, more = pcall(try, name, cases[name], how, n)
      if not ok then -- nor had this program any, behind a callback that raised
        alloc.reset()
        assert(more == "not enough memory", more)
        shortage.over()
      end
      total = total + 1
      n = n + STEP
    end
  end
end
print("over", total, "seed", seed)
