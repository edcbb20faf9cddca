-- SPDX-License-Identifier: MIT
--- Finds the handler for a method and a path.
---
--- Patterns are paths with names for some segments: "/users/{id}", and, at the end, for all the
--- rest: "/files/{path...}". A segment in clear beats a name, and a name beats the rest.
local answer = require "ctx.http.answer"
local defect = require "ctx.http.defect"
local fields = require "ctx.fields"
local paths = require "ctx.http.paths"
local text = require "ctx.text"
local url = require "ctx.http.url"
local want = require "ctx.want"
local wire = require "ctx.http.wire"

local check = want.argument
local METHODS = wire.methods()

---@class ctx.http.Router
--- Adds a handler for GET.
---@field get fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
--- Adds a handler for POST.
---@field post fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
--- Adds a handler for PUT.
---@field put fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
--- Adds a handler for PATCH.
---@field patch fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
--- Adds a handler for DELETE.
---@field delete fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
--- Adds a handler for HEAD.
---@field head fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
--- Adds a handler for OPTIONS.
---@field options fun(self: ctx.http.Router, pattern: string, handler: ctx.http.Handler)
---@field _root table             of nodes: { clear =, named =, rest =, routes = method → route }
---@field _raw boolean           parameters are handed out whatever they hold
---@field _not_found? fun(req: ctx.http.Request, res: ctx.http.Response): any, any
local Router = {}
local metatable = { __name = "ctx.http.Router", __index = Router }

local router = {}

---@class ctx.http.RouterOptions
---@field raw_parameters? boolean  hand out parameters that could lead out of a folder, too; false

local OPTIONS = { raw_parameters = want.flag }

--- Makes a router without routes.
---@param options? ctx.http.RouterOptions
---@return ctx.http.Router router
---@nodiscard
function router.new(options)
  options = want.options(options, "router", 1, OPTIONS)
  return setmetatable({ _root = { clear = {} }, _raw = options.raw_parameters or false }, metatable)
end

-- -- Making routes --------------------------------------------------------------------------------

--- The node for a segment of a pattern, made if it is new; and the name that it gives, if any.
local function descend(node, segment)
  local name, dots = segment:match("^{([%a_][%w_]*)(%.*)}$")
  if not name then
    node.clear[segment] = node.clear[segment] or { clear = {} }
    return node.clear[segment]
  end
  local kind = dots == "..." and "rest" or "named"
  node[kind] = node[kind] or { clear = {} }
  return node[kind], name
end

local function is_pattern(pattern)
  if type(pattern) ~= "string" or pattern:sub(1, 1) ~= "/" then
    return false
  end
  local names = {}
  for name in pattern:gmatch("{([%w_]*)") do
    if names[name] then
      return false -- one of the two values would be lost
    end
    names[name] = true
  end
  for segment, ends in pattern:gmatch("/([^/]*)()") do
    local last = ends > #pattern
    if segment:find("[{}]") and not segment:find("^{[%a_][%w_]*}$")
      and not (last and segment:find("^{[%a_][%w_]*%.%.%.}$")) then
      return false
    end
  end
  return true
end

local function add(self, method, pattern, handler, name)
  check(is_pattern(pattern), name, name == "handle" and 2 or 1, "pattern",
    'a path such as "/users/{id}" or "/files/{path...}"', pattern, 1)
  handler = want.fn(handler, name, name == "handle" and 3 or 2, "handler", 1)
  local node, names = self._root, {}
  for segment in pattern:gmatch("/([^/]*)") do
    local found
    node, found = descend(node, segment)
    names[#names + 1] = found
  end
  node.routes = node.routes or {}
  local other = node.routes[method]
  if other then
    error(("%s: %s %s is taken already, by %s"):format(name, method, pattern, other.pattern), 3)
  end
  node.routes[method] = { handler = handler, names = names, pattern = pattern,
    has_rest = pattern:sub(-4) == "...}" }
end

--- Adds a handler; "*" is any method that has no handler of its own there.
---@param method string   "GET", or "*"
---@param pattern string  "/users/{id}", "/files/{path...}"
---@param handler ctx.http.Handler
function Router:handle(method, pattern, handler)
  want.self(self, metatable, "handle")
  check(method == "*" or METHODS[method], "handle", 1, "method",
    'a method that the server takes, in capitals, or "*"', method)
  add(self, method, pattern, handler, "handle")
end

for _, method in ipairs { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS" } do
  local name = text.lower(method)
  Router[name] = function(self, pattern, handler)
    want.self(self, metatable, name)
    add(self, method, pattern, handler, name)
  end
end

--- Sets the handler for requests that no pattern fits; by default it answers 404.
---@param handler ctx.http.Handler
function Router:not_found(handler)
  want.self(self, metatable, "not_found")
  self._not_found = want.fn(handler, "not_found", 1, "handler")
end

-- -- Finding them ---------------------------------------------------------------------------------

--- The node for segments[i] and further, the values of names on the way in `values`.
local function find(node, segments, i, values)
  local segment = segments[i]
  if segment == nil then
    return node.routes and node
  end
  local clear = node.clear[segment]
  local found = clear and find(clear, segments, i + 1, values)
  if found then
    return found
  end
  local n = #values
  if node.named and segment ~= "" then
    values[n + 1] = segment
    found = find(node.named, segments, i + 1, values)
    if found then
      return found
    end
    values[n + 1] = nil
  end
  if node.rest then
    values[n + 1] = table.concat(segments, "/", i)
    return node.rest
  end
end

--- The segments of a path, each decoded: what is "%2F" there parts nothing.
local function segments_of(raw_path)
  local segments = {}
  for segment in raw_path:gmatch("/([^/]*)") do
    segments[#segments + 1] = url.unescape(segment)
  end
  return segments
end

local function allowed(routes)
  local methods = {}
  for method in pairs(routes) do
    methods[#methods + 1] = method
  end
  if routes.GET and not routes.HEAD then
    methods[#methods + 1] = "HEAD"
  end
  text.sort(methods)
  return table.concat(methods, ", ")
end

--- Notes which handler it is, for logs, spans and reports.
local function note(req, handler, pattern)
  local original = req._original or req
  req.pattern, original.pattern, original._handler = pattern, pattern, handler
end

local function answer_no_route(self, node, req, res)
  if node then
    local headers = fields.of(res.headers or {}) or fields.new()
    res.headers, headers.allow = headers, allowed(node.routes)
    if req.method == "OPTIONS" then
      res.status = 204
      return
    end
    return answer.fail(req, res, 405, "method not allowed", nil, headers)
  elseif self._not_found then
    note(req, self._not_found)
    return self._not_found(req, res)
  end
  return answer.fail(req, res, 404, "not found")
end

local function route_of(routes, method)
  return routes[method] or method == "HEAD" and routes.GET or routes["*"]
end

--- name → value of what the pattern names; or nil and what is wrong with one of them.
local function parameters(self, route, values)
  local names, params = route.names, {}
  for i, name in ipairs(names) do
    local wrong = not self._raw and paths.wrong(values[i], route.has_rest and i == #names)
    if wrong then
      return nil, ("the path has %s in {%s}"):format(wrong, name)
    end
    params[name] = values[i]
  end
  return params
end

--- Calls the handler for the request, with what the pattern named in req.params. No pattern for the
--- path: 404; none with the method: 405, with Allow; a parameter that could lead out of a folder:
--- 400. HEAD goes to GET's.
---@async
---@param req ctx.http.Request
---@param res ctx.http.Response
---@return any result
---@return any? err  of the handler
function Router:dispatch(req, res)
  want.self(self, metatable, "dispatch")
  check(type(req) == "table" and type(req.raw_path) == "string", "dispatch", 1, "req",
    "a request", req)
  check(type(res) == "table", "dispatch", 2, "res", "a response", res)
  local values = {}
  local node = find(self._root, segments_of(req.raw_path), 1, values)
  local route = node and route_of(node.routes, req.method)
  if not route then
    return answer_no_route(self, node, req, res)
  end
  note(req, route.handler, route.pattern)
  local params, wrong = parameters(self, route, values)
  if not params then
    return answer.fail(req, res, 400, wrong)
  end
  for name, value in next, params do
    req.params[name] = value
  end
  return route.handler(req, res)
end

--- Returns the router as one handler, for http.server or a middleware.
---@return ctx.http.Handler handler
function Router:handler()
  want.self(self, metatable, "handler")
  return defect.wraps(function(req, res)
    return self:dispatch(req, res)
  end, false)
end

return router
