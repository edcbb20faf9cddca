-- SPDX-License-Identifier: MIT
-- Whole programs that use ctx.uv, and what happens when descriptors run out, and at the end.
local loopback = require "spec.support.loopback"
local luv = require "luv"
local uv = require "ctx.uv"

local run = loopback.run

describe("a program with ctx.uv", function()
  --- Runs Lua in a process of its own, with this one's search paths.
  local function lua(root, limits, script)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(script)
    file:close()
    local command = ("%s; exec %s %s"):format(limits, luv.exepath(), path)
    local result = assert(uv.spawn(root, "sh", { args = { "-c", command }, cwd = luv.cwd() }))
    os.remove(path)
    assert.equal("", result.stderr)
    return result
  end

  it("survives writing to a peer that has gone", function()
    run(function(root)
      local result = lua(root, "true", [[
        local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
        ctx.run(function(root)
          local fds = assert(luv.socketpair())
          local one, other = assert(uv.open(fds[1])), assert(uv.open(fds[2]))
          other:close()
          local ok, err = one:write(root, "x")
          io.write(tostring(ok), " ", err.code)
          one:close()
        end)]])
      assert.same({ code = 0, signal = 0, stdout = "nil EPIPE", stderr = "" }, result)
    end)
  end)

  -- Libuv closes the connections that it has no descriptor for. What counts: the peers hear of it,
  -- no turn of the loop spins, and when there are descriptors again all goes on.
  it("goes on when descriptors run out (EMFILE)", function()
    run(function(root)
      local result = lua(root, "ulimit -n 40", [[
        local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
        ctx.set_report(function() end)
        ctx.run(function(root)
          local listener <close> = assert(uv.listen("127.0.0.1", 0))
          local port = listener:address().port
          local accepted, n = {}, 0
          local server = ctx.go(function()
            while true do
              local socket = listener:accept(root)
              if not socket then return end
              n = n + 1
              accepted[n] = socket
            end
          end)
          local clients, err = {}, nil
          repeat
            local client
            client, err = uv.connect(root, "127.0.0.1", port)
            clients[#clients + 1] = client
          until not client
          io.write(err.code)
          local before = luv.getrusage().utime
          ctx.sleep(root, 50)
          local busy = luv.getrusage().utime
          local used = (busy.sec - before.sec) * 1000 + (busy.usec - before.usec) / 1000
          io.write(used < 40 and " calm" or " busy " .. used)
          for _, client in ipairs(clients) do client:close() end
          for _, socket in ipairs(accepted) do socket:close() end
          ctx.sleep(root, 5)
          for _, socket in ipairs(accepted) do socket:close() end
          local count = n
          local client <close> = assert(uv.connect(root, "127.0.0.1", port))
          while n == count do ctx.sleep(root, 1) end
          io.write(" again")
          accepted[n]:close()
          listener:close()
          server:wait()
        end)]])
      assert.equal("EMFILE calm again", result.stdout)
      assert.equal(0, result.code)
    end)
  end)

  -- Luv opens a loop for the Lua state of a work, on the other thread, and panics there if it
  -- cannot: now descriptors are looked for before.
  it("says that there are no descriptors left for a work", function()
    run(function(root)
      local result = lua(root, "ulimit -n 60", [[
        local ctx, uv, luv = require "ctx", require "ctx.uv", require "luv"
        ctx.run(function(root)
          local open, fd = {}, nil
          repeat
            fd = luv.fs_open("/dev/null", "r", 0)
            open[#open + 1] = fd
          until not fd
          local nothing, err = uv.work(root, function() end)
          io.write(tostring(nothing), " ", err.code)
          for _, one in ipairs(open) do luv.fs_close(one) end
          io.write(" ", uv.work(root, function() return "done" end))
        end)]])
      assert.same({ code = 0, signal = 0, stdout = "nil EMFILE done", stderr = "" }, result)
    end)
  end)

  -- What luv keeps for the end of a work was collected at the end of the program, which waits for
  -- the thread in any case: it ended with code 255. Now ctx.run waits.
  it("ends well though a work was given up", function()
    run(function(root)
      local result = lua(root, "true", [[
        local ctx, uv = require "ctx", require "ctx.uv"
        ctx.run(function(root)
          local c, cancel <close> = ctx.with_timeout(root, 1)
          local _, err = uv.work(c, function()
            local until_time = os.clock() + 0.05
            while os.clock() < until_time do end
          end)
          io.write(tostring(err))
        end)]])
      assert.same({ code = 0, signal = 0, stdout = "context deadline exceeded", stderr = "" },
        result)
    end)
  end)
end)
