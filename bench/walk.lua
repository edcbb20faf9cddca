-- SPDX-License-Identifier: MIT
-- The walk of one HTTP request through the library, from the socket to the handler and back: which
-- Lua files it enters, and how many calls of Lua functions it makes there.
--
--   ./dev lua bench/walk.lua [--calls]
--
-- It is a request on a kept connection, the third one, so that what is made once is there. The
-- client is luv's own. With --calls it lists each call, too.

local core = require "ctx.core"
local go = core.go

local counting, calls, order, files = false, {}, {}, {}
local entered, last, returns = 0, nil, 0

local function note(event)
  local info = counting and debug.getinfo(2, "S")
  local file = info and info.source:match("^@.*lua/(ctx/.*)$")
  if not file then
    return
  elseif event == "return" then
    returns = returns + 1
    return
  end
  if file ~= last then
    entered, last = entered + 1, file
  end
  if not files[file] then
    files[file] = 0
    order[#order + 1] = file
  end
  files[file] = files[file] + 1
  calls[#calls + 1] = ("%s:%d"):format(file, info.linedefined)
end

-- A coroutine has a hook of its own.
core.go = function(fn, ...)
  return go(function(...)
    debug.sethook(note, "cr")
    return fn(...)
  end, ...)
end

local ctx = require "ctx"
local http = require "ctx.http"
local luv = require "luv"

local REQUEST = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"

--- A request and its whole answer.
local function ask(c, client)
  ctx.await(c, function(resolve)
    client:read_start(function(_, bytes)
      assert(bytes, "no answer")
      counting = false
      client:read_stop()
      resolve()
    end)
    client:write(REQUEST)
  end)
end

ctx.run(function(root)
  local server <close> = http.server {
    request_timeout = 5000,
    handler = function(req, res)
      return res:finish(req.ctx, "hello, world\n")
    end,
  }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local client = luv.new_tcp()
  ctx.await(root, function(resolve)
    client:connect("127.0.0.1", server:address().port, resolve)
  end)
  ask(root, client)
  ask(root, client)
  -- The main thread runs luv's callbacks.
  ctx.await(root, function(resolve)
    local idle = luv.new_idle()
    idle:start(function()
      idle:close()
      debug.sethook(note, "cr")
      resolve()
    end)
  end)
  counting = true
  ask(root, client)
  client:close()
end)

debug.sethook()
table.sort(order)
for _, file in ipairs(order) do
  print(("%5d  %s"):format(files[file], file))
end
if arg[1] == "--calls" then
  print(table.concat(calls, "\n"))
end
print(("%d calls and %d returns in %d files; a file is entered %d times"):format(#calls, returns,
  #order, entered))
