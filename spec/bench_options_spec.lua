-- SPDX-License-Identifier: MIT
local options = require "bench.options"

local function wrong(...)
  local found, why = options.parse { ... }
  assert.is_nil(found)
  return why
end

describe("the command line of ./dev bench", function()
  it("without anything is the whole table, five runs of each row at full scale", function()
    assert.same({ filters = {}, runs = 5, scale = 1 }, options.parse {})
  end)

  it("takes rows, by name or by the start of one, and numbers", function()
    local found = options.parse { "W3", "--runs", "2", "W3.idle.derive", "--scale", "0.1" }
    assert.same({ filters = { "W3", "W3.idle.derive" }, runs = 2, scale = 0.1 }, found)
    assert.equal("go,node", options.parse({ "--peers", "go,node" }).peers)
    assert.truthy(options.parse { "W11" })
  end)

  it("counts instructions and shows edges, of this tree or beside a commit", function()
    local found = options.parse { "--instructions", "W1", "--against", "abc123" }
    assert.is_true(found.instructions)
    assert.same({ "W1" }, found.filters)
    assert.equal("abc123", found.against)
    assert.same({ "fair" }, options.parse({ "fair", "--edges" }).filters)
  end)

  it("refuses unknown options and invalid values", function()
    assert.equal("no option --instruction", wrong("--instruction"))
    assert.equal("no option -x", wrong("W1", "-x"))
    assert.equal("no row W33", wrong("W33"))
    assert.equal("no row W", wrong("W"))
    assert.equal("--runs takes a positive number", wrong("--runs", "none"))
    assert.equal("--runs takes a positive number", wrong("--runs"))
    assert.equal("--scale takes a positive number", wrong("--scale", "0"))
    assert.equal("--peers takes names", wrong("--peers"))
    assert.equal("--against takes a commit", wrong("--edges", "--against", "--instructions"))
  end)

  it("refuses options that do not go together", function()
    assert.equal("--instructions or --edges, not both", wrong("--instructions", "--edges"))
    assert.equal("--against goes with --instructions or --edges", wrong("--against", "HEAD"))
    assert.equal("--peers does not go with --edges", wrong("--edges", "--peers", "go"))
    assert.equal("--runs does not go with --instructions, which has fixed counts",
      wrong("--instructions", "--runs", "3"))
  end)
end)

describe("a row's name", function()
  it("is picked by itself and by what stands before one of its dots", function()
    assert.is_true(options.picks("W3", "W3.idle.derive"))
    assert.is_true(options.picks("W3.idle", "W3.idle.derive"))
    assert.is_false(options.picks("W2", "W2b"))
    assert.is_false(options.picks("W1", "W11.cpu"))
  end)
end)
