-- SPDX-License-Identifier: MIT
--- A program for lua-static. First it makes everything of ctx.uv that is a handle of luv's, or
--- a descriptor, and lets each allocation on the way fail once, the first, then the second, and so
--- on. Then a server has a request while all allocations fail from the n-th on; it must end. Prints
--- what stayed open or went on, and how often memory was short.
local shortage = require "spec.support.shortage"
shortage.spare_luv()

local aftermath = require "spec.fuzz.aftermath"
local alloc = require "alloc"
local ctx = require "ctx"
local handles = require "ctx.testing.handles"
local http = require "ctx.http"
local luv = require "luv"
local signal = require "ctx.signal"
local uv = require "ctx.uv"

local PATIENCE_MS = 3000 -- for what is closed to be gone
local MOST = 2000        -- allocations of one call
local REQUEST_TAKES = 250 -- allocations, at most

ctx.set_report(function() end)
local fail_once = shortage.armed(alloc.fail_once)

local folder = assert(luv.fs_mkdtemp(luv.os_tmpdir() .. "/ctx-XXXXXX"))
local listener = assert(uv.listen("127.0.0.1", 0))
local pipes = assert(uv.listen_pipe(folder .. "/one"))
local port = listener:address().port

local function pair()
  return assert(luv.socketpair(nil, nil, { nonblock = true }, { nonblock = true }))
end

--- Closes a descriptor that may have got an owner, who has closed it.
local function close_fds(fds)
  for _, fd in ipairs(fds) do
    luv.fs_close(fd)
  end
end

--- Closes what has been connected, if the call has got so far.
local function close_accepted(from)
  return function(c)
    local brief <const>, cancel <close> = ctx.with_timeout(c, 20)
    local left = from:accept(brief)
    if left then left:close() end
  end
end

-- Each gives what is to be closed. `before` makes what the call may have, while there is memory,
-- and `after` ends that.
local calls = {
  listen = { call = function() return uv.listen("127.0.0.1", 0, { reuseport = false }) end },
  listen_pipe = { call = function() return uv.listen_pipe(folder .. "/another") end },
  udp = { call = function() return uv.udp("127.0.0.1", 0) end },
  watch = { call = function() return uv.watch(folder) end },
  connect = {
    call = function(c) return uv.connect(c, "127.0.0.1", port, { bind = "127.0.0.1" }) end,
    after = close_accepted(listener),
  },
  connect_pipe = {
    call = function(c) return uv.connect_pipe(c, folder .. "/one") end,
    after = close_accepted(pipes),
  },
  accept = {
    before = function(c) return assert(uv.connect(c, "127.0.0.1", port)) end,
    call = function(c) return listener:accept(c) end,
    after = function(c, stream)
      close_accepted(listener)(c)
      stream:close()
    end,
  },
  poll = {
    before = pair,
    call = function(c, fds) uv.poll(c, fds[1], "w") end,
    after = function(_, fds) close_fds(fds) end,
  },
  start = {
    call = function(c)
      return uv.start(c, "true", { stdin = "pipe", stdout = "pipe", stderr = "pipe", grace = 0 })
    end,
  },
  spawn = { call = function(c) uv.spawn(c, "echo", { args = { "x" } }) end },
  work = { call = function(c) uv.work(c, function() return 1 end) end },
  notify = { call = function() return select(2, signal.notify(ctx.background(), "sigusr1")) end },
  serve_stream = {
    before = function()
      local fds = pair()
      local server = http.server { handler = function() return true end }
      return { uv.open(fds[1]), uv.open(fds[2]), server }
    end,
    call = function(_, made) made[3]:serve_stream(made[2]) end,
    after = function(_, made)
      made[1]:close()
      made[3]:close()
    end,
  },
}

local function close(object)
  if object then
    local _ <close> = object
  end
end

--- What is open now and was not.
local function more(open, descriptors)
  for _, handle in ipairs(handles.list()) do
    if not open[handle] then
      return tostring(handle)
    end
  end
  for kind, count in pairs(aftermath.descriptors()) do
    if count > (descriptors[kind] or 0) then
      return ("%d descriptors that are a %s, %d before"):format(count, kind, descriptors[kind] or 0)
    end
  end
end

local function look()
  local open = {}
  for _, handle in ipairs(handles.list()) do
    open[handle] = true
  end
  return open, aftermath.descriptors()
end

--- Calls it with the n-th allocation failing; whether that many were made.
local function try(c, name, case, n)
  local open, descriptors = look()
  local given = case.before and case.before(c)
  fail_once(n)
  local ok, object = pcall(case.call, c, given)
  local failed = shortage.over() >= n
  close(ok and object)
  if case.after then
    pcall(case.after, c, given)
  end
  local began = luv.hrtime()
  local left = more(open, descriptors)
  while left and (luv.hrtime() - began) / 1e6 < PATIENCE_MS do
    ctx.sleep(ctx.background(), 1) -- turns of the loop, which closes what is being closed
    left = more(open, descriptors)
  end
  if left then
    print(("left: %s, with allocation %d of %s failing"):format(left, n, name))
  end
  return failed
end

local total = 0
local names = {}
for name in pairs(calls) do names[#names + 1] = name end
table.sort(names)
for _, name in ipairs(names) do
  try(ctx.background(), name, calls[name], MOST) -- what is made once is made now
  for n = 1, MOST do
    local c <const>, cancel <close> = ctx.with_timeout(ctx.background(), 2000)
    if not try(c, name, calls[name], n) then
      break
    end
    total = total + 1
  end
end
listener:close()
pipes:close()
luv.fs_rmdir(folder)

-- -- A server ----------------------------------------------------------------------------------

local REQUEST = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
local fail_after = shortage.armed(alloc.fail_after)

local answered

local function handle(req, res)
  ctx.sleep(req.ctx, 1)
  local ok, err = res:finish(req.ctx, req:body())
  answered = true
  return ok, err
end

local function ask(c, stream)
  stream:write(c, REQUEST)
  for _ = 1, 20 do
    if answered then break end
    pcall(ctx.sleep, c, 1)
  end
end

--- A request comes, and from the n-th allocation on there is no memory for a while.
local function serve_without(n)
  local c, cancel = ctx.with_cancel(ctx.background())
  local server <close> = http.server { handler = handle }
  server:listen("127.0.0.1", 0)
  local task = ctx.go(server.serve, server, c)
  local stream <close> = uv.connect(c, "127.0.0.1", server:address().port)
  answered = false
  fail_after(n)
  alloc.call(ask, c, stream)
  shortage.over()
  cancel()
  local patience <const>, stop <close> = ctx.with_timeout(ctx.background(), PATIENCE_MS)
  task:wait(patience)
  if patience:err() then
    print(("left: a server that goes on, without memory from allocation %d on"):format(n))
  end
end

for n = 1, REQUEST_TAKES, 5 do
  serve_without(n)
end
print("over", total)
