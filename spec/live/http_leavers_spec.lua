-- SPDX-License-Identifier: MIT
--- Ten thousand clients that leave in the middle: nothing of them stays.
local ctx = require "ctx"
local descriptors = require "spec.support.descriptors"
local errors = require "ctx.errors"
local http = require "ctx.http"
local luv = require "luv"
local uv = require "ctx.uv"
local web = require "spec.support.web"

local CLIENTS, AT_ONCE = 10000, 100

local MUCH = ("x"):rep(200000)
local POST = "POST /%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
local GET = "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"

--- The handlers: each goes on until something ends it.
local handlers = {
  sleep = function(req, res)
    res:write(req.ctx, "here")
    return ctx.sleep(req.ctx, math.huge)
  end,
  body = function(req)
    local chunk, err
    repeat
      chunk, err = req:read()
    until not chunk
    return nil, err
  end,
  write = function(req, res)
    local ok, err
    repeat
      ok, err = res:write(req.ctx, MUCH)
    until not ok
    return nil, err
  end,
}

local function close(stream)
  stream:close()
end

local function end_half(stream, c)
  stream:finish(c)
  stream:read(c) -- until the server has closed it, too
  stream:close()
end

-- What is sent, whether the client reads something of the answer, and how it leaves.
local kinds = {
  { "", close },
  { "GET / HT", close },
  { "GET / HTTP/1.1\r\nHost: ", web.reset },
  { GET:format "sleep", close },
  { GET:format "sleep", close, reads = true },
  { GET:format "sleep", web.reset, reads = true },
  { GET:format "sleep", end_half },
  { GET:format "sleep" .. GET:format "sleep", close, reads = true },
  { POST:format("body", 1000) .. "only some", close },
  { POST:format("body", 1000) .. "only some", web.reset },
  { POST:format("sleep", 100000) .. ("x"):rep(90000), web.reset, reads = true },
  { GET:format "write", close, reads = true },
  { GET:format "write", web.reset },
}

local function leave(c, port, kind)
  local stream = assert(uv.connect(c, "127.0.0.1", port))
  stream:write(c, kind[1])
  if kind.reads then
    stream:read(c)
  end
  kind[2](stream, c)
end

local function handles()
  local n = 0
  luv.walk(function(handle)
    n = n + (handle:is_closing() and 0 or 1)
  end)
  return n
end

--- What a program that serves has, in numbers.
local function census()
  collectgarbage()
  collectgarbage()
  local counters = ctx.counters()
  return { handles = handles(), descriptors = descriptors(), tasks = counters.tasks,
    linked = counters.linked, deadlines = counters.deadlines, watchers = counters.watchers }
end

describe("ten thousand clients that leave in the middle", function()
  it("leave no task, context, handle or descriptor behind, and each handler knows why", function()
    local begun, ended, causes = 0, 0, {}
    web.run(function(req, res)
      begun = begun + 1
      local ok, err = handlers[req.path:sub(2)](req, res)
      ended = ended + 1
      local cause = req.ctx:cause()
      if not (errors.is(cause, http.client_gone) or errors.is(cause, http.write_failed)) then
        causes[#causes + 1] = tostring(cause)
      end
      return ok, err
    end, function(c, port, server)
      ctx.debug(false) -- to remember the stacks of all would take most of the time
      leave(c, port, kinds[4]) -- what is made once is made now
      web.wait_for(c, function() return ended == 1 and server:stats().connections == 0 end)
      local before, n = census(), 0
      local function client()
        while n < CLIENTS do
          n = n + 1
          leave(c, port, kinds[n % #kinds + 1])
        end
      end
      local tasks = {}
      for i = 1, AT_ONCE do
        tasks[i] = ctx.go(client)
      end
      for _, task in ipairs(tasks) do
        task:wait(c)
      end
      web.wait_for(c, function() return server:stats().connections == 0 end)
      assert.same({}, causes)
      assert.equal(begun, ended)
      assert.is_true(begun > CLIENTS / 2)
      assert.equal(0, server:stats().requests)
      assert.same(before, census())
    end)
  end)
end)
