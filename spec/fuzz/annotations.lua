-- SPDX-License-Identifier: MIT
--- The public functions and methods, as the annotations of types/ declare them.
---
--- A name is that of the class and of the function: "ctx.with_timeout", "ctx.Group:go" (the method
--- of a class), "ctx.Cancel()" (an object that is called). Fields of type `fun(…)` count for
--- modules and for methods (`fun(self: …`); in the tables of options they are callbacks, which the
--- library calls. What is @package or @private is not public.
local annotations = {}

--- Reads one stub; adds name → { module, class, method, parameters } to `found`.
local function read_stub(path, found)
  local module, class, hidden, called -- called: a class whose objects are called
  local class_of = {} -- variable → class
  local function add(name, fields)
    fields.module, fields.name = module, name
    found[name] = fields
  end
  for line in io.lines(path) do
    module = line:match("^%-%-%-@meta ([%w_.]+)") or module
    class = line:match("^%-%-%-@class ([%w_.]+)") or class
    hidden = hidden or line:find("^%-%-%-@package") or line:find("^%-%-%-@private")
    local field, kind = line:match("^%-%-%-@field ([%w_]+)%??%s+(.*)")
    local parameters = kind
      and (kind:match("^fun%((.-)%)") or kind:match("^async fun%((.-)%)"))
    field = parameters and field
    local is_method = field and parameters:find("^self:")
    if is_method or field and class == module then
      add(class .. (is_method and ":" or ".") .. field,
        { class = class, method = is_method and field, key = field, parameters = parameters })
    elseif class and line:find("^%-%-%-@overload fun%(") and not class_of[class] then
      called = class
    end
    local variable = line:match("^local ([%w_]+) = {}")
    if variable then
      class_of[variable], called = class, nil
    elseif line == "" and called then
      add(called .. "()", { class = called, parameters = "" })
      called = nil
    end
    local owner, mark, key, list = line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%)")
    if owner then
      if not hidden then
        add(class_of[owner] .. mark .. key, { class = class_of[owner], key = key,
          method = mark == ":" and key, parameters = list })
      end
      hidden, called = nil, nil
    end
  end
end

--- name → { module, name, class, key, method, parameters }
---@param root string  the tree's folder
---@return table<string, table>
function annotations.read(root)
  local found = {}
  local stubs = assert(io.popen(("find '%s/types' -name '*.lua' | LC_ALL=C sort"):format(root)))
  for path in stubs:lines() do
    read_stub(path, found)
  end
  stubs:close()
  return found
end

return annotations
