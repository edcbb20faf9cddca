-- SPDX-License-Identifier: MIT
--- Reads the annotations of one Lua file: classes with their fields, functions with parameters and
--- results, and what a module's table gets from other modules. Nothing is run.
---
--- The files are laid out alike, and that is enough here: a function, a class or an assignment
--- begins in the first column, its annotations stand right above it, an entry of a module's table
--- has a line of its own.
local source = {}

---@class docs.Part      a parameter, a result or a field
---@field name string
---@field type string
---@field optional boolean
---@field text string
---@field private boolean?  of a field

---@class docs.Definition  a function or a value
---@field file string
---@field line integer
---@field text string         the description
---@field parameters string?  as they stand between the parentheses; nil for a value
---@field params docs.Part[]
---@field returns docs.Part[]
---@field async boolean       it may wait
---@field hidden boolean      for the library only
---@field type string?        of a value

-- -- Types ----------------------------------------------------------------------------------------

--- The place behind the type that begins at `at`.
local function type_end(text, at)
  at = text:match("^%s*()", at)
  local parameters = text:match("^fun%b()()", at) or text:match("^async%s+fun%b()()", at)
  if parameters then
    local result = text:match("^%s*:()", parameters)
    at = parameters
    while result do
      at = type_end(text, result)
      result = text:match("^%s*,()", at)
    end
    return at
  end
  local behind = text:match("^%b{}()", at) or text:match("^%b()()", at) or text:match("^%b[]()", at)
    or text:match('^"[^"]*"()', at) or text:match("^'[^']*'()", at)
    or text:match("^[%w_.%-]+%b<>()", at) or text:match("^[%w_.%-]+()", at) or at
  local suffix = text:match("^%[%]()", behind) or text:match("^%?()", behind)
  while suffix do
    behind = suffix
    suffix = text:match("^%[%]()", behind) or text:match("^%?()", behind)
  end
  local other = text:match("^%s*|()", behind)
  return other and type_end(text, other) or behind
end

--- A type, and the text behind it.
local function split_type(text)
  local behind = type_end(text, 1)
  return text:sub(1, behind - 1), text:sub(behind)
end

local function trim(text)
  return (text:gsub("^[%s#]+", ""):gsub("%s+$", ""))
end

local function is_optional(kind)
  return not kind:find("fun%(") and (kind:find("%?$") ~= nil or kind:find("|nil", 1, true) ~= nil)
end

-- -- Tags -----------------------------------------------------------------------------------------

--- "name? type  text": a parameter or a field.
local function named(text)
  local name, mark, rest = text:match("^(%[[^%]]*%])(%??)%s+(.*)$")
  if not name then
    name, mark, rest = text:match("^([%w_.]+)(%??)%s*(.*)$")
  end
  local kind, behind = split_type(rest)
  return { name = name, type = kind, optional = mark == "?" or is_optional(kind),
    text = trim(behind) }
end

--- "type name, type name  text" → a list of results.
local function results(text, list)
  local kind, behind = split_type(text)
  local name, rest = behind:match("^ ([%w_]+%??)(.*)$")
  if not name then
    name, rest = behind:match("^ (%.%.%.)(.*)$")
  end
  list[#list + 1] = { name = name or "", type = kind, optional = is_optional(kind),
    text = trim(rest or behind) }
  local more = (rest or behind):match("^%s*,%s*(.*)$")
  if more then
    list[#list].text = ""
    results(more, list)
  end
end

--- What a field's type tells, as a definition: of a function, its parameters and results.
---@param field docs.Part
---@return docs.Definition
function source.of_field(field)
  local what = { text = field.text, type = field.type, params = {}, returns = {}, hidden = false,
    async = field.type:find("^async fun") ~= nil, field = field }
  local parameters, behind = field.type:match("^a?s?y?n?c?%s*fun(%b())%s*:?%s*(.*)$")
  what.parameters = parameters and parameters:sub(2, -2)
  while behind and behind ~= "" do
    local kind, rest = split_type(behind)
    table.insert(what.returns, { name = "", type = kind, optional = is_optional(kind), text = "" })
    behind = rest:match("^%s*,%s*(.*)$")
  end
  return what
end

local TAGS = {
  param = function(block, text)
    local part = named(text)
    part.optional = text:find("^[%w_]+%?") ~= nil -- of `name type?` the name has to be written
    table.insert(block.params, part)
  end,
  field = function(block, text)
    local of_class = text:match("^private%s+(.*)$")
    local field = named(of_class or text)
    field.private = of_class ~= nil
    table.insert(block.fields, field)
  end,
  ["return"] = function(block, text) results(text, block.returns) end,
  class = function(block, text) block.class = text end,
  alias = function(block, text) table.insert(block.aliases, text) end,
  overload = function(block, text) block.overload = text end,
  type = function(block, text) block.type = split_type(text) end,
  async = function(block) block.async = true end,
  package = function(block) block.hidden = true end,
  private = function(block) block.hidden = true end,
  meta = function(block, text) block.meta = text end,
}

--- The text and the tags of a block. Text between two tags belongs to the first of them if it is
--- indented, or no field follows; else to that field.
local function split_block(lines)
  local text, tags, above, described = {}, {}, {}, {}
  local function give_back()
    if above[1] then
      tags[#tags] = tags[#tags] .. " " .. trim(table.concat(above, " "))
    end
  end
  for _, line in ipairs(lines) do
    if line:find("^%s*@") then
      if above[1] and line:find("^%s*@field") then
        described[#tags + 1] = trim(table.concat(above, " "))
      else
        give_back()
      end
      tags[#tags + 1], above = trim(line), {}
    elseif #tags == 0 then
      text[#text + 1] = line:gsub("^ ", "")
    elseif line:find("^  ") and not above[1] then
      tags[#tags] = tags[#tags] .. " " .. trim(line)
    else
      above[#above + 1] = trim(line)
    end
  end
  give_back()
  return trim(table.concat(text, "\n")), tags, described
end

--- A block of lines that begin with "---".
local function read_block(lines)
  local block = { params = {}, returns = {}, fields = {}, aliases = {}, async = false,
    hidden = false }
  local tags, described
  block.text, tags, described = split_block(lines)
  for i, tag in ipairs(tags) do
    local name, rest = tag:match("^@(%w+)%s*(.*)$")
    if TAGS[name] then
      TAGS[name](block, rest)
    end
    if described[i] then
      block.fields[#block.fields].text = described[i]
    end
  end
  return block
end

-- -- Files ----------------------------------------------------------------------------------------

local function definition(file, number, block, parameters)
  return {
    file = file.path, line = number, text = block.text, parameters = parameters,
    params = block.params, returns = block.returns, async = block.async, hidden = block.hidden,
    type = block.type,
  }
end

--- Notes a class, and which variable stands for it.
local function add_class(file, block, line, number)
  local name, parents = block.class:match("^([%w_.]+)%s*:?%s*([%w_., ]*)")
  local class = file.classes[name] or { name = name, fields = {}, parents = {}, text = "",
    file = file.path, line = number, methods = {} }
  file.classes[name] = class
  class.text = class.text ~= "" and class.text or block.text
  class.called = class.called or block.overload
  for parent in parents:gmatch("ctx[%w_.]*") do
    table.insert(class.parents, parent)
  end
  table.move(block.fields, 1, #block.fields, #class.fields + 1, class.fields)
  local variable = line:match("^local ([%w_]+)")
  if variable then
    file.class_of[variable] = name
  end
end

local function members_of(file, variable)
  local list = file.members[variable] or { order = {} }
  file.members[variable] = list
  return list
end

local function add_member(file, variable, key, what)
  local list = members_of(file, variable)
  if not list[key] then
    table.insert(list.order, key)
  end
  list[key] = what
end

local NOTHING = { text = "", params = {}, returns = {}, async = false, hidden = false }

local function add_alias(file, variable, key, value, number)
  local what = definition(file, number, NOTHING)
  what.alias = value
  add_member(file, variable, key, what)
end

--- The entries of a table: each names something of this file or of another module.
local function read_table(file, variable, lines, number)
  local entry = "%f[%w_]([%w_]+) = ([%a_][%w_.]*)%f[^%w_.]"
  for key, value in lines[number]:match("{(.*)$"):gmatch(entry) do
    add_alias(file, variable, key, value, number)
  end
  local at = lines[number]:find("}%s*$") and #lines or number + 1
  while at <= #lines and not lines[at]:find("^}") do
    local key, value = lines[at]:match("^  " .. entry)
    if key then
      add_alias(file, variable, key, value, at)
    end
    at = at + 1
  end
end

--- What a line of code says; `block` are the annotations right above it.
local function read_code(file, lines, number, block)
  local line = lines[number]
  local variable, mark, key, parameters = line:match("^function ([%w_]+)([.:])([%w_]+)%((.-)%)")
  if variable then
    local what = definition(file, number, block, parameters)
    what.method = mark == ":"
    return add_member(file, variable, key, what)
  end
  key, parameters = line:match("^local function ([%w_]+)%((.-)%)")
  if key then
    file.functions[key] = definition(file, number, block, parameters)
    return
  end
  local name, module = line:match('^local ([%w_]+) = require%(?%s*"([%w_.]+)"%)?')
  if name then
    file.requires[name] = module
  end
  variable, key, module = line:match("^([%w_]+)%.([%w_]+) = (.*)$")
  if variable then
    local alias = module:match("^[%a_][%w_.]*$")
    local kind = module:match("%-%-%-@type (.*)$")
    local what = definition(file, number, block)
    what.type, what.alias = kind and split_type(kind) or what.type, not kind and alias or nil
    add_member(file, variable, key, what)
  end
  variable = line:match("^local ([%w_]+) = {") or line:match("^local ([%w_]+) = setmetatable%({")
  if variable then
    read_table(file, variable, lines, number)
  end
  file.returned = line:match("^return ([%w_]+)%s*$") or line:match("^return setmetatable%(([%w_]+)")
    or file.returned
end

--- Reads a file of the tree.
---@param path string
---@param module string  its name for require
function source.read(path, module)
  local file = { path = path, module = module, classes = {}, class_of = {}, members = {},
    functions = {}, requires = {}, aliases = {}, text = "" }
  local lines, block = {}, {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  for number, line in ipairs(lines) do
    local text = line:match("^%-%-%-(.*)$")
    if text then
      block[#block + 1] = text
    else
      local read = read_block(block)
      if #block > 0 and file.text == "" and not read.class then
        file.text = read.text
      end
      if read.class then
        add_class(file, read, line, number)
      end
      for _, alias in ipairs(read.aliases) do
        local name, meant = alias:match("^([%w_.]+)%s*(.*)$")
        file.aliases[name] = meant
      end
      file.module = read.meta and read.meta:match("^[%w_.]+") or file.module
      read_code(file, lines, number, read)
      block = {}
    end
  end
  return file
end

return source
