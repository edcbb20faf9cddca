-- SPDX-License-Identifier: MIT
-- Tables of header fields. Names were compared as they were written: two middlewares that spelt one
-- differently sent two fields Content-Type in one answer. One class folds them now.
local bed = require "spec.support.http"
local fields = require "ctx.fields"

describe("a table of header fields", function()
  it("reads and writes a name under any spelling, as one field", function()
    local headers = fields.new()
    headers["Content-Type"] = "a"
    headers["CONTENT-TYPE"] = "b"
    headers["content-type"] = "c"
    for _, name in ipairs { "Content-Type", "content-type", "cOnTeNt-tYpE" } do
      assert.equal("c", headers[name])
    end
    local seen = {}
    for name, value in pairs(headers) do
      seen[#seen + 1] = name .. "=" .. value
    end
    assert.same({ "content-type=c" }, seen)
    headers["Content-TYPE"] = nil
    assert.is_nil(next(headers))
  end)

  it("holds an invalid name of a header neither under a number nor under nil", function()
    local headers = fields.new()
    for _, name in ipairs { "", "a b", "a:b", "a\r\nb", "\xe4", 1, true } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, err = pcall(function() headers[name] = "x" end)
      assert.is_false(ok)
      assert.truthy(err:find("fields_spec.lua:" .. line .. ": ", 1, true), err)
      assert.is_nil(headers[name])
    end
    assert.is_nil(headers[nil])
  end)

  it("folds names by ASCII, whatever the locale", function()
    local before = os.setlocale(nil, "ctype")
    os.setlocale("tr_TR.ISO-8859-9", "ctype") -- where it is installed
    local headers = fields.new()
    headers["IF-MATCH-I"] = "x"
    assert.equal("x", headers["if-match-i"])
    os.setlocale(before, "ctype")
  end)

  it("copies a table, and refuses two spellings of one name", function()
    local copy = assert(fields.of { ["X-A"] = 1, x = { "2" } })
    assert.same({ 1, { "2" } }, { copy["x-a"], copy.X })
    local again = assert(fields.of(copy))
    again["X-A"] = 3
    assert.equal(1, copy["x-a"])
    for _, bad in ipairs { { ["X-A"] = 1, ["x-a"] = 1 }, { ["a b"] = 1 }, { "x" } } do
      local none, why = fields.of(bad)
      assert.is_nil(none)
      assert.equal("string", type(why))
    end
  end)

  -- Names come from other servers, too, where a proxy copies them.
  it("remembers a bounded number of names", function()
    local headers = fields.new()
    collectgarbage()
    collectgarbage()
    local before = collectgarbage("count")
    for i = 1, 20000 do
      headers[("X-%d-%s"):format(i, ("y"):rep(i % 200))] = "x"
      headers[("X-%d-%s"):format(i, ("y"):rep(i % 200))] = nil
    end
    headers = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 300)
  end)
end)

describe("req.headers and req.trailers", function()
  it("are found under any spelling", function()
    bed.with(function(req, res)
      assert(req:body())
      return res:finish(req.ctx, req.headers["X-Thing"] .. req.headers["x-thing"]
        .. req.trailers["X-Sum"] .. tostring(req.headers["X-None"]))
    end, function(client)
      local answer = client:ask("POST / HTTP/1.1", "Host: spec", "x-THING: 1",
        "Transfer-Encoding: chunked", "", "0", "X-SUM: 2")
      assert.equal("112nil", answer.body)
    end)
  end)
end)

describe("res.headers", function()
  local function raw_of(handler, fn)
    bed.with(handler, function(client, b)
      fn(client:get(), b)
    end)
  end

  it("sends one field for all spellings of a name, in one spelling", function()
    raw_of(function(req, res)
      res.headers["content-type"] = "a"
      res.headers["CONTENT-TYPE"] = "b"
      res.headers.etag = '"x"'
      res.headers["x-REQUEST-id"] = "7"
      return res:finish(req.ctx, res.headers["Content-Type"])
    end, function(answer)
      assert.equal("b", answer.body)
      local lines = {}
      for name in answer.raw:gmatch("\r\n([^:]+):") do
        lines[#lines + 1] = name
      end
      table.sort(lines)
      assert.same({ "Content-Length", "Content-Type", "Date", "ETag", "Keep-Alive",
        "X-Request-ID" }, lines)
    end)
  end)

  it("may be replaced by a plain table, in which two spellings of a name raise", function()
    raw_of(function(req, res)
      res.headers = { ["X-A"] = "1", ["x-b"] = "2" }
      return res:finish(req.ctx)
    end, function(answer)
      assert.truthy(answer.raw:find("\r\nX-A: 1", 1, true))
      assert.truthy(answer.raw:find("\r\nX-B: 2", 1, true))
    end)
    raw_of(function(req, res)
      res.headers = { ["X-A"] = "1", ["x-a"] = "2" }
      return res:finish(req.ctx)
    end, function(answer, b)
      assert.equal(500, answer.status)
      assert.truthy(tostring(b.errors[1].err):find("x-a: it stands there twice", 1, true))
    end)
  end)
end)
