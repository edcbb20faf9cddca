-- SPDX-License-Identifier: MIT
--- What programs may use of the library, as the annotations in lua/ and types/ declare it: the one
--- list for the overview, the editor's stubs and all specs that try every function.
---
--- A module is public if its table is a `---@class` of the module's own name; a class is, if the
--- annotations of something public name it. What is `---@package` or `---@private`, or begins with
--- an underscore, is not. A function that a module takes from another one (`connect =
--- dial.connect`) is declared where it is defined; one that several modules have counts once, by
--- its shortest name.
---
--- Names are those of the class and of the function: "ctx.with_timeout", "ctx.errgroup.Group:go" (a
--- method), "ctx.Cancel()" (an object that is called).
local source = require "spec.docs.source"

local annotations = {}

---@class docs.Entry
---@field name string        "ctx.uv.Stream:read"
---@field module string      the public module to which it belongs: "ctx.uv"
---@field class string       "ctx.uv.Stream"; the module's name for a function of a module
---@field key string?        "read"; nil for an object that is called
---@field method string?     the same, if it is a method
---@field parameters string? between the parentheses; nil for a value
---@field definition docs.Definition

---@class docs.Tree
---@field files table<string, table>  by module
---@field classes table<string, table>
---@field aliases table<string, string>
---@field modules string[]            the public ones, in order, with functions of their own
---@field public string[]             these, and those that only have what others have
---@field hidden table<string, true>  names of what is there and not public
---@field unknown string[]            classes that annotations name and nothing declares

local function merge_class(into, class)
  local known = into[class.name]
  if not known then
    into[class.name] = class
    return
  end
  known.text = known.text ~= "" and known.text or class.text
  known.called = known.called or class.called
  table.move(class.fields, 1, #class.fields, #known.fields + 1, known.fields)
  table.move(class.parents, 1, #class.parents, #known.parents + 1, known.parents)
end

local function read_files(root)
  local tree, list = { files = {}, classes = {}, aliases = {}, modules = {}, hidden = {},
    unknown = {} }, {}
  local found = assert(io.popen(("cd '%s' && find types lua -name '*.lua' | LC_ALL=C sort")
    :format(root)))
  for path in found:lines() do
    local module = path:gsub("^%w+/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    local file = source.read(root .. "/" .. path, module)
    tree.files[file.module], list[#list + 1] = file, file
    for _, class in pairs(file.classes) do
      merge_class(tree.classes, class)
    end
    for name, meant in pairs(file.aliases) do
      tree.aliases[name] = meant
    end
  end
  found:close()
  for _, file in ipairs(list) do
    for variable, class in pairs(file.class_of) do
      local methods, own = tree.classes[class].methods, file.members[variable] or { order = {} }
      for _, key in ipairs(own.order) do
        methods[key] = methods[key] or own[key]
      end
    end
  end
  return tree
end

-- -- Where something is defined -------------------------------------------------------------------

local resolve

--- A field of a class, or of one that it extends, as a definition.
local function field_of(tree, class, key)
  for _, field in ipairs(class and class.fields or {}) do
    if field.name == key then
      local what = source.of_field(field)
      what.file, what.line = class.file, class.line
      return what
    end
  end
  for _, parent in ipairs(class and class.parents or {}) do
    local found = field_of(tree, tree.classes[parent], key)
    if found then
      return found
    end
  end
end

--- What stands behind `variable.key` in a file: the field of its class, if that declares one.
local function member(tree, file, variable, key)
  local field = field_of(tree, tree.classes[file.class_of[variable]], key)
  local what = file.members[variable] and file.members[variable][key]
  if field or not (what and what.alias) then
    return field or what
  end
  return resolve(tree, file, what.alias) or what
end

--- What an expression stands for: "dial.connect", or a local function, or a module.
function resolve(tree, file, expression)
  local variable, key = expression:match("^([%w_]+)%.([%w_]+)$")
  local module = tree.files[file.requires[variable or expression]]
  if module and key then
    return module.returned and member(tree, module, module.returned, key)
  elseif variable then
    return member(tree, file, variable, key)
  elseif module then
    return { file = module.path, line = 1, text = module.text, type = "table", params = {},
      returns = {}, async = false, hidden = false }
  end
  return file.functions[expression]
end

-- -- Public ---------------------------------------------------------------------------------------

local function own_class(file)
  local class = file.returned and file.class_of[file.returned]
  return class == file.module and class
end

local function is_public(key)
  return key == "_VERSION" or not key:find("^[_%[]")
end

local function keys_of(tree, file)
  local keys, seen = {}, {}
  local function add(key)
    if not seen[key] and is_public(key) then
      seen[key] = true
      keys[#keys + 1] = key
    end
  end
  local function add_fields(class)
    for _, field in ipairs(class.fields) do add(field.name) end
    for _, parent in ipairs(class.parents) do add_fields(tree.classes[parent]) end
  end
  for _, key in ipairs((file.members[file.returned] or { order = {} }).order) do add(key) end
  add_fields(tree.classes[file.module])
  return keys
end

--- The modules, "ctx" first; each name after those that are shorter.
local function public_modules(tree)
  local names = {}
  for name, file in pairs(tree.files) do
    if own_class(file) then
      names[#names + 1] = name
    end
  end
  table.sort(names, function(a, b)
    local _, deep_a = a:gsub("%.", "")
    local _, deep_b = b:gsub("%.", "")
    if deep_a ~= deep_b then return deep_a < deep_b end
    return a < b
  end)
  return names
end

--- Adds the functions and values of the public modules.
local function add_modules(tree, found, order)
  local seen = {}
  tree.public = public_modules(tree)
  for _, name in ipairs(tree.public) do
    local file, own = tree.files[name], false
    for _, key in ipairs(keys_of(tree, file)) do
      local what = member(tree, file, file.returned, key)
      local place = what and (what.field or what)
      if what and what.hidden then
        tree.hidden[name .. "." .. key] = true
      elseif what and not seen[place] then
        seen[place], own = true, true
        local entry = { name = name .. "." .. key, module = name, class = name, key = key,
          parameters = what.parameters, definition = what }
        found[entry.name] = entry
        order[#order + 1] = entry
      end
    end
    if own then
      table.insert(tree.modules, name)
    end
  end
end

--- All types that an annotation names.
local function types_of(what)
  local types = { what.type or "" }
  for _, part in ipairs(what.params) do types[#types + 1] = part.type end
  for _, part in ipairs(what.returns) do types[#types + 1] = part.type end
  return table.concat(types, " ")
end

--- The public module of a class: of a file in lua/, the nearest one above it; of a stub, the first
--- module with a function that returns the class.
local function home_of(tree, order, class)
  local path = class.file:match("/lua/(ctx.*)%.lua$")
  if path then
    local public = {}
    for _, name in ipairs(tree.modules) do public[name] = true end
    local module = path:gsub("/", ".")
    while not public[module] do module = module:match("^(.*)%.") or "ctx" end
    return module
  end
  local wanted = "[^%w_.]" .. class.name:gsub("%.", "%%.") .. "[^%w_.]"
  for _, entry in ipairs(order) do
    for _, result in ipairs(entry.definition.returns) do
      if (" " .. result.type .. " "):find(wanted) then
        return entry.module
      end
    end
  end
  return "ctx"
end

--- The public functions of a class, as a list of { key, definition, method }, in the order of their
--- places; an object that is called comes first, under the key false.
local function functions_of(tree, class)
  local list = {}
  for key, what in pairs(class.methods) do
    if what.hidden then
      tree.hidden[class.name .. ":" .. key] = true
    elseif what.parameters and is_public(key) then
      list[#list + 1] = { key = key, what = what, mark = what.method and ":" or "." }
    end
  end
  for _, field in ipairs(class.fields) do
    if field.type:find("^a?s?y?n?c?%s*fun%(self:") and is_public(field.name)
      and not class.methods[field.name] then
      list[#list + 1] = { key = field.name, what = field_of(tree, class, field.name), mark = ":" }
    end
  end
  table.sort(list, function(a, b)
    if a.what.file ~= b.what.file then return a.what.file < b.what.file end
    if a.what.line ~= b.what.line then return a.what.line < b.what.line end
    return a.key < b.key
  end)
  if class.called then
    table.insert(list, 1, { key = false, mark = "()", what = { file = class.file, line = class.line,
      text = class.text, parameters = class.called:match("^fun%((.-)%)"), params = {}, returns = {},
      async = false, hidden = false, type = class.called } })
  end
  return list
end

--- Adds the functions of a class, and of all classes that its annotations name.
local function add_class(tree, found, order, name, seen)
  local class = tree.classes[name]
  if seen[name] then
    return ""
  end
  seen[name] = true
  if not class then
    tree.unknown[#tree.unknown + 1] = not tree.aliases[name] and name or nil
    return tree.aliases[name] or ""
  end
  class.public = true
  local types = { table.concat(class.parents, " ") }
  for _, field in ipairs(class.fields) do
    types[#types + 1] = is_public(field.name) and not field.private and field.type or ""
  end
  class.home = home_of(tree, order, class)
  for _, each in ipairs(functions_of(tree, class)) do
    local entry = { name = name .. each.mark .. (each.key or ""), module = class.home, class = name,
      key = each.key or nil, method = each.mark == ":" and each.key or nil,
      parameters = each.what.parameters, definition = each.what }
    found[entry.name] = entry
    order[#order + 1] = entry
    types[#types + 1] = types_of(each.what)
  end
  return table.concat(types, " ")
end

--- Reads all of it: the entries by their names and in order; and the tree, for its modules and
--- classes.
---@param root string  the tree's folder
---@return table<string, docs.Entry> found
---@return docs.Entry[] order
---@return docs.Tree tree
function annotations.all(root)
  local tree, found, order = read_files(root), {}, {}
  add_modules(tree, found, order)
  local pending, seen = {}, {}
  for _, entry in ipairs(order) do
    pending[#pending + 1] = types_of(entry.definition)
  end
  for _, name in ipairs(tree.modules) do
    seen[name] = true
  end
  local at = 0
  while at < #pending do
    at = at + 1
    for name in pending[at]:gmatch("%f[%w_]ctx%.[%w_.]*[%w_]") do
      pending[#pending + 1] = add_class(tree, found, order, name, seen)
    end
  end
  return found, order, tree
end

--- The functions by their names; values are left out.
---@param root string
---@return table<string, docs.Entry>
function annotations.read(root)
  local found = annotations.all(root)
  for name, entry in pairs(found) do
    if not entry.parameters then
      found[name] = nil
    end
  end
  return found
end

return annotations
