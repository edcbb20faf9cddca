-- SPDX-License-Identifier: MIT
--- examples/nginx, as users run it: a rolling restart under load behind a real nginx.
local program = require "spec.support.program"

describe("examples/nginx/rolling.lua", function()
  it("restarts each instance in its turn, and loses no request", function()
    local output, noise, code = program.run_file(program.example "nginx/rolling.lua")
    assert.equal("", noise)
    assert.equal(0, code, output)
    for _, name in ipairs { "instance 1.1", "instance 2.1", "instance 1.2", "instance 2.2" } do
      assert.truthy(output:find("0 lost: " .. name .. " takes over\n", 1, true), output)
    end
    local refused = tonumber(output:match("nginx was refused (%d+) connections"))
    local answered, lost = output:match("(%d+) requests answered, (%d+) lost\n$")
    assert.is_true(refused > 0)
    assert.is_true(tonumber(answered) > 600)
    assert.equal("0", lost)
    -- On a busy machine a new instance may take longer to listen than nginx waits, which then asks
    -- the other one.
    for line in output:gmatch("nginx: [^\n]*") do
      assert.truthy(line:find("timed out.*while connecting"), line)
    end
  end)
end)
