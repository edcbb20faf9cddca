-- SPDX-License-Identifier: MIT
--- Names: those that classes have in messages, and those that were changed before 1.0.
local classes = require "spec.support.classes"
local client = require "ctx.http.client"
local ctx = require "ctx"
local luv = require "luv"
local program = require "spec.support.program"
local raises = require("spec.support.misuse").raises
local uv = require "ctx.uv"

local root = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/.."

-- Cause: messages said "ctx.mutex expected", "ctx.uv.Stream expected", "ctx.http.Response" for two
-- classes. Cure: a class is called by its module and its own name, as in the annotations.
describe("the name of a class", function()
  local output, noise = program.run(([[
    local classes = require "spec.support.classes"
    local faults, names = classes.judge(classes.all(%q))
    print(#faults == 0 and table.concat(names, " ") or table.concat(faults, "\n"))
  ]]):format(root))

  it("is its module's, and its own with a capital; no two have the same", function()
    assert.equal("", noise)
    for name in ("ctx.Context ctx.Task ctx.mutex.Held ctx.http.Response ctx.http.client.Response "
      .. "ctx.http.curl.Pool ctx.line.Waiter ctx.semaphore.Semaphore ctx.uv.Inbox ctx.uv.Stream")
      :gmatch("%S+") do
      assert.truthy((output:gsub("\n", " ")):find(name .. " ", 1, true), output)
    end
    assert.is_nil(output:find("\n.", 1), output)
  end)

  -- Of C: private, or without anything to declare.
  local unseen = { ["ctx.Generator"] = true, ["ctx.core.Queue"] = true, ["ctx.core.Guard"] = true,
    ["ctx.http.curl.Pool"] = true, ["ctx.http.curl.Transfer"] = true,
    ["ctx.http.curl.URL"] = true, ["ctx.http.wire.Reader"] = true }

  it("is that of its annotation", function()
    local annotated = {}
    local found = assert(io.popen(("cd '%s' && grep -rhoE '@class [A-Za-z_.]+' lua types")
      :format(root)))
    for line in found:lines() do
      annotated[line:match("%S+$")] = true
    end
    found:close()
    for name in output:gmatch("%S+") do
      assert.truthy(annotated[name] or unseen[name], name)
    end
  end)

  it("is found wrong when it is", function()
    local function faults_of(...)
      local hidden = { ... } -- an upvalue, as a module has its metatables
      local function of_ours() return hidden end
      return table.concat((classes.judge(classes.reached { of_ours, hidden })), "; ")
    end
    local methods = { close = function() end }
    assert.equal("", faults_of({ __name = "ctx.uv.Timer", __index = methods }))
    assert.equal("nil: not a module and a class", faults_of({ __index = methods }))
    assert.equal("ctx.mutex: not a module and a class", faults_of({ __name = "ctx.mutex" }))
    assert.equal("ctx.timer.Timer: ctx.timer is not a module",
      faults_of({ __name = "ctx.timer.Timer" }))
    assert.equal("ctx.uv.Timer: the name of two classes", faults_of({ __name = "ctx.uv.Timer" },
      { __name = "ctx.uv.Timer", __index = methods }))
    assert.equal("", faults_of({ __close = print }, { __mode = "k" }))
  end)

  it("is what prints, and what is said to be expected", function()
    local lock, stream = require("ctx.mutex").new(), assert(uv.udp())
    local _ <close> = stream
    assert.matches("^ctx%.mutex%.Mutex: ", tostring(lock))
    assert.matches("^ctx%.uv%.Udp: ", tostring(stream))
    assert.equal("ctx.http.client.Client", tostring(client.new()))
    raises(function() lock.unlock(stream) end, "ctx.mutex.Mutex expected, got ctx.uv.Udp")
    raises(function() ctx.sleep(lock, 1) end, "a context expected, got ctx.mutex.Mutex")
  end)
end)

describe("a former name raises, and the message gives the present one:", function()
  it("stream:shutdown", function()
    local stream <close> = uv.stream(assert(luv.new_pipe(false)))
    raises(function() stream:shutdown(ctx.background()) end, "it is stream:finish now")
    raises(function() stream.shutdown({}) end, "bad self to 'shutdown'")
  end)

  for old, new in pairs { connect = "connect_timeout", idle = "idle_timeout" } do
    it(("option %s of a request, and of a client"):format(old), function()
      local message = ('got "%s"; it is "%s" now'):format(old, new)
      raises(function() client.get(ctx.background(), "http://h/", { [old] = 5 }) end, message)
      raises(function() client.new { [old] = 5 } end, message)
    end)
  end

  it("which is still the name where it has not changed", function()
    local listener <close> = assert(uv.listen("127.0.0.1", 0, { idle = 5 }))
    assert.is_false(listener:is_closed())
  end)
end)
