-- SPDX-License-Identifier: MIT
--- Runs every ```lua block of README.md and docs/, each as a program of its own.
---
--- A block finds `ctx`, `errors`, `testing`, `uv`, `describe`, `it` and busted's `assert`, as if it
--- had required them, and what the block in a fold called Given right above it sets up. It runs
--- as a task, with `root` and `clock` of testing.run, which also looks for leaks; a block with
--- ctx.run, testing.run, it( or uv.run in it runs on the main thread, with the clock moved by hand;
--- one that requires ctx.http, in real time: a clock that jumps does not wait for sockets.
---
--- What a line prints must be what the comment `--> …` on it says; more lines of output, or more
--- than fits, go on comment lines `--> …` below it. Blanks count as one, `…` stands for anything.
local ctx = require "ctx"
local errors = require "ctx.errors"
local testing = require "ctx.testing"
local uv = require "luv"

local top = (debug.getinfo(1, "S").source:match("^@(.*)[/\\][^/\\]+$") or ".") .. "/../"

local function lines_of(path)
  local lines = {}
  for line in io.lines(top .. path) do
    lines[#lines + 1] = line
  end
  return lines
end

local function markdown_files()
  local paths = { "README.md" }
  local found = assert(io.popen(("cd '%s' && find docs -name '*.md' | LC_ALL=C sort"):format(top)))
  for path in found:lines() do
    paths[#paths + 1] = path
  end
  found:close()
  return paths
end

-- ---- reading ------------------------------------------------------------------------------------

--- Reads the block that begins at lines[at]: its code, and the place of its end.
local function read_block(lines, at, indent, path)
  local text = {}
  repeat
    at = at + 1
    assert(lines[at], path .. ": a block without an end")
    text[#text + 1] = (lines[at]:gsub("^" .. indent, ""))
  until text[#text] == "```"
  text[#text] = ""
  return table.concat(text, "\n"), at
end

--- The blocks of a file: { line = of the first line of code, code =, given = }.
local function blocks_of(path)
  local lines, blocks, given, folded, at = lines_of(path), {}, nil, false, 1
  while at <= #lines do
    local indent = lines[at]:match("^(%s*)```lua%s*$")
    if lines[at]:find("^%s*</?details>") then
      folded = lines[at]:find("<summary>Given</summary>", 1, true) ~= nil
    elseif indent then
      local code, last = read_block(lines, at, indent, path)
      if folded then
        given = code
      else
        blocks[#blocks + 1] = { line = at + 1, code = code, given = given }
        given = nil
      end
      at = last
    elseif lines[at]:find("%S") then
      given = nil
    end
    at = at + 1
  end
  return blocks
end

--- line → text that a block says it prints there; nil when it says nothing of the kind.
local function expected_of(code)
  local expected, number, current, any = {}, 0, nil, nil
  for line in (code .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local text = line:match("%-%->%s?(.*)$")
    if not text then
      current = nil
    else
      any = true
      current = line:find("^%s*%-%->") and current or number
      expected[current] = (expected[current] and expected[current] .. " " or "") .. text
    end
  end
  return any and expected
end

-- ---- running ------------------------------------------------------------------------------------

--- What a block finds. Keeps what it prints by line; `before`: the lines of what is given.
local function sandbox(printed, before)
  local env = { ctx = ctx, errors = errors, testing = testing, uv = uv, assert = assert }
  function env.describe(_, body) body() end
  env.it = env.describe
  function env.print(...)
    local out, line = table.pack(...), debug.getinfo(2, "l").currentline - before
    for i = 1, out.n do
      out[i] = tostring(out[i])
    end
    local text = table.concat(out, " ", 1, out.n)
    printed[line] = (printed[line] and printed[line] .. " " or "") .. text
  end
  return setmetatable(env, {
    __index = function(_, name)
      return _G[name] ~= nil and _G[name] or error("the block is not given any " .. name, 2)
    end,
  })
end

local function plain(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local function fits(got, wanted)
  local pattern = plain(wanted):gsub("%p", "%%%0"):gsub("…", ".*")
  return plain(got):find("^" .. pattern .. "$")
end

local function compare(block, printed)
  local expected = expected_of(block.code)
  if not expected then
    return
  end
  for line, text in pairs(printed) do
    local wanted = expected[line]
    if not wanted or not fits(text, wanted) then
      error(("line %d prints %q, not %q"):format(
        block.line + line - 1, plain(text), tostring(wanted)), 0)
    end
  end
  for line in pairs(expected) do
    if not printed[line] then
      error(("line %d prints nothing"):format(block.line + line - 1), 0)
    end
  end
end

local function drives_itself(code)
  return code:find("ctx%.run%f[%W]") or code:find("testing%.run%f[%W]")
    or code:find("uv%.run%f[%W]") or code:find("%f[%w]it%(")
end

--- A block that drives the loop by itself. Its uv.run lets two seconds pass for contexts, too, and
--- what it leaves in the loop is run to its end.
local function run_alone(chunk, env)
  local clock <close> = testing.clock()
  local function drive()
    for _ = 1, 2 do
      uv.run()
      clock:advance(1000)
    end
    uv.run()
  end
  env.uv = setmetatable({ run = drive }, { __index = uv })
  chunk()
  drive()
end

local function run(block, name)
  local printed = {}
  local given = block.given or ""
  local _, before = given:gsub("\n", "")
  local env = sandbox(printed, before)
  local chunk = assert(load(given .. block.code, "=" .. name, "t", env))
  if drives_itself(block.code) then
    run_alone(chunk, env)
  else
    testing.run(function(root, clock)
      env.root, env.clock = root, clock
      chunk()
    end, { name = name, real = (given .. block.code):find('require "ctx%.http"') ~= nil })
  end
  compare(block, printed)
end

for _, path in ipairs(markdown_files()) do
  describe(path, function()
    if path ~= "README.md" and path ~= "docs/README.md" and #blocks_of(path) > 0 then
      it("says how its code is run", function()
        assert.truthy(table.concat(lines_of(path), "\n"):find("README.md#run-the-code)", 1, true))
      end)
    end

    for _, block in ipairs(blocks_of(path)) do
      local name = ("%s:%d"):format(path, block.line)
      it("line " .. block.line .. " runs, and prints what it says", function()
        local report = ctx.set_report(function() end)
        local ok, err = pcall(run, block, name)
        ctx.set_report(report)
        if not ok then
          error(name .. ": " .. tostring(err), 0)
        end
      end)
    end
  end)
end
