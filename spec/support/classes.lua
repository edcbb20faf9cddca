-- SPDX-License-Identifier: MIT
--- All classes of the library that are in this Lua state: found by a walk over its modules, what
--- these hold in tables and upvalues, and the registry of C.
local classes = {}

local function has_functions(methods)
  if type(methods) ~= "table" then
    return type(methods) == "function"
  end
  for _, value in next, methods do
    if type(value) == "function" then
      return true
    end
  end
  return false
end

-- Those of luv, and of Lua's files and buffers.
local FOREIGN = { "^uv_", "^luv_", "^FILE%*$", "^_UBOX%*$" }

--- Whether the table is a metatable of objects that have a name, methods, or a text: a class.
--- Guards and weak tables have none of these.
local function is_class(found)
  local name = rawget(found, "__name")
  for _, pattern in ipairs(FOREIGN) do
    if type(name) == "string" and name:find(pattern) then
      return false
    end
  end
  return name ~= nil or has_functions(rawget(found, "__index"))
    or rawget(found, "__tostring") ~= nil
end

local function is_ours(fn)
  return debug.getinfo(fn, "S").source:find("lua/ctx", 1, true) ~= nil
end

--- What else is reached from a value.
local function reach(value, visit)
  local metatable = debug.getmetatable(value)
  if metatable and type(value) ~= "string" then
    visit(metatable)
  end
  if type(value) == "table" then
    for key, each in next, value do
      visit(key)
      visit(each)
    end
  elseif type(value) == "function" then
    for i = 1, math.huge do
      local name, upvalue = debug.getupvalue(value, i)
      if not name then
        break
      end
      visit(upvalue)
    end
  end
end

--- The metatables of classes that are reached from these values.
---@param roots any[]
---@return table[]
function classes.reached(roots)
  local seen, pending, found = {}, {}, {}
  local function visit(value)
    local kind = type(value)
    local goes = kind == "table" or kind == "userdata" or kind == "function"
    if goes and not seen[value] and value ~= _G and value ~= package.loaded then
      seen[value] = true
      pending[#pending + 1] = value
    end
  end
  for _, root in ipairs(roots) do
    visit(root)
  end
  while #pending > 0 do
    local value = table.remove(pending)
    if type(value) == "table" and is_class(value) then
      found[#found + 1] = value
    end
    if type(value) ~= "function" or debug.getinfo(value, "S").what == "C" or is_ours(value) then
      reach(value, visit)
    end
  end
  return found
end

--- What is wrong with the names of these classes; and the names, sorted. Two metatables may share a
--- name if they are of one class: with the same methods.
---@param found table[]
---@return string[] faults
---@return string[] names
function classes.judge(found)
  local faults, names, methods_of = {}, {}, {}
  for _, metatable in ipairs(found) do
    local name, methods = rawget(metatable, "__name"), rawget(metatable, "__index")
    local module = type(name) == "string" and name:match("^(ctx[%l%d_.]*)%.%u%w*$")
    if not module then
      faults[#faults + 1] = ("%s: not a module and a class"):format(tostring(name))
    elseif not package.loaded[module] then
      faults[#faults + 1] = ("%s: %s is not a module"):format(name, module)
    elseif methods_of[name] and methods_of[name] ~= methods then
      faults[#faults + 1] = ("%s: the name of two classes"):format(name)
    elseif not methods_of[name] then
      names[#names + 1], methods_of[name] = name, methods or false
    end
  end
  table.sort(names)
  return faults, names
end

--- Those of all modules below a folder of sources.
---@param root string  the tree's folder
---@return table[]
function classes.all(root)
  local files = assert(io.popen(("cd '%s/lua' && find ctx -name '*.lua'"):format(root)))
  for file in files:lines() do
    require((file:gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")))
  end
  files:close()
  local roots = {}
  for name, module in pairs(package.loaded) do
    if name:find("^ctx%f[%W]") then
      roots[#roots + 1] = module
    end
  end
  for key, value in next, debug.getregistry() do
    if key ~= "_LOADED" and key ~= "_PRELOAD" then
      roots[#roots + 1] = value
    end
  end
  return classes.reached(roots)
end

return classes
