-- SPDX-License-Identifier: MIT
-- Every request of spec/support/http_requests.lua: whole, and in pieces.
local bed = require "spec.support.http"
local new_random = require "spec.support.random"
local requests = require "spec.support.http_requests"

local SEED = os.time() % 1000000

--- Whether the answer is the one that is due. "HEAD" before the status: that was the method. A
--- status with "?" need not come. Of two, either.
local function is_due(answer, due)
  local text = due:gsub("^HEAD ", "")
  if text:find("^%d%d%d %d%d%d$") then
    return text:find(answer.status, 1, true) ~= nil
  end
  local status, body = text:match("^(%d%d%d) ?(.*)$")
  return answer.status == tonumber(status) and (answer.status >= 400 or answer.body == body)
end

--- Reads the answers that are due; a text that says what is wrong with one, or nil.
local function read_answers(client, due)
  local pushed
  for _, each in ipairs(due) do
    local answer = pushed or client:answer(each:match("^HEAD"))
    pushed = nil
    if not answer then
      return "the end instead of " .. each
    elseif each == "100?" then
      pushed = answer.status ~= 100 and answer or nil
    elseif not is_due(answer, each) then
      return ("%d %s instead of %s"):format(answer.status, answer.body, each)
    end
  end
end

--- What became of the connection.
local function state_of(client, server, last)
  if last.close then
    local rest, err = client:rest()
    if rest ~= "" or err then
      return ("%q and %s"):format(rest, tostring(err))
    end
    return server:stats().connections == 0 and "closed" or "lingers"
  end
  local answer = client:ask("GET /probe HTTP/1.1", "Host: h")
  return answer and answer.body == "GET /probe h []" and "open" or "no answer any more"
end

--- Sends the pieces, each in a turn of its own, and compares. `exactly`: the state, too; in pieces,
--- what came after the end was not there when the connection ended.
local function play(b, row, pieces, exactly)
  local client <close> = b:pair()
  for i, piece in ipairs(pieces) do
    if i > 1 then
      client:settle()
    end
    if not client:send(piece) then
      break
    end
  end
  local wrong = read_answers(client, row[3])
  if not wrong then
    local state = state_of(client, b.server, { close = row[4] ~= "open" })
    if state ~= row[4] and (exactly or state ~= "closed" and state ~= "lingers") then
      wrong = ("%s instead of %s"):format(state, row[4])
    end
  end
  client:close()
  b:wait_empty()
  return wrong
end

local function with_server(fn)
  return bed.run({ handler = requests.handler, max_target = requests.limits.max_target,
    max_head = requests.limits.max_head, max_headers = requests.limits.max_headers,
    max_body = requests.limits.max_body }, fn)
end

local function each_row(fn)
  for name, rows in pairs(requests.groups) do
    describe(name, function()
      it("is answered", function()
        with_server(function(b)
          for _, row in ipairs(rows) do
            fn(b, row)
          end
        end)
      end)
    end)
  end
end

local function check(wrong, row, how)
  if wrong then
    error(("%s, %s: %s"):format(row[1], how, wrong), 0)
  end
end

describe("a request that comes whole:", function()
  each_row(function(b, row)
    check(play(b, row, { row[2] }, true), row, "whole")
  end)
end)

describe("a request that comes byte by byte:", function()
  each_row(function(b, row)
    local pieces = {}
    for i = 1, #row[2] do
      pieces[i] = row[2]:sub(i, i)
    end
    check(play(b, row, pieces), row, "byte by byte")
  end)
end)

describe("a request in two pieces, cut at any byte:", function()
  each_row(function(b, row)
    local step = math.max(1, #row[2] // 64)
    for at = 1, #row[2] - 1, step do
      local wrong = play(b, row, { row[2]:sub(1, at), row[2]:sub(at + 1) })
      check(wrong, row, "cut after byte " .. at)
    end
  end)
end)

describe("a request in pieces at random (seed " .. SEED .. "):", function()
  local random = new_random(SEED)
  each_row(function(b, row)
    for _ = 1, 5 do
      local pieces, at = {}, 1
      while at <= #row[2] do
        local size = random(random(2) == 1 and 4 or #row[2])
        pieces[#pieces + 1] = row[2]:sub(at, at + size - 1)
        at = at + size
      end
      check(play(b, row, pieces), row, "cut at random, seed " .. SEED)
    end
  end)
end)
