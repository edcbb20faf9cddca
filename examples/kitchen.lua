-- SPDX-License-Identifier: MIT
--- A kitchen on a loopback socket, and a guest who orders three dishes with a budget of time. One
--- is served, one takes longer than its deadline, and one the guest cancels. The kitchen never
--- cooks for a guest who has left.
--
-- Usage: ./dev lua examples/kitchen.lua     (exits 0 only if each act went as it should)

local ctx = require("ctx")
local errors = require("ctx.errors")
local uv = require("luv")

-- Beside many parked tasks the generational collector, lua5.4's own choice, pauses for longer.
collectgarbage("incremental")

local COOKING_MS = { tea = 20, roast = 60000, cake = 60000 }
local BUDGET_MS = 5000
local started = ctx.now()

local function say(who, ...)
  io.write(("%6.0f ms  %-7s  %s\n"):format(ctx.now() - started, who, table.concat({ ... })))
end

--- A value for `<close>` that closes a luv handle.
local function closing(handle)
  return setmetatable({}, {
    __close = function()
      if not handle:is_closing() then
        handle:close()
      end
    end,
  })
end

-- ---- luv's calls with a context first ----------------------------------------------------------

local function connect(c, socket, port)
  return ctx.await(c, function(resolve)
    socket:connect("127.0.0.1", port, function(err)
      resolve(not err, err)
    end)
  end)
end

local function write(c, socket, text)
  return ctx.await(c, function(resolve)
    socket:write(text, function(err)
      resolve(not err, err)
    end)
  end)
end

--- One line; then goes on listening for the end, of which it tells `at_end`.
local function read_line(c, socket, at_end)
  return ctx.await(c, function(resolve)
    local text = ""
    socket:read_start(function(err, chunk)
      text = text .. (chunk or "")
      local line = text:match("^(.-)\n")
      if line then
        resolve(line)
      end
      if not chunk then
        resolve(nil, err or "end of file")
        at_end()
      end
    end)
  end)
end

-- ---- the kitchen: one task per guest -----------------------------------------------------------

local function serve(root, socket)
  local c, cancel <close> = ctx.with_cancel(root)
  local _ <close> = closing(socket)
  local dish = read_line(c, socket, function()
    cancel("the guest has left")
  end)
  local cooking_ms = COOKING_MS[dish]
  if not cooking_ms then
    return "nothing", "not on the menu"
  end
  say("kitchen", "cooks ", dish)
  if not ctx.sleep(c, cooking_ms) then
    say("kitchen", "stops cooking ", dish, ": ", tostring(c:cause()))
    return dish, "stopped"
  end
  write(c, socket, "a fine " .. dish .. "\n")
  return dish, "served"
end

--- Opens the kitchen until `c` is done. Returns its port and, as they come, the tasks of `serve`.
local function open_kitchen(c)
  local tasks = {}
  local server = uv.new_tcp()
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(8, function(err)
    local socket = uv.new_tcp()
    if err or not server:accept(socket) then
      return socket:close()
    end
    tasks[#tasks + 1] = ctx.go(serve, c, socket)
  end))
  ctx.after_func(c, function()
    server:close()
  end)
  return server:getsockname().port, tasks
end

-- ---- the guest ---------------------------------------------------------------------------------

local function order(c, port, dish)
  local socket = uv.new_tcp()
  local _ <close> = closing(socket)
  local ok, err = connect(c, socket, port)
  if ok then
    ok, err = write(c, socket, dish .. "\n")
  end
  if not ok then
    return nil, err
  end
  return read_line(c, socket, function() end)
end

--- Orders with a context of its own; `meanwhile(cancel)` may make up its mind.
local function guest(budget, port, dish, patience_ms, meanwhile)
  local c, cancel <close> = ctx.with_timeout(budget, patience_ms)
  say("guest", "orders ", dish, ", will wait for ", tostring(patience_ms), " ms")
  if meanwhile then
    ctx.go(meanwhile, c, cancel)
  end
  local answer, err = order(c, port, dish)
  say("guest", answer and "gets " .. answer or "gets no " .. dish .. ": " .. tostring(c:cause()))
  return answer, err
end

local function change_of_mind(c, cancel)
  ctx.sleep(c, 50)
  cancel("I would rather go for a walk")
end

-- ---- the three acts ----------------------------------------------------------------------------

local function main(root)
  local budget, cancel <close> = ctx.with_timeout(root, BUDGET_MS)
  local port, tasks = open_kitchen(root)
  local acts = {}

  local answer = guest(budget, port, "tea", 1000)
  acts[1] = answer == "a fine tea"

  local _, err = guest(budget, port, "roast", 100)
  acts[2] = errors.is(err, ctx.deadline_exceeded)

  _, err = guest(budget, port, "cake", 1000, change_of_mind)
  acts[3] = errors.is(err, ctx.canceled)

  -- What the kitchen has to say: it heard of both ends through the socket alone.
  local kitchen = {}
  for _, task in ipairs(tasks) do
    local dish, ending = task:wait(budget)
    kitchen[dish] = ending
  end
  acts[4] = kitchen.tea == "served" and kitchen.roast == "stopped" and kitchen.cake == "stopped"
  acts[5] = budget:err() == nil
  return acts
end

local acts = ctx.run(main)
uv.run() -- what was closed last is let go on one more turn; older luv needs that before it ends

local failed
for i, went_well in ipairs(acts) do
  if not went_well then
    failed = true
    say("demo", ("act %d did not go as it must"):format(i))
  end
end
if not failed then
  say("demo", "each act went as it must")
end
os.exit(failed and 1 or 0, true)
