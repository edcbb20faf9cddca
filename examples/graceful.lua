-- SPDX-License-Identifier: MIT
--- A server that loses nothing when it is told to stop. It answers lines on a loopback port, and
--- a worker writes down each answer. SIGINT or SIGTERM starts a shutdown in phases.
--
-- Usage: ./dev lua examples/graceful.lua [--work MS] [--stuck] [--alone]
--   --work MS  how long each answer takes (200)
--   --stuck    has a worker that listens to nobody: force has to end it
--   --alone    plays its own client and sends itself a SIGTERM; so it runs without arguments, too
-- Exits 0 only if the shutdown was clean and everything that was answered has been written down.

local ctx = require("ctx")
local shutdown = require("ctx.shutdown")
local uv = require("luv")

collectgarbage("incremental")

local options = { work = 200 }
for i, word in ipairs(arg) do
  if word == "--work" then
    options.work = tonumber(arg[i + 1])
  elseif word:find("^%-%-") then
    options[word:sub(3)] = true
  end
end
options.alone = options.alone or #arg == 0

local function say(...)
  io.write(table.concat({ ... }), "\n")
  io.flush()
end

local open, answered, written = {}, 0, 0
local journal = {}

--- Answers one line after the time that it takes, also while the server drains.
local function answer(c, socket, line)
  open[socket] = true
  say("asked: ", line)
  if ctx.sleep(c, options.work) then
    socket:write("answer to " .. line .. "\n")
    answered = answered + 1
    journal[#journal + 1] = line
  end
  socket:shutdown(function() socket:close() end)
  open[socket] = nil
end

local function listen(s)
  local server = uv.new_tcp()
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(64, function(err)
    local socket = uv.new_tcp()
    if err or not server:accept(socket) then
      return socket:close()
    end
    socket:read_start(function(_, chunk)
      socket:read_stop()
      if not chunk then
        return socket:close()
      end
      ctx.go(answer, s:context(), socket, (chunk:gsub("%s+$", "")))
    end)
  end))
  return server
end

--- Writes down what was answered, and on the soft cancel what is left. It derives from the root:
--- a hard cancel before the drain would lose lines.
local function write_journal(c)
  repeat
    ctx.sleep(c, 20)
    written, journal = written + #journal, {}
  until c:done()
end

--- The client of --alone: three requests, and in the middle of them the signal.
local function client(root, port)
  for i = 1, 3 do
    local socket = uv.new_tcp()
    socket:connect("127.0.0.1", port, function()
      socket:write("question " .. i .. "\n")
      socket:read_start(function(_, chunk)
        if not chunk then socket:close() end
      end)
    end)
  end
  ctx.sleep(root, options.work / 2)
  uv.kill(uv.os_getpid(), "sigterm")
end

local function main(root)
  local s <close> = shutdown.new(root, { delay = 20, timeouts = { drain = 5000, wait = 300 } })
  local server = listen(s)
  s:on("stop", "listener", function()
    server:close()
    say("accepts no more")
  end)
  s:on("drain", "requests", function(c)
    while next(open) do
      local ok, err = ctx.sleep(c, 5)
      if not ok then return nil, err end
    end
  end)
  s:go(write_journal)
  if options.stuck then
    s:go(function() ctx.sleep(ctx.background(), math.huge) end)
  end
  local port = server:getsockname().port
  say("serving on ", tostring(port))
  if options.alone then
    ctx.go(client, root, port)
  end
  return s:run()
end

local report = ctx.run(main)
say(tostring(report))
say(("%d answered, %d written down"):format(answered, written))
os.exit(report.clean and answered == written and 0 or 1, true)
