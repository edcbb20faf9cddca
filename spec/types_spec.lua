-- SPDX-License-Identifier: MIT
--- What the modules have, what types/ declares and what docs/reference describes is the same: no
--- function more, none less, with the same parameters in stubs and documents.
---
--- A stub declares by `function name.…` and `---@field name`; what is @private or @package, for the
--- library only. A page describes by a heading, or a table's first cell, that begins with code, but
--- not under "Beside Go".
local ctx = require "ctx"
local raises = require("spec.support.misuse").raises
local testing = require "ctx.testing"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

--- An object's methods, without those that are nobody's business.
local function methods_of(object)
  return getmetatable(object).__index
end

-- Modules for the library's own use.
local internal = {
  loop = true, report = true, line = true, owner = true, fifo = true, registry = true,
  want = true, fields = true, floor = true, tasks = true, text = true, why = true,
}

--- What there is of the classes of a module, by the name of their variable in the stub.
local classes = {
  ["ctx"] = {
    Context = methods_of(ctx.background()),
    Task = methods_of(ctx.go(function() end)),
  },
  ["ctx.breaker"] = {
    Breaker = methods_of(require("ctx.breaker").new()),
    Permit = methods_of(require("ctx.breaker").new():allow()),
  },
  ["ctx.channel"] = { Channel = methods_of(require("ctx.channel").new()) },
  ["ctx.errgroup"] = { Group = methods_of(require("ctx.errgroup").new()) },
  ["ctx.errors"] = { Error = methods_of(ctx.canceled) },
  ["ctx.http"] = {
    Server = require("ctx.http.server").class,
    Req = require("ctx.http.server.request").class,
    Res = require("ctx.http.server.response").class,
    Router = methods_of(require("ctx.http").router()),
    Client = require("ctx.http.client").class,
    Response = require("ctx.http.client.response").class,
  },
  ["ctx.mutex"] = {
    Mutex = methods_of(require("ctx.mutex").new()),
    Held = methods_of(require("ctx.mutex").new():hold(ctx.background())),
  },
  ["ctx.pool"] = {
    P = (function()
      local p <close> = require("ctx.pool").new(ctx.background(), { workers = 1 }, print)
      return methods_of(p)
    end)(),
  },
  ["ctx.propagate"] = {
    Deadline = methods_of(require("ctx.propagate").deadline { header = "timeout" }),
    Span = require("ctx.propagate.span").class,
  },
  ["ctx.shutdown"] = {
    S = (function()
      local s <close> = require("ctx.shutdown").new(ctx.background(), { signals = {} })
      return methods_of(s)
    end)(),
  },
  ["ctx.semaphore"] = { Semaphore = methods_of(require("ctx.semaphore").new(1)) },
  ["ctx.singleflight"] = { Singleflight = methods_of(require("ctx.singleflight").new()) },
  ["ctx.testing"] = {
    Clock = (function()
      local clock <close> = testing.clock()
      return methods_of(clock)
    end)(),
    Snapshot = methods_of(testing.snapshot()),
  },
  ["ctx.uv"] = {
    Stream = require("ctx.uv.stream").class,
    Listener = require("ctx.uv.listener").class,
    Udp = require("ctx.uv.udp").class,
    Process = require("ctx.uv.process").class,
    Watcher = require("ctx.uv.watch").class,
  },
  ["ctx.waitgroup"] = { WaitGroup = methods_of(require("ctx.waitgroup").new()) },
}

-- Modules whose stub has several files.
local parts = { ["ctx.http"] = { "http", "http/client" } }

--- What pages call an object of a class, where that is not the class's name in small letters.
local page_names = {
  b = "Breaker", c = "Context", ch = "Channel", err = "Error", g = "Group", m = "Mutex",
  sem = "Semaphore", sf = "Singleflight", wg = "WaitGroup",
}

local function lines_of(...)
  local lines = {}
  for _, path in ipairs { ... } do
    for line in io.lines(top .. path) do
      lines[#lines + 1] = line
    end
  end
  return lines
end

-- ---- what is declared ---------------------------------------------------------------------------

--- "parent, ms [, cause]" and "parent, ms, cause" → "parent ms cause"
local function parameters(text)
  text = text:gsub("[%[%],]", " "):gsub("…", "..."):gsub("%s+", " ")
  return (text:gsub("^ ", ""):gsub(" $", ""))
end

--- Of a stub: "variable.function" → its parameters; the same of what is private; class → its
--- fields, each "" for a function, or false.
local function declared_in(stubs)
  local found, private, fields = {}, {}, {}
  local class, hidden
  for _, line in ipairs(lines_of(table.unpack(stubs))) do
    class = line:match("^%-%-%-@class ([%w_.]+)") or class
    hidden = hidden or line:find("^%-%-%-@package") or line:find("^%-%-%-@private")
    local field, kind = line:gsub("%sasync fun%(", " fun(")
      :match("^%-%-%-@field ([%w_]+)%??%s+(%S+)")
    if field then
      fields[class] = fields[class] or {}
      fields[class][field] = kind:find("^fun%(") and "" or false
    end
    local owner, name, arguments = line:match("^function ([%w_]+)[.:]([%w_]+)%((.-)%)")
    if owner then
      local list = hidden and private or found
      list[owner .. "." .. name] = parameters(arguments)
      hidden = nil
    end
  end
  return found, private, fields
end

--- Adds the fields of the classes that stand for values at run time.
local function add_fields(found, fields, live)
  for variable in pairs(live) do
    local list = fields[variable] or fields["ctx." .. variable] or {}
    for field, kind in pairs(list) do
      found[variable .. "." .. field] = kind
    end
  end
end

-- ---- what is described --------------------------------------------------------------------------

--- Adds each `name.function(…)` of this text to `found`.
local function add_described(found, text, live)
  for code in text:gmatch("`(.-)`") do
    local owner, name, rest = code:match("^([%w_]+)[.:]([%w_]+)(.*)$")
    local variable = owner and (page_names[owner] or live[owner] and owner
      or owner:gsub("^%l", string.upper))
    if variable and live[variable] then
      local arguments = rest:match("^%((.*)%)$")
      found[variable .. "." .. name] = arguments and parameters(arguments) or false
    end
  end
end

local function described_in(page, live)
  local found = {}
  for _, line in ipairs(lines_of(page)) do
    local place = line:match("^###+ (`.*)$") or line:match("^| (`.-) |") or line:match("^| | .*$")
    if line == "## Beside Go" then
      break
    elseif place then
      add_described(found, place, live)
    end
  end
  return found
end

-- ---- comparing ----------------------------------------------------------------------------------

local function missing(from, what, among)
  local names = {}
  for name in pairs(from) do
    if what[name] == nil and not (among and among[name] ~= nil) then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

local function check_module(name, file)
  local short = name:match("[^.]+$")
  local page, stubs = "docs/reference/" .. short .. ".md", {}
  for i, part in ipairs(parts[name] or { file }) do
    stubs[i] = "types/ctx/" .. part .. ".lua"
  end
  local objects = { [short] = require(name) }
  for variable, methods in pairs(classes[name] or {}) do
    objects[variable] = methods
  end
  local declared, private, fields = declared_in(stubs)
  add_fields(declared, fields, objects)
  local described = described_in(page, objects)
  local live = {}
  for variable, object in pairs(objects) do
    for field in pairs(object) do
      if type(field) == "string" and (field == "_VERSION" or not field:find("^_")) then
        live[variable .. "." .. field] = true
      end
    end
  end

  it("the stub declares all that there is, and no more", function()
    assert.equal("", missing(live, declared, private), "not declared")
    assert.equal("", missing(declared, live, { ["Error.traceback"] = true }), "not there")
    assert.equal("", missing(private, live), "private, and not there")
  end)

  it("the reference describes all that is declared, and no more", function()
    assert.equal("", missing(declared, described, { ["Error.traceback"] = true }), "not described")
    assert.equal("", missing(described, declared), "described, but not declared")
  end)

  it("stub and reference agree about the parameters", function()
    for function_name, arguments in pairs(described) do
      local wanted = declared[function_name]
      if arguments and wanted and wanted ~= "" then
        assert.equal(wanted, arguments, function_name)
      end
    end
  end)

  it("the stub is Lua, and names its module", function()
    for _, stub in ipairs(stubs) do
      assert.truthy(loadfile(top .. stub))
      assert.equal("---@meta " .. name, lines_of(stub)[2])
    end
  end)
end

local function exists(path)
  local file = io.open(top .. path)
  return file ~= nil and file:close()
end

local modules = assert(io.popen(("cd '%s' && ls lua/ctx"):format(top)))
for path in modules:lines() do
  local file = path:match("^(.*)%.lua$")
  if file and not internal[file] then
    local name = file == "init" and "ctx" or "ctx." .. file
    describe("the module " .. name, function()
      if exists("types/ctx/" .. path) then
        check_module(name, file)
      else
        it("has a stub and a reference page", function() error("types/ctx/" .. path) end)
      end
    end)
  end
end
modules:close()

-- Cause: a method that did not look at its self failed deep inside, with an index of nil, when it
-- was called with a dot. Cure: each begins with want.self, or C's check.
describe("a method that is called on something else than an object of its class", function()
  local strangers = { {}, 5, "text", ctx.background, setmetatable({}, {}) }

  --- Raises unless the method does, at the caller's line, and says that it is about the object.
  local function check(name, method, ...)
    local stranger = ...
    local message = raises(function() method(stranger, {}, {}) end)
    local about = message:find("bad self", 1, true) or message:find("#1 to", 1, true)
    assert(about, name .. ": " .. message)
  end

  for name, variables in pairs(classes) do
    for variable, methods in pairs(variables) do
      -- Errors are what their methods are given: any value may be one.
      if variable ~= "Error" then
        it(("raises at the caller's line: %s, %s"):format(name, variable), function()
          for method, fn in pairs(methods) do
            if type(fn) == "function" and not method:find("^_") then
              check(variable .. ":" .. method, fn, nil)
              for _, stranger in ipairs(strangers) do
                check(variable .. ":" .. method, fn, stranger)
              end
            end
          end
        end)
      end
    end
  end
end)

describe("the numbers of ctx.counters()", function()
  it("are all declared and described", function()
    local _, _, fields = declared_in { "types/ctx/init.lua" }
    local page = table.concat(lines_of("docs/reference/ctx.md"), "\n")
    for name in pairs(ctx.counters()) do
      assert.equal(false, fields["ctx.Counters"][name], name)
      assert.truthy(page:find("`" .. name .. "`", 1, true), name)
    end
    for name in pairs(fields["ctx.Counters"]) do
      assert.truthy(ctx.counters()[name], name)
    end
  end)
end)
