-- SPDX-License-Identifier: MIT
--- Names that were changed before 1.0: a program that still uses an old one is told the new one, at
--- the line that does.
local client = require "ctx.http.client"
local ctx = require "ctx"
local luv = require "luv"
local raises = require("spec.support.misuse").raises
local uv = require "ctx.uv"

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
