-- SPDX-License-Identifier: MIT
--- Work that a handler starts and does not wait for, in three ways. On the request's context it
--- ends as soon as the handler returns. Without a context it outlives everything and piles up.
--- Detached and with a timeout it gets done. Tests find the first by its missing result, the
--- second by the task that is left.
--
-- Usage: ./dev lua examples/http_background.lua     (exits 0 only if all went as it should)

local ctx = require("ctx")
local http = require("ctx.http")
local testing = require("ctx.testing")

local AUDIT_MS = 20

--- Writes down what happened; takes a while.
local function audit(c, done)
  local ok = ctx.sleep(c, AUDIT_MS)
  done.how = ok and "written" or tostring(c:cause())
end

local ways = {
  ["on the request's context"] = function(request, done)
    ctx.go(audit, request, done)
  end,
  ["on no context"] = function(_, done)
    ctx.go(function()
      audit(ctx.background(), done)
      ctx.sleep(ctx.background(), math.huge) -- for an answer that never comes
    end)
  end,
  ["detached, with a timeout"] = function(request, done)
    ctx.go(function()
      local c, cancel <close> = ctx.with_timeout(ctx.without_cancel(request), 5000)
      audit(c, done)
    end)
  end,
}

--- One request, in a test of its own: how the audit ended, and what the test says.
local function try(start)
  local done = {}
  local ok, complaint = pcall(testing.run, function(root)
    local server = http.server { handler = function(req, res)
      start(req.ctx, done)
      res.status = 202
      return res:finish(req.ctx, "accepted")
    end }
    assert(server:listen("127.0.0.1", 0))
    ctx.go(server.serve, server, root)
    local url = ("http://127.0.0.1:%d/"):format(server:address().port)
    assert(assert(http.get(root, url)).status == 202)
    assert(server:shutdown(root))
    repeat ctx.sleep(root, 1) until done.how
  end, { real = true })
  return done.how, not ok and tostring(complaint) or nil
end

local function show(name, expected, expected_complaint)
  local how, complaint = try(ways[name])
  local said = complaint and "; the test: " .. complaint:match("[^\n]*") or ""
  print(("%-26s %s%s"):format(name, how, said))
  assert(how == expected and (complaint ~= nil) == expected_complaint)
end

show("on the request's context", tostring(http.handler_returned), false)
show("on no context", "written", true)
show("detached, with a timeout", "written", false)
