-- SPDX-License-Identifier: MIT
--- What the modules have, what the annotations in lua/ and types/ declare and what docs/reference
--- describes is the same: no function more, none less, with the same parameters; and each function
--- has a complete annotation.
---
--- A page describes by a heading, or a table's first cell, that begins with code, but not under
--- "Beside Go". It writes `req:body([c])` for a method; spec/docs/overview.lua has the names of the
--- objects.
local annotations = require "spec.docs.annotations"
local ctx = require "ctx"
local overview = require "spec.docs.overview"
local raises = require("spec.support.misuse").raises
local testing = require "ctx.testing"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."
local found, order, tree = annotations.all(top)

--- An object's methods, without those that are nobody's business.
local function methods_of(object)
  return getmetatable(object).__index
end

--- The methods of an object that is to be closed.
local function methods_within(object)
  local scope <close> = object
  return methods_of(scope)
end

local background = ctx.background()

--- What there is of each class.
local classes = {
  ["ctx.Context"] = methods_of(background),
  ["ctx.Task"] = methods_of(ctx.go(function() end)),
  ["ctx.breaker.Breaker"] = methods_of(require("ctx.breaker").new()),
  ["ctx.breaker.Permit"] = methods_of(require("ctx.breaker").new():allow()),
  ["ctx.channel.Channel"] = methods_of(require("ctx.channel").new()),
  ["ctx.errgroup.Group"] = methods_of(require("ctx.errgroup").new()),
  ["ctx.errors.Error"] = methods_of(ctx.canceled),
  ["ctx.http.Server"] = require("ctx.http.server").class,
  ["ctx.http.Request"] = require("ctx.http.server.request").class,
  ["ctx.http.Response"] = require("ctx.http.server.response").class,
  ["ctx.http.Router"] = methods_of(require("ctx.http").router()),
  ["ctx.http.client.Client"] = require("ctx.http.client").class,
  ["ctx.http.client.Response"] = require("ctx.http.client.response").class,
  ["ctx.mutex.Mutex"] = methods_of(require("ctx.mutex").new()),
  ["ctx.mutex.Held"] = methods_of(require("ctx.mutex").new():hold(background)),
  ["ctx.pool.Pool"] = methods_within(require("ctx.pool").new(background, { workers = 1 }, print)),
  ["ctx.propagate.Deadline"] = methods_of(require("ctx.propagate").deadline { header = "timeout" }),
  ["ctx.propagate.Span"] = require("ctx.propagate.span").class,
  ["ctx.propagate.otlp.Exporter"] = methods_of(require("ctx.propagate.otlp").new()),
  ["ctx.shutdown.Shutdown"] = methods_within(require("ctx.shutdown").new(background,
    { signals = {} })),
  ["ctx.semaphore.Semaphore"] = methods_of(require("ctx.semaphore").new(1)),
  ["ctx.singleflight.Singleflight"] = methods_of(require("ctx.singleflight").new()),
  ["ctx.testing.Clock"] = methods_within(testing.clock()),
  ["ctx.testing.Snapshot"] = methods_of(testing.snapshot()),
  ["ctx.uv.Error"] = methods_of(require("ctx.uv").ECLOSED),
  ["ctx.uv.Stream"] = require("ctx.uv.stream").class,
  ["ctx.uv.Listener"] = require("ctx.uv.listener").class,
  ["ctx.uv.Udp"] = require("ctx.uv.udp").class,
  ["ctx.uv.Process"] = require("ctx.uv.process").class,
  ["ctx.uv.Watcher"] = require("ctx.uv.watch").class,
  ["ctx.waitgroup.WaitGroup"] = methods_of(require("ctx.waitgroup").new()),
}

local function text_of(path)
  local file <close> = assert(io.open(top .. "/" .. path))
  return file:read("a")
end

local function sorted(list)
  table.sort(list)
  return table.concat(list, ", ")
end

-- ---- what there is, and what is declared --------------------------------------------------------

local function is_public(key)
  return type(key) == "string" and (key == "_VERSION" or not key:find("^_"))
end

--- The names of what a module or a class has and nothing declares.
local function undeclared(name, object, mark)
  local missing = {}
  for key in pairs(object) do
    local full = name .. mark .. tostring(key)
    if is_public(key) and not found[full] and not tree.hidden[full] then
      missing[#missing + 1] = full
    end
  end
  return sorted(missing)
end

describe("the annotations declare", function()
  for _, module in ipairs(tree.modules) do
    it("all that the module has: " .. module, function()
      assert.equal("", undeclared(module, require(module), "."))
    end)
  end

  for class, methods in pairs(classes) do
    it("all methods of the class " .. class, function()
      assert.equal("", undeclared(class, methods, ":"))
    end)
  end

  it("no more than there is", function()
    local wrong = {}
    for name, entry in pairs(found) do
      local object = entry.class == entry.module and require(entry.module) or classes[entry.class]
      if entry.key and (not object or object[entry.key] == nil) then
        wrong[#wrong + 1] = name
      end
    end
    assert.equal("", sorted(wrong))
  end)

  it("no hidden name that is not there", function()
    local wrong = {}
    for name in pairs(tree.hidden) do
      local class, key = name:match("^(.*)[.:]([%w_]+)$")
      local object = classes[class] or tree.files[class] and require(class)
      if object and object[key] == nil then
        wrong[#wrong + 1] = name
      end
    end
    assert.equal("", sorted(wrong))
  end)

  it("each file of lua/ctx as a public module, or as one of these", function()
    local internal = " core fields fifo floor line loop owner registry report roster tasks text "
      .. "want why "
    local public = {}
    for _, module in ipairs(tree.modules) do public[module] = true end
    local wrong = {}
    for module in pairs(tree.files) do
      local short = module:match("^ctx%.([%w_]+)$")
      if short and not public[module] and not internal:find(" " .. short .. " ", 1, true) then
        wrong[#wrong + 1] = module
      end
    end
    assert.equal("", sorted(wrong))
  end)
end)

describe("each annotation", function()
  it("is complete: a sentence, all parameters, a name for each result, which errors", function()
    local wrong = {}
    for name, entry in pairs(found) do
      local what, documented = entry.definition, {}
      for i, part in ipairs(what.params) do documented[i] = part.name end
      local list = table.concat(documented, ", ")
      if what.text == "" then
        wrong[#wrong + 1] = name .. ": no text"
      elseif not what.type and entry.parameters and entry.parameters ~= list then
        wrong[#wrong + 1] = ("%s(%s): ---@param for %s"):format(name, entry.parameters, list)
      elseif not entry.parameters and not what.type then
        wrong[#wrong + 1] = name .. ": a value without ---@type"
      end
      for _, part in ipairs(what.type and {} or what.returns) do
        if part.name == "" then
          wrong[#wrong + 1] = name .. ": a result without a name"
        elseif part.name == "err" and part.type == "any?" and part.text == "" then
          wrong[#wrong + 1] = name .. ": does not tell which errors it returns"
        end
      end
    end
    assert.equal("", sorted(wrong))
  end)

  it("names only classes that there are", function()
    assert.equal("", sorted(tree.unknown))
  end)

  it("that begins with Waits is of a function that may wait", function()
    for name, entry in pairs(found) do
      assert.is_true(entry.definition.async or not entry.definition.text:find("^Waits "), name)
    end
  end)
end)

describe("types/", function()
  it("is Lua, and short: it holds only what C makes", function()
    local lines = 0
    for module, file in pairs(tree.files) do
      if file.path:find("/types/", 1, true) then
        assert.truthy(loadfile(file.path))
        for _ in io.lines(file.path) do lines = lines + 1 end
        for name, what in pairs(file.members[file.returned]) do
          local fn = name ~= "order" and what.parameters and require(module)[name]
          assert.equal("C", fn and debug.getinfo(fn, "S").what or "C", name)
        end
      end
    end
    assert.is_true(lines > 0 and lines < 400, lines)
  end)
end)

-- ---- what is described --------------------------------------------------------------------------

--- "parent, ms [, cause]" → "parent, ms, cause?"
local function parameters_in(text)
  local list, depth = {}, 0
  for mark in text:gsub("…", "..."):gmatch("[%[%]]?[%w_.]*") do
    local bracket, name = mark:match("^([%[%]]?)([%w_.]*)$")
    depth = depth + (bracket == "[" and 1 or bracket == "]" and -1 or 0)
    if name ~= "" then
      list[#list + 1] = name .. (depth > 0 and "?" or "")
    end
  end
  return table.concat(list, ", ")
end

local function parameters_of(entry)
  local list = {}
  for i, part in ipairs(overview.parameters(entry)) do
    list[i] = part.name .. (part.optional and "?" or "")
  end
  return table.concat(list, ", ")
end

--- Adds each `name.function(…)` of this text to `described`: its parameters, or false.
local function add_described(described, text, owners)
  for code in text:gmatch("`(.-)`") do
    local owner, mark, name, rest = code:match("^([%w_]+)([.:])([%w_]+)(.*)$")
    if owner and owners[owner] then
      local arguments = rest:match("^%((.*)%)$")
      described[owner .. mark .. name] = arguments and parameters_in(arguments) or false
    end
  end
end

local function described_in(page, owners)
  local described = {}
  for line in text_of(page):gmatch("[^\n]+") do
    local place = line:match("^###+ (`.*)$") or line:match("^| (`.-) |") or line:match("^| | .*$")
    if line == "## Beside Go" then
      break
    elseif place then
      add_described(described, place, owners)
    end
  end
  return described
end

--- The pages with what they should describe: page → "uv.connect" → its entry.
local function pages()
  local list = {}
  for _, entry in ipairs(order) do
    local page = overview.page(entry.module)
    list[page] = list[page] or {}
    if entry.key then
      list[page][overview.owner(entry) .. (entry.method and ":" or ".") .. entry.key] = entry
    end
  end
  return list
end

--- The fields that a class shows to programs and the pages do not name.
local function unnamed_fields(class, text)
  local missing = {}
  for _, field in ipairs(class.fields) do
    if is_public(field.name) and not field.private and not field.name:find("^%[")
      and not text:find("%f[%w_]" .. field.name .. "%f[^%w_]") then
      missing[#missing + 1] = class.name .. "." .. field.name
    end
  end
  return missing
end

describe("the reference names each field of what programs give and get:", function()
  -- The client has a page of its own for what is rarely asked.
  local more = { ["http.md"] = text_of("docs/reference/http-client.md") }
  for name, class in pairs(tree.classes) do
    if class.public then
      it(name, function()
        local page = overview.page(class.home)
        local text = text_of("docs/reference/" .. page) .. (more[page] or "")
        assert.equal("", sorted(unnamed_fields(class, text)))
      end)
    end
  end
end)

for page, declared in pairs(pages()) do
  describe("docs/reference/" .. page, function()
    local owners = {}
    for name in pairs(declared) do owners[name:match("^[%w_]+")] = true end
    local described = described_in("docs/reference/" .. page, owners)

    it("describes all that is declared, and no more", function()
      local missing, wrong = {}, {}
      for name in pairs(declared) do
        if described[name] == nil then missing[#missing + 1] = name end
      end
      for name in pairs(described) do
        if not declared[name] then wrong[#wrong + 1] = name end
      end
      assert.equal("", sorted(missing), "not described")
      assert.equal("", sorted(wrong), "described, but not declared")
    end)

    it("has the parameters of the annotations, in brackets where they may be left out", function()
      for name, arguments in pairs(described) do
        local entry = declared[name]
        if arguments and entry and entry.parameters then
          assert.equal(parameters_of(entry), arguments, name)
        end
      end
    end)
  end)
end

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

  for class, methods in pairs(classes) do
    -- Errors are what their methods are given: any value may be one.
    if not class:find("Error$") then
      it("raises at the caller's line: " .. class, function()
        for method, fn in pairs(methods) do
          if type(fn) == "function" and not method:find("^_") then
            check(class .. ":" .. method, fn, nil)
            for _, stranger in ipairs(strangers) do
              check(class .. ":" .. method, fn, stranger)
            end
          end
        end
      end)
    end
  end
end)

describe("the numbers of ctx.counters()", function()
  it("are all declared and described", function()
    local page, declared = text_of("docs/reference/ctx.md"), {}
    for _, field in ipairs(tree.classes["ctx.Counters"].fields) do
      declared[field.name] = true
      assert.truthy(ctx.counters()[field.name], field.name)
    end
    for name in pairs(ctx.counters()) do
      assert.truthy(declared[name], name)
      assert.truthy(page:find("`" .. name .. "`", 1, true), name)
    end
  end)
end)
