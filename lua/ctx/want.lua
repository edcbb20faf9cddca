-- SPDX-License-Identifier: MIT
--- Internal: the checks of arguments and options, one set for all modules.
---
--- The law: every public function checks what it is given by these, at once, and raises at the line
--- of its caller; what was checked is what is used. So a check returns the value to use, which may
--- differ from the one that was given (3.0 is the descriptor 3):
---
---     function Stream:set_idle(ms)
---       want.self(self, metatable, "set_idle")
---       ms = want.positive_ms(ms, "set_idle", 1)
---
---     local OPTIONS = { port = want.port, mode = want.one_of("r", "w"), log = want.fn }
---     function module.open(c, options)
---       want.context(c, "open")
---       options = want.options(options, "open", 2, OPTIONS) -- a table of its own
---
--- `want.ms` and its like are rules: lists { expected, fits } of what the message says and a
--- function fits(value), which returns whether the value fits and, if that differs, the value to
--- use. Called as rule(value, function, position [, argument [, deeper]]) it checks one argument.
---
--- Each check raises at the line that called the public function, so call it from there, and not in
--- a tail call, or the line is lost. From a function that the public one calls, pass 1 as `deeper`.
local core = require "ctx.core"
local text = require "ctx.text"

local class_of = core.kind
local metatable_of = debug.getmetatable

local want = {}

-- -- Messages -------------------------------------------------------------------------------------

--- The name of the value's class, or its type.
---@param value any
---@return string
function want.kind(value)
  local metatable = metatable_of(value)
  local name = type(metatable) == "table" and rawget(metatable, "__name")
  return type(name) == "string" and name or type(value)
end

local LONGEST = 60

--- The value as a message shows it.
local function shown(value)
  if math.type(value) == "integer" then
    return ("%d"):format(value)
  elseif value ~= value then
    return "nan"
  elseif type(value) == "number" then
    return text.number("%.14g", value)
  elseif type(value) == "boolean" then
    return tostring(value)
  elseif type(value) == "string" then
    local cut = #value > LONGEST and value:sub(1, LONGEST) .. "…" or value
    return (("%q"):format(cut):gsub("\\\n", "\\n"))
  end
  return want.kind(value)
end

local function refuse(name, position, argument, expected, value, hint, level)
  error(("bad argument #%d to '%s' (%s: %s expected, got %s%s)")
    :format(position, name, argument, expected, shown(value), hint), level + 1)
end

--- Raises unless `ok`.
---@param ok any
---@param name string      the public function
---@param position integer
---@param argument string  its name
---@param expected string
---@param value any        what came instead
---@param deeper? integer
function want.argument(ok, name, position, argument, expected, value, deeper)
  if not ok then
    refuse(name, position, argument, expected, value, "", 3 + (deeper or 0))
  end
end

-- -- Rules ----------------------------------------------------------------------------------------

---@class ctx.want.Rule
---@field [1] string  what is expected
---@field [2] fun(value: any): any, any  whether it fits; what to use instead of it, or the fault
---@field argument? string  the argument's name, unless the caller has another
---@overload fun(value, name: string, position: integer, argument?: string, deeper?: integer): any
local Rule = { __name = "ctx.want.Rule" }

--- What does not fit, as a rule returns it behind `false` when that is a part of the value.
---@class ctx.want.Fault
---@field at string        ".name" or "[2]", behind the argument's name
---@field expected string
---@field value any
---@field hint? string

--- Whether the value fits, and the value to use; or false and the fault, which lies `at` there.
---@return boolean fits
---@return any use
local function judge(rule, value, at)
  local fits, use = rule[2](value)
  if fits and use == nil then
    return true, value
  elseif fits then
    return true, use
  elseif use == nil then
    return false, { at = at, expected = rule[1], value = value }
  end
  use.at = at .. use.at
  return false, use
end

function Rule.__call(rule, value, name, position, argument, deeper)
  local fits, use = judge(rule, value, argument or rule.argument)
  if not fits then
    refuse(name, position, use.at, use.expected, use.value, use.hint or "", 3 + (deeper or 0))
  end
  return use
end

--- A new rule.
---@param expected string
---@param fits fun(value: any): any, any
---@param argument? string  the usual name of such an argument
---@return ctx.want.Rule
function want.rule(expected, fits, argument)
  return setmetatable({ expected, fits, argument = argument or "value" }, Rule)
end

local rule = want.rule

local function limits(least, most)
  return most and (" from %d to %d"):format(least, most)
    or least and (" of %d or more"):format(least) or ""
end

--- A number. Without limits: any but NaN.
---@param least? integer
---@param most? integer
---@return ctx.want.Rule
function want.number(least, most)
  return rule("a number" .. limits(least, most), function(value)
    return type(value) == "number" and value >= (least or -math.huge)
      and value <= (most or math.huge)
  end, "n")
end

--- A whole number, also one that is written as a float; the integer is used. Without limits: any.
---@param least? integer
---@param most? integer
---@param what? string  in place of "a whole number"
---@return ctx.want.Rule
function want.whole(least, most, what)
  return rule((what or "a whole number") .. limits(least, most), function(value)
    local n = type(value) == "number" and math.tointeger(value)
    if n and n >= (least or n) and n <= (most or n) then
      return true, n
    end
    return false
  end, "n")
end

want.count = want.whole(1)
want.port = want.whole(0, 65535, "a port, a whole number")
want.port.argument = "port"
want.descriptor = want.whole(0, 0x7fffffff, "a descriptor, a whole number")
want.descriptor.argument = "fd"

--- Of the clock: ctx.now() counts in ms, and shows no time of 9e12 or more.
local function is_ms(value)
  return type(value) == "number" and (value < 9e12 or value == math.huge)
end

--- A time in ms, or math.huge; a negative one is over at once.
want.ms = rule("a time in ms", is_ms, "ms")
want.duration = rule("a time in ms, 0 or more,", function(value)
  return is_ms(value) and value >= 0
end, "ms")
want.positive_ms = rule("a positive number of ms", function(value)
  return is_ms(value) and value > 0
end, "ms")

want.string = rule("a string", function(value) return type(value) == "string" end, "text")

--- What the operating system or a library in C will read, which ends at a zero byte.
want.text = rule("a string without zero bytes", function(value)
  return type(value) == "string" and not value:find("\0", 1, true)
end, "text")

--- Whatever can be a value: nil is missing.
want.something = rule("anything but nil", function(value) return value ~= nil end)

want.flag = rule("a boolean", function(value) return type(value) == "boolean" end, "flag")
want.table = rule("a table", function(value) return type(value) == "table" end, "options")

--- A function, or an object that can be called, as a cancel.
want.fn = rule("a function", function(value)
  if type(value) == "function" then
    return true
  end
  local metatable = metatable_of(value)
  return type(metatable) == "table" and type(rawget(metatable, "__call")) == "function"
end, "fn")

--- The same, or nil.
---@param of ctx.want.Rule
---@return ctx.want.Rule
function want.optional(of)
  return rule(of[1], function(value)
    if value == nil then
      return true
    end
    return of[2](value)
  end, of.argument)
end

--- One of these values.
---@param ... string|number|boolean
---@return ctx.want.Rule
function want.one_of(...)
  local known, names = {}, {}
  for i, value in ipairs { ... } do
    known[value], names[i] = true, shown(value)
  end
  local last = table.remove(names)
  return rule(#names == 0 and last or table.concat(names, ", ") .. " or " .. last, function(value)
    return value ~= nil and known[value]
  end)
end

--- Whatever fits one of the rules, the first that it fits.
---@param expected string
---@param ... ctx.want.Rule
---@return ctx.want.Rule
function want.either(expected, ...)
  local rules = { ... }
  return rule(expected, function(value)
    for _, each in ipairs(rules) do
      local fits, use = judge(each, value, "")
      if fits then
        return true, use
      end
    end
    return false
  end)
end

--- A list of such values, without holes and without other keys but the `n` of table.pack. The list
--- to use is a new one.
---@param of ctx.want.Rule
---@param expected? string
---@return ctx.want.Rule
function want.list(of, expected)
  expected = expected or "a list"
  return rule(expected, function(value)
    if type(value) ~= "table" then
      return false
    end
    local list, n = {}, 0
    for key in next, value do
      if math.type(key) == "integer" then
        n = n + 1
      elseif key ~= "n" then
        return false, { at = "", expected = expected, value = value,
          hint = (" with the key %s"):format(shown(key)) }
      end
    end
    for i = 1, n do
      local fits, use = judge(of, rawget(value, i), ("[%d]"):format(i))
      if not fits then
        return false, use
      end
      list[i] = use
    end
    return true, list
  end)
end

--- A table whose values all fit, under names that are strings, or that fit as well.
---@param expected string
---@param of ctx.want.Rule
---@param name? ctx.want.Rule
---@param argument? string  the usual name of such an argument
---@return ctx.want.Rule
function want.table_of(expected, of, name, argument)
  name = name or want.string
  return rule(expected, function(value)
    if type(value) ~= "table" then
      return false
    end
    for key, each in pairs(value) do
      if not (name[2](key) and of[2](each)) then
        return false, { at = "", expected = expected, value = each }
      end
    end
    return true
  end, argument)
end

-- -- Tables of options ----------------------------------------------------------------------------

--- How many letters must change to make one word of the other.
local function distance(a, b)
  local above = {}
  for j = 0, #b do
    above[j] = j
  end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local changed = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + changed)
    end
    above = row
  end
  return above[#b]
end

local function quoted_names(known)
  local names = {}
  for each in pairs(known) do
    names[#names + 1] = each
  end
  text.sort(names)
  return '"' .. table.concat(names, '", "') .. '"'
end

-- Options that had another name once.
local RENAMED = { connect = "connect_timeout", idle = "idle_timeout" }

--- "; it is … now" for the former name of an option, and "; the nearest is …" for another name that
--- is not known; all names if none is near. A name that holds the other one is near: "timeout",
--- "idle_timeout".
local function nearest(known, key)
  if known[RENAMED[key]] then
    return ('; it is "%s" now'):format(RENAMED[key])
  elseif type(key) ~= "string" or #key > LONGEST then
    return "; known are " .. quoted_names(known)
  end
  local near, least, plain = {}, math.huge, text.lower(key):gsub("[_-]", "")
  for each in pairs(known) do
    local other = text.lower(each):gsub("_", "")
    local far = distance(plain, other)
    if #plain > 2 and (other:find(plain, 1, true) or plain:find(other, 1, true)) then
      far = math.min(far, 2)
    end
    if far < least then
      near, least = {}, far
    end
    if far == least then
      near[each] = true
    end
  end
  if least > math.max(2, #plain // 3) then
    return "; known are " .. quoted_names(known)
  end
  return (next(near, (next(near))) and "; the nearest are " or "; the nearest is ")
    .. quoted_names(near)
end

--- A rule for a table of options inside a table of options.
---@param known table<string, ctx.want.Rule>
---@param expected? string  "a table"
---@return ctx.want.Rule
function want.options_of(known, expected)
  return rule(expected or "a table", function(given)
    if type(given) ~= "table" then
      return false
    end
    local options = {}
    for key, value in pairs(given) do
      if not known[key] then
        return false, { at = "", expected = "the name of an option", value = key,
          hint = nearest(known, key) }
      end
      local fits, use = judge(known[key], value, "." .. key)
      if not fits then
        return false, use
      end
      options[key] = use
    end
    return true, options
  end, "options")
end

local rules_of = setmetatable({}, { __mode = "k" })

--- Checks a table of options: no others than those in `known`, and each by its rule. Returns a new
--- table with the values to use, which is empty where the caller gave nil. An option that must be
--- there is asked for afterwards: want.fn(options.handler, "server", 1, "options.handler").
---@param options any
---@param name string
---@param position integer
---@param known table<string, ctx.want.Rule>
---@param deeper? integer
---@return table options
function want.options(options, name, position, known, deeper)
  if options == nil then
    return {}
  end
  rules_of[known] = rules_of[known] or want.options_of(known)
  options = rules_of[known](options, name, position, "options", 1 + (deeper or 0))
  return options
end

-- -- Objects --------------------------------------------------------------------------------------

---@param c any
---@param name string
---@param position? integer 1 by default
---@param argument? string  "c" by default
---@param deeper? integer
function want.context(c, name, position, argument, deeper)
  if class_of(c) ~= "context" then
    refuse(name, position or 1, argument or "c", "a context", c, "", 3 + (deeper or 0))
  end
end

--- A method was called on something else than an object of its class: with a dot, as a rule.
---@param self any
---@param metatable table
---@param name string
function want.self(self, metatable, name)
  if getmetatable(self) ~= metatable then
    error(("bad self to '%s' (%s expected, got %s); call it with a colon")
      :format(name, metatable.__name, want.kind(self)), 3)
  end
end

-- -- Without raising ------------------------------------------------------------------------------

--- Whether it is a time that a clock can show, or math.huge.
---@type fun(value: any): boolean
want.is_ms = is_ms

return want
