-- SPDX-License-Identifier: MIT
-- The main example, as `./dev demo` runs it: six processes that speak HTTP, seven acts.
local http = require "ctx.http"
local process = require "spec.support.process"
local program = require "spec.support.program"

describe("the storefront", function()
  it("plays all its acts, and each goes as it must", function()
    local output, noise, code = program.run_file(program.example("storefront/demo.lua"))
    assert.equal("", noise)
    assert.equal(0, code, output)
    local from = 1
    for _, text in ipairs({
      "Act 1", "is alive", "is ready", "all in one trace", "Act 2", "product info has failed",
      "reviews         GET /items/8: no answer", "Act 3", "gets 504", "Act 4", "^C",
      "gateway         GET /products/10: no answer", "the client has gone", "Act 5",
      "30 of 30 got their page", "drained in", "ECONNREFUSED", "Act 6", "pages have come", "Act 7",
      "at most 4 at a time",
    }) do
      local _, last = output:find(text, from, true)
      assert.is_truthy(last, ("%q is not where it should be in:\n%s"):format(text, output))
      from = last + 1
    end
    assert.is_nil(output:find("FAILED", 1, true))
  end)

  -- Only with --open did it listen for signals: its servers, each in a group of its own, lived on.
  it("closes the shop on ^C in the middle of an act", function()
    process.play(function()
      return process.lua(program.example("storefront/demo.lua"))
    end, "Act 3", function(c, p)
      p:kill("sigint")
      p:expect(c, "not all acts were played: interrupt signal received")
      p:expect(c, "recommendations has ended: terminated signal received")
      assert.same({ 1, 0 }, { p:wait(c) })
    end)
  end)

  it("stays open for visitors until ^C", function()
    process.play(function()
      return process.lua(program.example("storefront/demo.lua"), "--open")
    end, "how=hang'", function(c, p)
      local url = p.output:match("curl %-i (%S+/products/7)")
      local client <close> = http.client()
      assert.equal(200, assert(client:get(c, url)).status)
      p:expect(c, '"path":"/products/7"') -- the access log is shown
      p:kill("sigint")
      assert.same({ 0, 0 }, { p:wait(c) })
    end)
  end)
end)
