-- SPDX-License-Identifier: MIT
--- examples/graceful.lua as a process of its own, under load, told to stop by real signals.
local ctx = require "ctx"
local process = require "spec.support.process"
local uv = require "luv"

local SIGINT = 2
local here = debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or "."

--- Starts the server with these options; fn gets its process and its port.
local function with_server(options, fn)
  process.play(function()
    return process.lua(here .. "/../../examples/graceful.lua", table.unpack(options))
  end, "serving on ", function(c, p)
    fn(c, p, math.tointeger(p.output:match("serving on (%d+)")))
  end)
end

--- One request: the answer, or nil and an error.
local function ask(c, port, question)
  local socket = uv.new_tcp()
  local text = ""
  local answer, err = ctx.await(c, function(resolve)
    socket:connect("127.0.0.1", port, function(failed)
      if failed then
        return resolve(nil, failed)
      end
      socket:write(question .. "\n")
      socket:read_start(function(_, chunk)
        text = text .. (chunk or "")
        if not chunk then
          resolve(text ~= "" and text or nil, "no answer")
        end
      end)
    end)
  end)
  socket:close()
  return answer, err
end

describe("a server that is told to stop by SIGTERM", function()
  it("drains, loses nothing and exits 0", function()
    with_server({ "--work", "500" }, function(c, p, port)
      local tasks = {}
      for i = 1, 20 do
        tasks[i] = ctx.go(ask, c, port, "question " .. i)
      end
      for i = 1, 20 do
        p:expect(c, ("asked: question %d\n"):format(i))
      end
      p:kill "sigterm"
      for i = 1, 20 do
        local answer, err = tasks[i]:wait(c)
        assert.equal(("answer to question %d\n"):format(i), answer, err)
      end
      assert.equal(0, (p:wait(c)), p.output)
      assert.truthy(p.output:find("terminated signal received", 1, true))
      assert.truthy(p.output:find("20 answered, 20 written down", 1, true), p.output)
    end)
  end)

  it("takes on nothing new once it has stopped accepting", function()
    with_server({ "--work", "300" }, function(c, p, port)
      local first = ctx.go(ask, c, port, "early")
      p:expect(c, "asked: early\n")
      p:kill "sigterm"
      p:expect(c, "accepts no more\n")
      assert.is_nil(ask(c, port, "late"))
      assert.equal("answer to early\n", (first:wait(c)))
      assert.equal(0, (p:wait(c)), p.output)
    end)
  end)

  it("exits without force's help, but not with 0, when a worker is stuck", function()
    with_server({ "--stuck" }, function(c, p)
      p:kill "sigterm"
      assert.same({ 1, 0 }, { p:wait(c) })
      assert.truthy(p.output:find("still running: worker ", 1, true), p.output)
    end)
  end)
end)

describe("a server that is told to stop by SIGINT, twice,", function()
  it("is killed at once by the second", function()
    with_server({ "--work", "600000" }, function(c, p, port)
      local request = ctx.go(ask, c, port, "slow")
      p:expect(c, "asked: slow\n")
      p:kill "sigint"
      p:expect(c, "accepts no more\n")
      assert.is_nil(p.code) -- it drains
      p:kill "sigint"
      local _, killed_by = p:wait(c)
      assert.equal(SIGINT, killed_by)
      assert.is_nil((request:wait(c)))
    end)
  end)
end)

describe("a server whose stdout was closed", function()
  it("is not killed by that, and drains as ever", function()
    with_server({ "--work", "100" }, function(c, p, port)
      local request = ctx.go(ask, c, port, "deaf")
      p:expect(c, "asked: deaf\n")
      p:hang_up()
      p:kill "sigterm"
      assert.equal("answer to deaf\n", (request:wait(c)))
      local code, killed_by = p:wait(c)
      assert.equal(0, killed_by)
      assert.equal(0, code)
    end)
  end)
end)
