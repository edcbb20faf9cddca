-- SPDX-License-Identifier: MIT
--- Serves requests of one line each, every one on a connection of its own, with a context that ends
--- when the client leaves.
local ctx = require "ctx"
local errors = require "ctx.errors"

local requests = {
  --- The cause of a request's context whose client hung up.
  CLIENT_GONE = errors.new("client gone"),
}

local READ_MS = 5000 -- a client that says nothing for so long is not waited for

--- Nothing more is expected from the client: what can come is the end.
local function watch(connection, request, cancel)
  local chunk = connection:read(request)
  if not chunk and not request:err() then
    cancel(requests.CLIENT_GONE)
  end
end

local function read_request(c, connection)
  local patience, cancel <close> = ctx.with_timeout(c, READ_MS)
  return connection:read_line(patience)
end

--- One connection: reads the line, answers it with answer(request, line), and closes.
---@param c ctx.Context
---@param connection ctx.uv.Stream
---@param answer fun(request: ctx.Context, line: string): string
function requests.handle(c, connection, answer)
  local _ <close> = connection
  local line = read_request(c, connection)
  if not line then
    return
  end
  local request, cancel <close> = ctx.with_cancel(c)
  local watcher = ctx.go(watch, connection, request, cancel)
  local reply = answer(request, line)
  if not request:err() then
    connection:write(request, reply .. "\n")
  end
  cancel()
  watcher:wait()
end

--- Accepts until the listener is closed or c is done; start(connection) is to handle each.
---@param c ctx.Context
---@param listener ctx.uv.Listener
---@param start fun(connection: ctx.uv.Stream)
function requests.accept(c, listener, start)
  while true do
    local connection = listener:accept(c)
    if not connection then
      return
    end
    start(connection)
  end
end

return requests
