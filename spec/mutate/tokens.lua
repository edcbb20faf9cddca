-- SPDX-License-Identifier: MIT
--- The tokens of a text in C or Lua: { kind, text, from, to, line, first }, where kind is "name",
--- "number", "string" or "sign", and `first` says that it is the first of its line. Comments and
--- the lines of C's preprocessor are left out.
local tokens = {}

local SIGNS = { -- the longest first
  "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "~=", "&&", "||", "+=",
  "-=", "*=", "/=", "%=", "&=", "|=", "^=", "::", "..", "//",
}

local function long_bracket_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if level then
    return select(2, text:find("]" .. level .. "]", at, true)) or #text
  end
end

local function comment_end_lua(text, at)
  if text:sub(at, at + 1) ~= "--" then
    return nil
  end
  return long_bracket_end(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1
end

local function comment_end_c(text, at)
  local start = text:sub(at, at + 1)
  if start == "/*" then
    return select(2, text:find("*/", at + 2, true)) or #text
  elseif start == "//" then
    return (text:find("\n", at, true) or #text + 1) - 1
  elseif text:sub(at, at) == "#" and text:sub(1, at - 1):match("^%s*$", (text:sub(1, at - 1)
      :match(".*\n()") or 1)) then
    local last = at
    repeat -- a line that ends in a backslash goes on
      last = text:find("\n", last + 1, true) or #text + 1
    until text:sub(last - 1, last - 1) ~= "\\"
    return last - 1
  end
end

local function string_end(text, at)
  local quote = text:match("^[\"']", at)
  if not quote then
    return nil
  end
  local last = at
  repeat
    last = text:find("[\\" .. quote .. "]", last + 1) or #text
    local escape = text:sub(last, last) == "\\"
    if escape then
      last = last + 1
    end
  until not escape
  return last
end

local function sign_end(text, at)
  for _, sign in ipairs(SIGNS) do
    if text:sub(at, at + #sign - 1) == sign then
      return at + #sign - 1
    end
  end
  return at
end

local function token_at(text, at, lua)
  local last = string_end(text, at) or lua and long_bracket_end(text, at)
  if last then
    return "string", last
  end
  last = select(2, text:find("^[%a_][%w_]*", at))
  if last then
    return "name", last
  end
  last = select(2, text:find("^%d[%w.]*", at))
  if last then
    return "number", last
  end
  return "sign", sign_end(text, at)
end

--- tokens.of(text, lua) → a list; `lua` says that it is Lua's, not C's.
function tokens.of(text, lua)
  local list, at, line, first = {}, 1, 1, true
  local comment_end = lua and comment_end_lua or comment_end_c
  while at <= #text do
    local blank = text:match("^%s+", at)
    local comment = not blank and comment_end(text, at)
    local last
    if blank then
      last = at + #blank - 1
      first = first or blank:find("\n", 1, true) ~= nil
    elseif comment then
      last = comment
    else
      local kind
      kind, last = token_at(text, at, lua)
      list[#list + 1] = { kind = kind, text = text:sub(at, last), from = at, to = last,
        line = line, first = first }
      first = false
    end
    line = line + select(2, text:sub(at, last):gsub("\n", ""))
    at = last + 1
  end
  return list
end

local CLOSES = { ["("] = ")", ["["] = "]", ["{"] = "}" }

--- tokens.close(list, i) → the index of the bracket that closes the one at `i`; nil if none does.
function tokens.close(list, i)
  local depth = 0
  for k = i, #list do
    local text = list[k].kind == "sign" and list[k].text
    if CLOSES[text] then
      depth = depth + 1
    elseif text == ")" or text == "]" or text == "}" then
      depth = depth - 1
      if depth == 0 then
        return k
      end
    end
  end
end

return tokens
