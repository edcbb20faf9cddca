-- SPDX-License-Identifier: MIT
--- Small faults, as people make them: a condition the wrong way round, a statement or a check that
--- was forgotten, a constant that is one off, two arguments in the wrong order.
local tokens = require "spec.mutate.tokens"

local operators = {}

local function set(words)
  local result = {}
  for word in words:gmatch("%S+") do
    result[word] = true
  end
  return result
end

local function site(list, from, to, with, what)
  return { from = list[from].from, to = list[to].to, with = with, what = what,
    line = list[from].line }
end

local function text_of(text, list, from, to)
  return text:sub(list[from].from, list[to].to)
end

-- -- What both languages share -------------------------------------------------------------------

local function change_constant(list, i, found)
  local token = list[i]
  local number = token.kind == "number" and math.tointeger(tonumber(token.text))
  if number then
    found[#found + 1] = site(list, i, i, tostring(number + 1), "change a constant")
  elseif token.text == "true" or token.text == "false" then
    found[#found + 1] = site(list, i, i, token.text == "true" and "false" or "true",
      "change a constant")
  end
end

-- Where the arguments of the call whose bracket is at `open` begin and end: a list of pairs.
local function arguments(list, open)
  local close = tokens.close(list, open)
  local pairs_of, start, i = {}, open + 1, open + 1
  while close and i < close do
    local text = list[i].kind == "sign" and list[i].text
    if text == "(" or text == "[" or text == "{" then
      i = tokens.close(list, i) or close
    elseif text == "," then
      pairs_of[#pairs_of + 1] = { start, i - 1 }
      start = i + 1
    elseif list[i].text == "function" then
      return {} -- a body holds commas of its own
    end
    i = i + 1
  end
  if close and start < close then
    pairs_of[#pairs_of + 1] = { start, close - 1 }
  end
  return pairs_of
end

local function swap_arguments(text, list, i, found)
  if list[i].kind ~= "name" or not list[i + 1] or list[i + 1].text ~= "(" then
    return
  end
  local args = arguments(list, i + 1)
  if #args < 2 then
    return
  end
  local first, second = args[#args - 1], args[#args]
  local one = text_of(text, list, first[1], first[2])
  local other = text_of(text, list, second[1], second[2])
  if one ~= other then
    found[#found + 1] = site(list, first[1], second[2], other .. ", " .. one, "swap arguments")
  end
end

-- -- C --------------------------------------------------------------------------------------------

local C_WORDS = set [[if else while for do switch case default return goto break continue sizeof
  typedef struct union enum static const extern inline _Static_assert]]
local C_NEXT = set "( -> . [ = += -= *= /= |= &= ^= <<= >>= ++ --"
local C_NOT_CALLED = set "if while for switch sizeof return defined"

-- The end of the statement that starts at `i`: its semicolon.
local function c_statement_end(list, i)
  while list[i] do
    local text = list[i].text
    if text == ";" then
      return i
    elseif text == "(" or text == "[" or text == "{" then
      i = tokens.close(list, i)
      if not i then
        return nil
      end
    elseif text == "}" then
      return nil
    end
    i = i + 1
  end
end

local function c_condition(text, list, i, found)
  local word = list[i].text
  if (word ~= "if" and word ~= "while") or list[i + 1].text ~= "(" then
    return
  end
  local close = tokens.close(list, i + 1)
  found[#found + 1] = site(list, i + 1, close,
    "(!" .. text_of(text, list, i + 1, close) .. ")", "negate a condition")
  local after = list[close + 1]
  local stop = word == "if" and after and set "return goto break continue" [after.text]
    and c_statement_end(list, close + 1)
  if stop and not (list[stop + 1] and list[stop + 1].text == "else") then
    found[#found + 1] = site(list, i, stop, "", "drop a check")
  end
end

-- A statement that is no declaration: a call, an assignment, a step.
local function c_statement(list, i, found)
  local before = list[i - 1] and list[i - 1].text
  if before ~= ";" and before ~= "{" and before ~= "}" then
    return
  end
  local start = i
  if list[i].text == "(" and list[i + 1].text == "void" and list[i + 2].text == ")" then
    start = i + 3
  elseif list[i].text == "*" or list[i].text == "++" or list[i].text == "--" then
    start = i + 1
  end
  local name, next_one = list[start], list[start + 1]
  if name and name.kind == "name" and not C_WORDS[name.text] and next_one
    and C_NEXT[next_one.text] then
    local stop = c_statement_end(list, i)
    if stop then
      found[#found + 1] = site(list, i, stop, ";", "drop a statement")
    end
  end
end

-- For each token, whether it stands in the body of a function.
local function c_bodies(list)
  local inside, i = {}, 1
  while i <= #list do
    local open = list[i].text == "{" and list[i - 1] and list[i - 1].text == ")"
    local close = open and tokens.close(list, i)
    for k = i, close or i do
      inside[k] = close ~= nil
    end
    i = (close or i) + 1
  end
  return inside
end

local function c_sites(text, list)
  local found, inside = {}, c_bodies(list)
  for i = 1, #list - 1 do
    if inside[i] then
      c_condition(text, list, i, found)
      c_statement(list, i, found)
      change_constant(list, i, found)
      if not C_NOT_CALLED[list[i].text] then
        swap_arguments(text, list, i, found)
      end
    end
  end
  return found
end

-- -- Lua ------------------------------------------------------------------------------------------

local OPENS = set "function do then repeat"
local LUA_WORDS = set [[and break do else elseif end false for function goto if in local nil not or
  repeat return then true until while]]

-- The index of the word that ends the condition which starts behind `i`.
local function lua_condition_end(list, i)
  local word = list[i].text == "while" and "do" or "then"
  local depth = 0
  for k = i + 1, #list do
    local text = list[k].kind == "name" and list[k].text
    if text == "function" then
      depth = depth + 1
    elseif text == "end" then
      depth = depth - 1
    elseif text == word and depth == 0 then
      return k
    end
  end
end

-- Whether the block behind `at`, a "then", only leaves: return, error, goto or break.
local function only_leaves(list, at)
  local first = list[at + 1]
  if not first or not set "return error goto break" [first.text] then
    return false
  end
  for k = at + 1, #list do
    local text = list[k].kind == "name" and list[k].text
    if text == "end" then
      return true
    elseif text == "else" or text == "elseif" or OPENS[text] then
      return false
    end
  end
end

local function lua_condition(text, list, i, found)
  local word = list[i].kind == "name" and list[i].text
  if word ~= "if" and word ~= "elseif" and word ~= "while" then
    return
  end
  local stop = lua_condition_end(list, i)
  if not stop then
    return
  end
  local condition = text_of(text, list, i + 1, stop - 1)
  found[#found + 1] = site(list, i + 1, stop - 1, "not (" .. condition .. ")",
    "negate a condition")
  if word == "if" and only_leaves(list, stop) then
    found[#found + 1] = site(list, i + 1, stop - 1, "false", "drop a check")
  end
end

-- A call or an assignment that has its line or lines for itself.
local function lua_statement(list, i, depth, found)
  local token = list[i]
  if not token.first or depth > 0 or token.kind ~= "name" or LUA_WORDS[token.text] then
    return
  end
  local k, assigns = i, false
  while list[k] and (k == i or not list[k].first) do
    local text = list[k].text
    if text == "function" then
      return
    elseif text == "(" or text == "{" or text == "[" then
      local close = tokens.close(list, k)
      for inner = k, close or k do
        if list[inner].text == "function" then
          return
        end
      end
      k = close or k
    elseif text == "=" then
      assigns = true
    end
    k = k + 1
  end
  local last, after = list[k - 1], list[k]
  local whole = after and (after.kind == "name") and not set "and or" [after.text]
  if whole and (assigns or last.text == ")") and last.text ~= "=" and last.text ~= "," then
    found[#found + 1] = site(list, i, k - 1, "", "drop a statement")
  end
end

-- Whether the name at `i` is the last of a function's that is defined here: function a.b:name(…).
local function is_defined(list, i)
  while i > 2 and (list[i - 1].text == "." or list[i - 1].text == ":") do
    i = i - 2
  end
  return i > 1 and list[i - 1].text == "function"
end

local function lua_sites(text, list)
  local found, depth = {}, 0
  for i = 1, #list - 1 do
    local sign = list[i].kind == "sign" and list[i].text
    lua_condition(text, list, i, found)
    lua_statement(list, i, depth, found)
    if sign == "(" or sign == "{" or sign == "[" then
      depth = depth + 1
    elseif sign == ")" or sign == "}" or sign == "]" then
      depth = depth - 1
    end
    change_constant(list, i, found)
    local before = list[i - 1] and list[i - 1].text
    if list[i].text ~= "function" and before ~= "function" and not is_defined(list, i) then
      swap_arguments(text, list, i, found)
    end
  end
  return found
end

--- operators.sites(text, lua) → where a small fault can be made: a list of { from, to, with, what,
--- line }: the bytes from `from` to `to` become `with`.
function operators.sites(text, lua)
  local list = tokens.of(text, lua)
  return lua and lua_sites(text, list) or c_sites(text, list)
end

--- operators.apply(text, at) → the text with that fault
function operators.apply(text, at)
  return text:sub(1, at.from - 1) .. at.with .. text:sub(at.to + 1)
end

return operators
