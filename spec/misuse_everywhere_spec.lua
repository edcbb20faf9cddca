-- SPDX-License-Identifier: MIT
-- Every function of every module, and every method that an object without a peer has, with
-- arguments of all kinds: what it raises, it raises at the caller's line, as a text. Contexts among
-- the arguments are done, so that nothing begins.
--
-- Cause: each module checked by its own predicates, and what these let pass was raised deep inside,
-- or later. Cure: ctx.want.
local annotations = require "spec.docs.annotations"
local core = require "ctx.core"
local ctx = require "ctx"
local luv = require "luv"
local randoms = require "spec.support.random"
local reports = require "spec.support.reports"

local ROUNDS = 120
local seed = os.time()

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."
local _, _, tree = annotations.all(top)

local CLASSES = {
  "Context", "Task", "Breaker", "Permit", "Channel", "Group", "Mutex", "Held", "Pool", "Semaphore",
  "Singleflight", "WaitGroup", "Shutdown", "Router", "Server", "Client", "Deadline",
}

-- What runs the whole program, takes a descriptor of this process, or changes all that comes after.
local LEFT_OUT = {
  ["ctx.run"] = true, ["ctx.debug"] = true, ["ctx.set_report"] = true, ["ctx.uv.open"] = true,
  ["ctx.uv.listen_fd"] = true, ["ctx.uv.fs_close"] = true,
  ["Shutdown.run"] = true, ["Shutdown.wait"] = true, ["Task.wait"] = true,
}

local NIL = {}

local function values(done, cancel, timer)
  local broken = setmetatable({}, {
    __index = function() error("no field: of the program's own class, so it goes through") end,
    __tostring = function() error({ "no text" }) end,
  })
  return {
    NIL, true, false, -1, 0, 1, 3.0, 2.5, 0 / 0, math.huge, -math.huge, 1e300, math.maxinteger,
    math.mininteger, "", "x", "a\0b", "a\r\nb", ("x"):rep(300), {}, { 1 }, { 1, nil, 3 }, { a = 1 },
    { [1.5] = 1 }, broken, function() end, coroutine.create(function() end), io.stdout, done,
    cancel, ctx.canceled, timer, setmetatable({}, { __call = function() end }),
  }
end

local function objects(done)
  local breaker, mutex = require("ctx.breaker").new(), require("ctx.mutex").new()
  local http, propagate = require "ctx.http", require "ctx.propagate"
  return {
    Context = ctx.with_value(done, 1, 1),
    Task = ctx.go(function() end),
    Breaker = breaker,
    Permit = breaker:allow(),
    Channel = require("ctx.channel").new(2),
    Group = require("ctx.errgroup").new(),
    Mutex = mutex,
    Held = mutex:hold(ctx.background()),
    Pool = require("ctx.pool").new(done, { workers = 1 }, print),
    Semaphore = require("ctx.semaphore").new(3),
    Singleflight = require("ctx.singleflight").new(),
    WaitGroup = require("ctx.waitgroup").new(),
    Shutdown = require("ctx.shutdown").new(ctx.background(), { signals = {} }),
    Router = http.router(),
    Server = http.server { handler = function() end },
    Client = http.client {},
    Deadline = propagate.deadline { header = "x" },
  }
end

--- The functions of a table that are for everyone, by name: in this order, so that a seed says all.
local function functions_of(object)
  local names = {}
  for name, fn in pairs(object) do
    if type(fn) == "function" and not name:find("^_") then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  local i = 0
  return function()
    i = i + 1
    return names[i], object[names[i]]
  end
end

--- Calls fn again and again, with any arguments; what it raises elsewhere than here is added to
--- `wrong`.
local function try(wrong, name, fn, draw, given, self)
  for _ = 1, ROUNDS do
    local count, arguments = draw(5) - 1, {}
    local first = self ~= nil and 1 or 0
    arguments[1] = self
    for i = first + 1, first + count do
      local value = given[draw(#given)]
      arguments[i] = value ~= NIL and value or nil
    end
    local ok, err = pcall(function() fn(table.unpack(arguments, 1, first + count)) end)
    if not ok and not (type(err) == "string" and err:find("misuse_everywhere_spec%.lua:%d")) then
      wrong[#wrong + 1] = name .. ": " .. require("ctx.errors").describe(err):match("[^\n]*")
      return
    end
  end
end

--- Runs fn in a task, in a folder of its own, since some functions make files.
local function aside(fn)
  local before = assert(luv.cwd())
  local folder = assert(luv.fs_mkdtemp(luv.os_tmpdir() .. "/ctx_misuse_XXXXXX"))
  assert(luv.chdir(folder))
  local _ <close> = setmetatable({}, { __close = function()
    assert(luv.chdir(before))
    local files = luv.fs_scandir(folder)
    for name in function() return (luv.fs_scandir_next(files)) end do
      os.remove(folder .. "/" .. name)
    end
    assert(luv.fs_rmdir(folder))
  end })
  reports(function()
    ctx.run(function()
      local done, cancel = ctx.with_cancel(ctx.background())
      cancel("done")
      local timer = luv.new_timer()
      fn(randoms(seed), values(done, cancel, timer), done)
      if not timer:is_closing() then timer:close() end
    end)
    core.fake_clock(false) -- ctx.testing.clock has installed one
  end)
end

describe(("misuse is told at the caller's line (seed %d)"):format(seed), function()
  for _, module in ipairs(tree.modules) do
    it("by each function of " .. module, function()
      local wrong = {}
      aside(function(draw, given)
        for name, fn in functions_of(require(module)) do
          if not LEFT_OUT[module .. "." .. name] then
            try(wrong, module .. "." .. name, fn, draw, given)
          end
        end
      end)
      assert.equal("", table.concat(wrong, "\n"))
    end)
  end

  it("by each method", function()
    local wrong = {}
    aside(function(draw, given, done)
      for _, class in ipairs(CLASSES) do
        for name, fn in functions_of(getmetatable(objects(done)[class]).__index) do
          local full = class .. "." .. name
          if not LEFT_OUT[full] then
            try(wrong, full, fn, draw, given, objects(done)[class])
          end
        end
      end
    end)
    assert.equal("", table.concat(wrong, "\n"))
  end)
end)
