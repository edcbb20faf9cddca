-- SPDX-License-Identifier: MIT
--- Internal: what a client does for one request: attempts, repeats, redirections.
local core = require "ctx.core"
local failing = require "ctx.http.client.failing"
local failure = require "ctx.uv.failure"
local options = require "ctx.http.client.options"
local propagate = require "ctx.propagate"
local response = require "ctx.http.client.response"
local spans = require "ctx.http.spans"
local target = require "ctx.http.url"
local text = require "ctx.text"
local transfer = require "ctx.http.client.transfer"

local FOLLOW = 10
local DRAIN = 64 * 1024 -- bytes of a redirection's body that are read for the connection's sake
local GRACE_MS = 1000   -- libcurl's own deadline comes so much after the context's

-- -- Trace and deadline ---------------------------------------------------------------------------

local function copied(headers)
  local copy = {}
  for name, value in pairs(headers) do
    copy[name] = value
  end
  return copy
end

--- The headers of one attempt: the hop's, with trace and remaining time as they are now.
local function headers_now(c, hop, request)
  if request.propagate == false then
    return hop.headers
  end
  local headers = copied(hop.headers)
  propagate.inject(c, headers)
  return headers
end

-- -- One hop --------------------------------------------------------------------------------------

--- Method and URL for errors, without what is secret there.
local function what_of(hop)
  return hop.method .. " " .. hop.parsed.public
end

--- libcurl divides this over the addresses of a name; the context ends first.
local function connect_ms(c, request)
  local ms = math.min(c:remaining() + GRACE_MS, request.connect_timeout or math.huge)
  return ms < 2 ^ 31 and math.max(1, math.ceil(ms)) or 0
end

local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

--- Where the response leads, if it shall be followed; its status; and an error, if it leads to two
--- places, of which clients take the first or the last.
local function location_of(one, request)
  local status, list = response.head(one)
  local location
  if REDIRECTS[status] and request.follow ~= 0 then
    for _, field in ipairs(list) do
      if field[1] == "location" and field[2] ~= "" then
        if location and location ~= field[2] then
          return nil, status, failing.new("EPROTO", one.what, "redirection",
            "two Locations that differ")
        end
        location = field[2]
      end
    end
  end
  return location, status
end

--- Reads what a redirection says besides, so that its connection can be used again; not much of it.
local function drain(c, one)
  local size = 0
  repeat
    local chunk = one:read(c)
    size = size + #(chunk or "")
  until not chunk or size > DRAIN
  one:finish()
end

--- Whether its body can be sent from its beginning: from a function only as long as that gave
--- nothing.
local function can_begin_anew(hop)
  return type(hop.body) ~= "function" or not hop.body_begun
end

--- Sends one request: the transfer, where the response leads, if elsewhere, and its status. The
--- transfer is the caller's if it leads nowhere.
local function send(self, c, traced, hop, request)
  local one = transfer.new(self._engine, what_of(hop), {
    idle = request.idle_timeout ~= math.huge and request.idle_timeout or nil,
    max_body = request.max_body or options.MAX_BODY,
  })
  local kept = false
  local _ <close> = setmetatable({}, { __close = function()
    if not kept then
      one:finish()
    end
  end })
  local headers = headers_now(traced, hop, request)
  local wanted = options.for_curl(hop, headers, request, connect_ms(c, request))
  local body = type(hop.body) == "function" and function(within)
    hop.body_begun = true
    return hop.body(within)
  end or nil
  local ok, err = one:run(c, wanted, body, request.stream)
  local location, status
  if ok and one:is_unheard() and can_begin_anew(hop) then
    return nil, failing.loss("stale", one.what)
  elseif ok then
    location, status, err = location_of(one, request)
    ok = not err
    if location then
      drain(c, one)
      if c:err() then
        return nil, one:ended(c)
      end
    elseif ok and not request.stream then
      ok, err = one:complete()
    end
  end
  if not ok then
    return nil, err
  end
  kept = not location
  return one, location, status
end

--- The same as a span of its own, if there is a tracer.
local function send_traced(self, c, hop, request)
  if not propagate.is_tracing() then
    return send(self, c, c, hop, request)
  end
  local traced, span <close> = spans.sent(c, hop.method, hop.parsed)
  local one, location, status = send(self, c, traced, hop, request)
  spans.replied(span, status, not one and location or nil)
  return one, location, status
end

-- Those that may be sent twice (RFC 9110, 9.2.2).
local IDEMPOTENT = { GET = true, HEAD = true, OPTIONS = true, TRACE = true, PUT = true,
  DELETE = true }

--- RFC 9110, 10.1.1: the servers on the way do not know the expectation, which says nothing about
--- the request.
local function refuses_expectation(hop, status)
  return status == 417 and hop.headers.expect and can_begin_anew(hop)
end

local MOST_REPEATS = 2

--- The same, and once more on a new connection if a kept one ended with the request, or the server
--- says that it has not processed it; and once more without an expectation that is refused. Streams
--- that were refused together share the new connection.
local function send_surely(self, c, hop, request)
  local one, location, status = send_traced(self, c, hop, request)
  for repeats = 1, MOST_REPEATS do
    if one or not failing.may_repeat(location, IDEMPOTENT[hop.method])
      or not can_begin_anew(hop) then
      break
    end
    hop.fresh = repeats == MOST_REPEATS or not location.refused
    one, location, status = send_traced(self, c, hop, request)
  end
  if one and not location and refuses_expectation(hop, status) then
    one:finish()
    hop.headers = copied(hop.headers)
    hop.headers.expect = false
    return send_traced(self, c, hop, request)
  end
  return one, location, status
end

-- -- Redirections ---------------------------------------------------------------------------------

--- Headers for the first server only, and headers that describe a body that is not sent again.
local SECRETS = { "authorization", "cookie", "host", "proxy-authorization" }
local OF_BODY = { "content-encoding", "content-language", "content-length", "content-location",
  "content-type", "expect" }

local function without(headers, names)
  local rest = copied(headers)
  for _, name in ipairs(names) do
    rest[name] = nil
  end
  return rest
end

local function is_same_origin(a, b)
  return a.scheme == b.scheme and text.lower(a.host) == text.lower(b.host) and a.port == b.port
end

--- The hop to where a redirection leads; nil and an error if that is not possible.
local function next_hop(hop, status, location)
  local parsed, said = options.parse(location, hop.url)
  local what = what_of(hop)
  if not parsed then
    return nil, failing.new("EINVAL", what, "redirection", said)
  elseif parsed.scheme ~= "http" and parsed.scheme ~= "https" then
    return nil, failing.new("EPROTONOSUPPORT", what, "redirection",
      "leads to " .. tostring(parsed.scheme))
  end
  local headers, method, body, length = hop.headers, hop.method, hop.body, hop.length
  if status == 303 and method ~= "HEAD" or status < 303 and method == "POST" then
    headers, method, body, length = without(headers, OF_BODY), "GET", nil, nil
  elseif type(body) == "function" then
    return nil, failing.new("ENOTSUP", what, "redirection",
      "the body comes from a function, and cannot be sent again")
  end
  if not is_same_origin(hop.parsed, parsed) then
    headers = without(headers, SECRETS)
  end
  return { method = method, url = parsed.url, parsed = parsed, headers = headers, body = body,
    length = length }
end

-- -- A request ------------------------------------------------------------------------------------

local function first_hop(request)
  local method = request.method or "GET"
  local parsed, said = options.parse(target.with_query(request.url, request.query))
  if not parsed then
    return nil, failing.new("EINVAL", method, "reading the URL", said)
  elseif parsed.scheme ~= "http" and parsed.scheme ~= "https" then
    return nil, failing.new("EPROTONOSUPPORT", method .. " " .. parsed.public, "reading the URL")
  end
  return { method = method, url = parsed.url, parsed = parsed, body = request.body,
    length = request.length, headers = request.headers }
end

--- Carries the request out: a response, or nil and an error.
---@async
---@param self ctx.http.client.Client
---@param c ctx.Context
---@param request table  options that have been checked
local function perform(self, c, request)
  local hop, err = first_hop(request)
  if not hop then
    return core.refused(nil, err)
  end
  for redirected = 0, request.follow or FOLLOW do
    if self._closed then
      return core.refused(nil, failure.closed(what_of(hop), self._closed))
    elseif c:err() then
      return nil, failing.ended(c:ended(), what_of(hop), "not begun")
    end
    local one, location, status = send_surely(self, c, hop, request)
    if not one then
      return nil, location
    elseif not location then
      return response.new(c, one, hop.parsed.safe, request, not request.stream)
    elseif redirected == (request.follow or FOLLOW) then
      return nil, failing.new("ELOOP", what_of(hop), "redirection",
        ("more than %d redirections"):format(redirected))
    end
    hop, err = next_hop(hop, status, location)
    if not hop then
      return nil, err
    end
  end
end

return perform
