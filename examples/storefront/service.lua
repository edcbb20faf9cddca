-- SPDX-License-Identifier: MIT
--- What the processes of the shop have in common: a server with health and readiness, request ids,
--- traces, an access log and a shutdown in phases; and how they call each other.
local cjson = require "cjson"
local ctx = require "ctx"
local errors = require "ctx.errors"
local http = require "ctx.http"
local propagate = require "ctx.propagate"
local shutdown = require "ctx.shutdown"

local service = {}

local function write_line(text)
  io.write(text, "\n")
  io.flush()
end

--- Stdout has a JSON object on each line: the access log, and what else there is to tell.
---@param record table
function service.log(record)
  write_line(cjson.encode(record))
end

--- Answers with JSON.
---@async
---@param c ctx.Context
---@param res ctx.http.Response
---@param value any
function service.json(c, res, value)
  res.headers["Content-Type"] = "application/json"
  return res:finish(c, cjson.encode(value))
end

-- -- Calls ----------------------------------------------------------------------------------------

--- Asks another service. The time that is left and the trace go along by themselves; the request
--- id is ours to pass on.
---@async
---@param c ctx.Context
---@param url string
---@param method? string
---@return ctx.http.Response|nil response
---@return any? err
function service.ask(c, url, method)
  return http.request(c, {
    method = method, url = url, headers = { ["X-Request-ID"] = http.request_id.of(c) },
  })
end

--- The same for what must succeed: the JSON of its answer.
---@async
---@param c ctx.Context
---@param url string
---@param method? string
---@return any value
---@return any? err
function service.get(c, url, method)
  local response, err = service.ask(c, url, method)
  if not response then
    return nil, err
  elseif response.status ~= 200 and c:err() then
    -- Its time was ours: it may have seen the end of that first, and failed with it.
    return nil, errors.ended(c:err(), c:cause())
  elseif response.status ~= 200 then
    return nil, errors.new(("%d %s"):format(response.status, (response.body:gsub("%s+$", ""))))
  end
  return cjson.decode(response.body)
end

--- What to answer when a call has failed: a visitor may know who it was; what it was is in the
--- access log.
---@param who string
---@param err any
function service.failed(who, err)
  if errors.is(err, ctx.deadline_exceeded) then
    return http.failure(504, who .. " took too long", err)
  end
  return http.failure(502, who .. " has failed", err)
end

-- -- Serving --------------------------------------------------------------------------------------

--- A service that answers is alive. It is ready while it wants requests: not any more from the
--- begin of a shutdown, so that the balancer looks elsewhere.
local function add_probes(router, s)
  router:get("/healthz", function(req, res)
    return res:finish(req.ctx, "alive\n")
  end)
  router:get("/readyz", function(req, res)
    res.status = s:ready() and 200 or 503
    return res:finish(req.ctx, s:ready() and "ready\n" or "shutting down\n")
  end)
end

local function new_server(router, budget_ms)
  local server = http.server {
    handler = http.chain(router:handler(), http.request_id()),
    request_timeout = budget_ms,
    access_log = function(record) write_line(http.json(record)) end,
  }
  assert(server:listen("127.0.0.1", 0))
  return server
end

--- Serves until SIGTERM: then it accepts nobody, answers those that are there, and ends. Exits 0
--- if nothing was lost.
---@param options { budget_ms: number? }  the most that a request may take
---@param build fun(router: ctx.http.Router, s: ctx.shutdown.Shutdown)  adds the routes
function service.run(options, build)
  collectgarbage("incremental")
  -- The gateway begins a trace, the others go on with it. These spans are not sent anywhere; with
  -- ctx.propagate.otlp's exporter they would be.
  propagate.set_tracer { exporter = { export = function() end } }
  local report = ctx.run(function(root)
    -- Behind a balancer: `delay`, so that it has seen /readyz before a connection is refused.
    local s <close> = shutdown.new(root, { timeouts = { drain = 10000 } })
    local router = http.router()
    add_probes(router, s)
    build(router, s)
    local server = new_server(router, options.budget_ms)
    s:on("drain", "requests", function(c)
      return server:shutdown(c)
    end)
    ctx.go(function()
      s:stop(select(2, server:serve(s:context()))) -- should it fail, that ends the rest
    end)
    write_line("listening " .. server:address().port)
    return s:run()
  end)
  service.log { event = "ended", why = tostring(report.cause), ms = report.took,
    drain_ms = report.phases.drain.took, clean = report.clean }
  os.exit(report.clean and 0 or 1, true)
end

return service
