-- SPDX-License-Identifier: MIT
--- The corpus of responses (spec/support/http_responses.lua): each whole, in single bytes, and cut
--- off behind each byte. The outcome is a value or a code, and a connection that is kept or closed;
--- how the bytes were cut into reads makes no difference, and a response that was cut off is never
--- taken for a whole one.
local ctx = require "ctx"
local curl = require "ctx.http.curl"
local groups = require "spec.support.http_responses"
local http_client = require "ctx.http.client"
local raw_server = require "spec.support.raw_server"

local names = {}
for name in pairs(groups) do
  names[#names + 1] = name
end
table.sort(names)

--- Runs check(row, options) for each row, and says which one it was that failed.
local function each(rows, check)
  for _, row in ipairs(rows) do
    local ok, err = pcall(check, row, row[5] or {})
    if not ok then
      error(("%s: %s"):format(row[1], tostring(err)), 0)
    end
  end
end

-- -- By the checks alone --------------------------------------------------------------------------

local function judge(pieces, options)
  local status, body, kept, wrong = curl.judge(pieces, {
    max_head = options.max_head, no_body = options.method == "HEAD",
  })
  return status and status .. " " .. body or body, kept and "kept" or "closed", wrong
end

local function bytes_of(text)
  local bytes = {}
  for i = 1, #text do
    bytes[i] = text:sub(i, i)
  end
  return bytes
end

--- libcurl has a limit of its own for one line; for our own checks that is only a long one.
local function is_curls_own(row)
  return row[1] == "a line of 110 kB"
end

local function check_pieces(pieces, row, options)
  local outcome, connection, wrong = judge(pieces, options)
  assert.are.equal(row[3], outcome, wrong)
  assert.are.equal(row[4], connection)
end

--- A beginning of the bytes: cut off, or already wrong, and then for the same reason as the whole;
--- or whole, if the response is over before the bytes are, or lasts as long as the connection.
local function check_cut(row, options)
  local seen = "EOF"
  for size = 0, math.min(#row[2], 2000) do
    local outcome, connection = judge({ row[2]:sub(1, size) }, options)
    if outcome ~= "EOF" and size < #row[2] then
      local until_end = options.ends and row[3]:find("^%d")
      local is_whole = outcome == row[3] and not row[3]:find("^%u")
      assert(outcome == row[3] or until_end, ("%d bytes: %s"):format(size, outcome))
      assert(is_whole or until_end or connection == "closed")
    end
    assert(seen == "EOF" or outcome ~= "EOF", "what had ended goes on")
    seen = outcome
  end
end

describe("responses", function()
  for _, name in ipairs(names) do
    it("are judged: " .. name, function()
      assert(#groups[name] >= 10)
      each(groups[name], function(row, options)
        if not is_curls_own(row) then
          check_pieces({ row[2] }, row, options)
          check_pieces(bytes_of(row[2]), row, options)
          check_cut(row, options)
        end
      end)
    end)
  end
end)

-- -- By the client --------------------------------------------------------------------------------

--- A server that answers the first request on each connection with what `script` says, and a second
--- one with "again".
local function start(c, script)
  return raw_server.start(c, function(peer)
    if not peer:request() then
      return
    end
    for _, piece in ipairs(script.pieces) do
      if not peer:send(piece) then
        break
      end
      if script.slowly then
        ctx.sleep(c, 0)
      end
    end
    script.all_sent()
    if not script.ends and peer:request() then
      script.kept = true
      peer:answer("again")
      peer:gone()
    end
  end)
end

--- Asks, and when all bytes are sent once more, to see whether the connection was kept.
local function ask(c, script, options)
  local sent
  sent, script.all_sent = raw_server.gate()
  local server <close> = start(c, script)
  local client <close> = http_client.new()
  local got, err = client:request(c, { url = server:url(), method = options.method,
    max_head = options.max_head, propagate = false })
  sent:wait()
  local again = { pieces = { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" } }
  for key in pairs(script) do
    if key ~= "kept" and key ~= "all_sent" then
      script[key] = again[key]
    end
  end
  assert(client:get(c, server:url()))
  return got and got.status .. " " .. got.body or err.code, script.kept and "kept" or "closed", err
end

local function check_answer(c, script, row, options)
  local outcome, connection, err = ask(c, script, options)
  assert.are.equal(row[3], outcome, tostring(err))
  assert.are.equal(row[4], connection)
end

--- Asks a server that answers with a beginning of the row's bytes and then closes, for each of
--- them. Half a line may be wrong already; libcurl shows whole ones.
local function check_cut_answers(c, row, options)
  local cut
  local server <close> = raw_server.start(c, function(peer)
    peer:request()
    peer:send(cut)
  end)
  local client <close> = http_client.new()
  for size = 1, #row[2] - 1 do
    cut = row[2]:sub(1, size)
    local judged = judge({ cut }, options)
    local got, err = client:request(c, { url = server:url(), method = options.method,
      max_head = options.max_head, propagate = false })
    local outcome = got and got.status .. " " .. got.body or err.code
    assert(outcome == judged or outcome == "EOF" and not judged:find("^%d"),
      ("%d bytes: %s, not %s"):format(size, outcome, judged))
  end
end

--- In single bytes, as far as that is not too many.
local MOST_PIECES = 400

describe("the client's responses", function()
  for _, name in ipairs(names) do
    it("are what they are: " .. name, function()
      raw_server.run(function(c)
        each(groups[name], function(row, options)
          check_answer(c, { pieces = { row[2] }, ends = options.ends }, row, options)
          if #row[2] <= MOST_PIECES then
            check_answer(c, { pieces = bytes_of(row[2]), slowly = true, ends = options.ends }, row,
              options)
          end
        end)
      end)
    end)
  end

  -- A server that dies in the middle of a response made the library itself raise, or was taken for
  -- one that had said everything: libcurl ends such a transfer without an error. Each end of each
  -- response is an error or the same value as without the cut.
  for _, name in ipairs(names) do
    it("that are cut off are errors: " .. name, function()
      raw_server.run(function(c)
        each(groups[name], function(row, options)
          if #row[2] <= MOST_PIECES then
            check_cut_answers(c, row, options)
          end
        end)
      end)
    end)
  end
end)
