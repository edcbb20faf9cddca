-- SPDX-License-Identifier: MIT
--- All operations of the fuzzer by the names of the annotations, and what is to be known of the
--- classes of objects: how one is made, and how it is let go of.
local trouble = require "spec.fuzz.trouble"

local INSIDE = { "context", "running", "groups", "permits", "values", "service", "propagation" }
local OUTSIDE = { "streams", "files", "serving", "requesting", "crowd" }

--- `outside`: the names of what may be done together with files, sockets and programs; `inside`:
--- under a clock that is moved by hand.
local catalogue = { operations = {}, classes = {}, outside = {}, inside = {} }

local function add(into, from)
  for name, what in pairs(from) do
    assert(not into[name], name)
    into[name] = what
  end
end

local function add_names(operations, ...)
  for name in pairs(operations) do
    for _, list in ipairs { ... } do
      list[#list + 1] = name
    end
  end
end

local function add_room(found, ...)
  add(catalogue.operations, found.operations)
  add(catalogue.classes, found.classes or {})
  add_names(found.operations, ...)
end

for _, room in ipairs(INSIDE) do
  add_room(require("spec.fuzz.operations." .. room), catalogue.inside, catalogue.outside)
end
for _, room in ipairs(OUTSIDE) do
  add_room(require("spec.fuzz.operations." .. room), catalogue.outside)
end
add_room(require "spec.fuzz.operations.testing", catalogue.inside)
add_room({ operations = trouble.operations }, catalogue.inside, catalogue.outside)
table.sort(catalogue.inside)
table.sort(catalogue.outside)

return catalogue
