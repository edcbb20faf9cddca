-- SPDX-License-Identifier: MIT
--- All public functions on one page, a line for each, for docs/reference/api.md and for man.
local overview = {}

---@class docs.Line
---@field signature string  "c:wait()"
---@field results string    "ok, err", or ""
---@field sentence string
---@field waits boolean

---@class docs.Section
---@field module string
---@field sentence string
---@field lines docs.Line[]

--- How pages call an object of a class, where that is not the class's last name in small letters.
local OBJECTS = {
  ["ctx.Context"] = "c", ["ctx.errors.Error"] = "err", ["ctx.errgroup.Group"] = "g",
  ["ctx.waitgroup.WaitGroup"] = "wg", ["ctx.semaphore.Semaphore"] = "sem",
  ["ctx.singleflight.Singleflight"] = "sf", ["ctx.channel.Channel"] = "ch",
  ["ctx.mutex.Mutex"] = "m", ["ctx.breaker.Breaker"] = "b", ["ctx.pool.Pool"] = "p",
  ["ctx.shutdown.Shutdown"] = "s",
  ["ctx.uv.Error"] = "err", ["ctx.http.Request"] = "req", ["ctx.http.Response"] = "res",
  ["ctx.http.client.Response"] = "response", ["ctx.propagate.otlp.Exporter"] = "exporter",
  ["ctx.Cancel"] = "cancel", ["ctx.signal.Stop"] = "stop",
}

--- The first sentence of a text, on one line.
---@param text string
---@return string
function overview.sentence(text)
  local line = text:match("^(.-)\n%s*\n") or text
  line = line:gsub("%s+", " ")
  local first = line:match("^(.-%.) ") or line
  return (first:gsub("^%l", string.upper):gsub("([^.!?])$", "%1."))
end

--- The parameters as { name, optional }; what stands before one that must be given is not optional.
---@param entry docs.Entry
---@return { name: string, optional: boolean }[]
function overview.parameters(entry)
  local may_go, list, needed = {}, {}, 0
  for _, part in ipairs(entry.definition.params) do may_go[part.name] = part.optional end
  local names = entry.parameters:gsub("fun%b():?[^,]*", ""):gsub(":%s*[^,]*[^,?]", "")
  for name, mark in names:gmatch("([%w_.]+)(%??)") do
    if name ~= "self" then
      list[#list + 1] = { name = name, optional = mark == "?" or may_go[name] or false }
      needed = (list[#list].optional or name == "...") and needed or #list
    end
  end
  for i = 1, needed do list[i].optional = false end
  return list
end

--- "c, url [, options]"
local function written(list)
  local out, open = "", 0
  for i, part in ipairs(list) do
    local comma = i == 1 and "" or ", "
    if part.optional then
      comma, open = i == 1 and "[" or " [, ", open + 1
    end
    out = out .. comma .. (part.name == "..." and "…" or part.name)
  end
  return out .. ("]"):rep(open)
end

--- The page of the reference about a module.
---@param module string
---@return string
function overview.page(module)
  return (module:match("^ctx%.([%w_]+)") or "ctx") .. ".md"
end

--- What stands before the function's name: "uv", or how an object of the class is called.
---@param entry docs.Entry
---@return string
function overview.owner(entry)
  return entry.class == entry.module and entry.module:match("[^.]+$") or OBJECTS[entry.class]
    or entry.class:match("[^.]+$"):lower()
end

local function signature(entry)
  local owner = overview.owner(entry)
  if not entry.parameters then
    return owner .. "." .. entry.key
  end
  local name = entry.key and owner .. (entry.method and ":" or ".") .. entry.key or owner
  return ("%s(%s)"):format(name, written(overview.parameters(entry)))
end

--- A result without a name, by its type.
local function name_by_type(part, i)
  local kind = part.type:gsub("%?$", ""):gsub("|nil$", "")
  return kind == "true" and "ok" or kind == "any" and i > 1 and "err"
    or kind == "ctx.http.client.Response" and "response" or kind
end

local function results(definition)
  local names = {}
  for i, part in ipairs(definition.returns) do
    local name = part.name ~= "" and part.name or name_by_type(part, i)
    names[#names + 1] = name == "..." and "…" or (name:gsub("%?$", ""))
  end
  return table.concat(names, ", ")
end

--- The sections of the page: the public modules, in order.
---@param order docs.Entry[]
---@param tree docs.Tree
---@return docs.Section[]
function overview.sections(order, tree)
  local sections, by_module = {}, {}
  for _, module in ipairs(tree.modules) do
    local class = tree.classes[module]
    local section = { module = module, sentence = overview.sentence(class.text ~= "" and class.text
      or tree.files[module].text), lines = {} }
    sections[#sections + 1], by_module[module] = section, section
  end
  for _, entry in ipairs(order) do
    table.insert(by_module[entry.module].lines, { signature = signature(entry),
      results = entry.parameters and results(entry.definition) or "",
      sentence = overview.sentence(entry.definition.text), waits = entry.definition.async })
  end
  return sections
end

return overview
