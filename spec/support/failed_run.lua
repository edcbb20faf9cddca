-- SPDX-License-Identifier: MIT
--- What testing.run(fn, options) fails with, as a text; nil if it does not.
local testing = require "ctx.testing"

return function(fn, options)
  local ok, err = pcall(testing.run, fn, options)
  return not ok and tostring(err) or nil
end
