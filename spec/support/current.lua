-- SPDX-License-Identifier: MIT
-- A helper of busted: writes the name of the test that runs into the file that SPEC_CURRENT names,
-- so that .ci/specs can say where a file crashed or was ended. What a test prints may still be in a
-- buffer then.

local busted = require "busted"

local file = assert(io.open(os.getenv "SPEC_CURRENT", "w"))
file:setvbuf("no")

busted.subscribe({ "test", "start" }, function(element)
  file:seek("set")
  file:write(element.name, "\n")
end)
