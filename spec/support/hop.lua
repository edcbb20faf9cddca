-- SPDX-License-Identifier: MIT
--- One service of a chain, as a process of its own: prints what it is told of deadline and trace,
--- works for a while, calls the next one, and prints how that ended.
--- Usage: hop.lua NAME MS [URL of the next]     without the next, it waits for its context's end
local ctx = require "ctx"
local http = require "ctx.http"
local propagate = require "ctx.propagate"
require "spec.support.orphan"

local name, ms, url = arg[1], tonumber(arg[2]), arg[3]

local function say(what, ...)
  print(name .. " " .. what:format(...))
  io.flush()
end

propagate.set_tracer { exporter = { export = function(_, span)
  say("%s id=%s parent=%s trace=%s", span.kind, span.span_id, span.parent_span_id, span.trace_id)
end } }

local function call(c)
  say("sends left=%.6f", c:remaining())
  return http.get(c, url)
end

local function answer(c, res)
  ctx.sleep(c, ms)
  local response, err
  if url then
    response, err = call(c)
  elseif ms == 0 then
    c:wait()
    err = c:err()
  end
  say("ended cause=%s", c:cause())
  if err then
    return nil, err
  end
  return res:finish(c, response and response.body or "from " .. name)
end

ctx.run(function(root)
  local server = http.server { handler = function(req, res)
    say("got left=%.6f header=%s", req.ctx:remaining(), req.headers["grpc-timeout"])
    return answer(req.ctx, res)
  end }
  assert(server:listen("127.0.0.1", 0))
  print(("http://127.0.0.1:%d/"):format(server:address().port))
  io.flush()
  return server:serve(root)
end)
