-- SPDX-License-Identifier: MIT
-- Cause: libcurl takes a compressed body for whole wherever it ends, so a download that was cut
-- came out as a shorter one. Cure: gzip says at its end how long it was, and the client compares.
local ctx = require "ctx"
local http_client = require "ctx.http.client"
local raw_server = require "spec.support.raw_server"

-- "hello" as gzip has it.
local HELLO = "\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9\x07\0\x86\xa6\x106\x05\0\0\0"

--- How a body may be framed: what stands in the head, and the bytes.
local FRAMINGS = {
  ["a length"] = function(body) return "Content-Length: " .. #body, body end,
  ["chunks"] = function(body)
    local half = #body // 2
    local chunks = ""
    for _, piece in ipairs { body:sub(1, half), body:sub(half + 1) } do
      chunks = chunks .. (piece ~= "" and ("%x\r\n%s\r\n"):format(#piece, piece) or "")
    end
    return "Transfer-Encoding: chunked", chunks .. "0\r\n\r\n"
  end,
  ["the connection's end"] = function(body) return "Connection: close", body end,
}

--- What the client makes of a response with this body: the text, or the error's code.
local function ask(c, framing, coding, body, options)
  local field, bytes = framing(body)
  local status = options and options.status or 200
  local server <close> = raw_server.start(c, function(peer)
    peer:request()
    peer:send(("HTTP/1.1 %d x\r\nContent-Encoding: %s\r\n%s\r\n\r\n%s"):format(status, coding,
      field, bytes))
    if field:find "close" then
      peer.stream:close()
    else
      peer:gone()
    end
  end)
  local client <close> = http_client.new()
  local stream = options and options.stream
  local got, err = client:get(c, server:url(), { decompress = true, stream = stream })
  local text = got and got.body
  if got and stream then
    text, err = raw_server.rest_of(c, got)
  end
  return text or err.code, err
end

for name, framing in pairs(FRAMINGS) do
  describe("a compressed body framed by " .. name, function()
    it("is decoded, in any spelling of its coding", function()
      raw_server.run(function(c)
        for _, coding in ipairs { "gzip", "GZIP", "x-gzip", " gzip \t" } do
          assert.equal("hello", ask(c, framing, coding, HELLO))
          assert.equal("hello", ask(c, framing, coding, HELLO, { stream = true }))
        end
        assert.equal("", ask(c, framing, "gzip", ""))
        assert.equal("hello", ask(c, framing, "identity", "hello"))
      end)
    end)

    it("is EOF where it was cut, at each byte", function()
      raw_server.run(function(c)
        for size = 1, #HELLO - 1 do
          local code, err = ask(c, framing, "gzip", HELLO:sub(1, size))
          assert.equal("EOF", code, size)
          assert.equal("reading body", err.phase)
          assert.equal("EOF", (ask(c, framing, "gzip", HELLO:sub(1, size), { stream = true })))
        end
      end)
    end)

    it("is a part of one where the server says so", function()
      raw_server.run(function(c)
        assert.equal("hello", ask(c, framing, "gzip", HELLO:sub(1, -3), { status = 206 }))
      end)
    end)

    it("is EPROTO if it is something else, or has something behind it", function()
      raw_server.run(function(c)
        for coding, body in pairs { gzip = "hello, no gzip", ["x-gzip"] = HELLO .. "more",
          unknown = "hello", GZIP = HELLO:sub(1, -9) .. "\0\0\0\0" .. HELLO:sub(-4) } do
          assert.equal("EPROTO", (ask(c, framing, coding, body)), coding)
        end
      end)
    end)
  end)
end

it("a compressed body that comes in single bytes is decoded", function()
  raw_server.run(function(c)
    local server <close> = raw_server.start(c, function(peer)
      peer:request()
      peer:send("HTTP/1.1 200 x\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n")
      for byte in HELLO:gmatch(".") do
        peer:send(byte)
        ctx.sleep(c, 0)
      end
      peer:gone()
    end)
    assert.equal("hello", assert(http_client.get(c, server:url(), { decompress = true })).body)
  end)
end)
