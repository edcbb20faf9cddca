-- SPDX-License-Identifier: MIT
-- JSON in requests and responses.
local bed = require "spec.support.http"
local cjson = require "cjson"
local ctx = require "ctx"
local http = require "ctx.http"

local function post(client, body, ...)
  client:send(table.concat({ "POST / HTTP/1.1", "Host: h", "Content-Length: " .. #body, ... },
    "\r\n"),
    "\r\n\r\n", body)
  return client:answer()
end

describe("req:json", function()
  local function echo(req, res)
    local value, err = req:json()
    if err then
      return nil, err
    end
    return res:json(req.ctx, 201, { got = value })
  end

  it("gives the value of the body", function()
    bed.with(echo, function(client)
      for _, text in ipairs { '{"a":[1,2,{"b":"ä"}]}', "[]", '"x"', "1.5", "true", "false",
        "null" } do
        local answer = post(client, text)
        assert.same({ 201, "application/json" }, { answer.status, answer.headers["content-type"] })
        local got = cjson.decode(answer.body).got
        assert.same(cjson.decode("[" .. text .. "]")[1], got)
      end
    end)
  end)

  it("is 400 for what is not JSON, and the handler's defect is none", function()
    bed.with(echo, function(client, b)
      for _, text in ipairs { "", "{", "{a:1}", "'x'", "nan", "Infinity", "0x10", '"\xff"',
        '"\xc0\x80"',
        '"\xed\xa0\x80"', "[1,]", "{} x", ("["):rep(5000) } do
        local answer = post(client, text)
        assert.same({ text:sub(1, 20), 400, "the body is not JSON\n" },
          { text:sub(1, 20), answer.status, answer.body })
      end
      assert.same({}, b.errors)
      assert.truthy(b.records[1].error:find("400 Bad Request: the body is not JSON: ", 1, true))
    end)
  end)

  it("is 413 for a body that is too long, and says why a client that left has none", function()
    bed.with(echo, function(client)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        .. "b\r\n01234567890\r\n0\r\n\r\n")
      assert.equal(413, client:answer().status)
    end, { max_body = 10 })
    local err
    bed.with(function(req)
      local _
      _, err = req:json()
    end, function(client, b)
      client:send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n[")
      b:wait_until(function() return b.server:stats().requests == 1 end)
      client:close()
      b:wait_empty()
      assert.truthy(require("ctx.errors").is(err, http.client_gone), tostring(err))
    end)
  end)

  it("takes no notice of what the program tells its own cjson", function()
    local other = require "cjson"
    other.decode_invalid_numbers(true)
    other.encode_sparse_array(true)
    bed.with(echo, function(client)
      assert.equal(400, post(client, "[NaN]").status)
    end)
    other.encode_sparse_array(false)
  end)
end)

describe("res:json", function()
  it("sets status and type, unless the program has set a type", function()
    bed.with(function(req, res)
      res.headers["content-TYPE"] = req.query.type
      return res:json(req.ctx, 422, { error = "no" })
    end, function(client)
      local answer = client:get("/")
      assert.same({ 422, "application/json", '{"error":"no"}' },
        { answer.status, answer.headers["content-type"], answer.body })
      assert.equal("application/problem+json",
        client:get("/?type=application/problem%2bjson").headers["content-type"])
    end)
  end)

  it("works in the buffer of http.timeout, and with HEAD", function()
    bed.with(http.chain(function(req, res)
      return res:json(req.ctx, 200, { 1, 2 })
    end, http.timeout(60000)), function(client)
      assert.equal("[1,2]", client:get("/").body)
      local answer = client:ask("HEAD / HTTP/1.1", "Host: h")
      assert.same({ "5", "" }, { answer.headers["content-length"], answer.body })
    end)
  end)

  it("raises at the caller's line for what cannot be sent, and changes nothing", function()
    local texts = {}
    bed.with(function(req, res)
      local loop = {}
      loop.loop = loop
      for _, case in ipairs { { req.ctx, 200, print }, { req.ctx, 200, nil }, { req.ctx, 200,
        0 / 0 },
        { req.ctx, 200, math.huge }, { req.ctx, 200, loop }, { req.ctx, 99, {} }, { req.ctx,
          "200", {} },
        { 5, 200, {} } } do
        local line = debug.getinfo(1, "l").currentline + 1
        local ok, err = pcall(function() return { res:json(table.unpack(case, 1, 3)) } end)
        assert(not ok and err:find("http_json_spec.lua:" .. line .. ": ", 1, true), tostring(err))
        texts[#texts + 1] = err
      end
      assert(res.status == 200 and next(res.headers) == nil)
      return res:json(req.ctx, 200.0, cjson.null)
    end, function(client, b)
      assert.equal("null", client:get("/").body)
      assert.same({}, b.errors)
      assert.equal(8, #texts)
    end)
  end)

  it("is an error when the response has begun", function()
    local err
    bed.with(function(req, res)
      res:write(req.ctx, "x")
      err = select(2, res:json(req.ctx, 500, {}))
    end, function(client)
      local answer = client:get("/")
      assert.same({ 200, "x" }, { answer.status, answer.body })
      assert.equal("json: the response has begun", tostring(err))
    end)
  end)
end)

describe("without lua-cjson", function()
  it("both raise at the caller's line, and say what is missing", function()
    local searchers, loaded = package.searchers, package.loaded.cjson
    local path, cpath = package.path, package.cpath
    -- The module that remembers its codec, anew.
    local json = package.loaded["ctx.http.json"]
    package.loaded["ctx.http.json"] = nil
    local fresh = require "ctx.http.json"
    package.loaded["ctx.http.json"] = json
    package.loaded.cjson, package.path, package.cpath = nil, "", ""
    local function method()
      fresh.need("json")
    end
    local ok, err = pcall(function() method() end)
    package.loaded.cjson, package.path, package.cpath = loaded, path, cpath
    assert.equal(searchers, package.searchers)
    assert.is_false(ok)
    assert.truthy(err:find("http_json_spec.lua:%d+: json: it needs lua%-cjson"), err)
    assert.is_nil(ctx.background():err())
  end)
end)
