-- SPDX-License-Identifier: MIT
-- Cause: numbers were written by string.format, tostring or a JSON library, all of which ask the
-- locale for the decimal point; a host program that had set one got "ms":1,500 in its logs, and a
-- collector refused its spans. Cure: numbers with a fraction become text in ctx.text alone.
local bed = require "spec.support.http"
local collector = require "spec.support.collector"
local ctx = require "ctx"
local fields = require "ctx.fields"
local http = require "ctx.http"
local json = require "ctx.http.json"
local locale = require "spec.support.locale"
local otlp = require "ctx.propagate.otlp"
local processes = require "ctx.uv"
local propagate = require "ctx.propagate"
local record = require "ctx.http.record"
local signal = require "ctx.signal"
local text = require "ctx.text"
local testing = require "ctx.testing"
local url = require "ctx.http.url"
local uv = require "luv"
local wire = require "ctx.http.wire"

local root = ctx.background()

--- What a collector is sent of a span with this attribute.
local function sent(value)
  local body
  testing.run(function(c)
    local exporter = otlp.new { post = function(_, _, _, text_sent)
      body = text_sent
      return collector.OK
    end, resource = { ratio = value } }
    exporter:export(collector.span("work", { attributes = { value = value } }))
    exporter:shutdown(c)
  end)
  return body
end

for name, point in pairs { ["a comma"] = ",", ["a sign of two bytes"] = "\u{066B}" } do
  describe("under a locale whose decimal point is " .. name .. ",", function()
    it("numbers become text with a point", function()
      locale.with_point(point, function()
        assert.equal("1.500", text.number("%.3f", 1.5))
        assert.equal("-1.5e-07", text.number("%g", -1.5e-7))
        assert.equal("17.25", text.exact(17.25))
        assert.equal("0.33333333333333331", text.exact(1 / 3))
        assert.equal("-1.2345678901234568e-300", text.exact(-1.2345678901234567e-300))
        assert.equal("3", text.exact(3.0))
      end)
    end)

    it("a span's attributes are JSON", function()
      locale.with_point(point, function()
        local body = sent(17.25)
        assert.equal(2, select(2, body:gsub('{"doubleValue":17%.25}', "")), body)
      end)
    end)

    it("a line of the access log is JSON, and logfmt", function()
      locale.with_point(point, function()
        local of = { time = 5, ms = 1.5, left = 0.25 }
        assert.equal('{"time":5,"ms":1.500,"left":0.250}', record.json(of))
        assert.equal("time=5 ms=1.500 left=0.250", record.logfmt(of))
      end)
    end)

    it("JSON of a body has a point, and the program's own cjson is left alone", function()
      locale.with_point(point, function()
        json.need("spec")
        local value = assert(json.decode('{"total":17.25,"list":[0.5,-1e-3]}'))
        assert.same({ total = 17.25, list = { 0.5, -1e-3 } }, value)
        assert.equal("[17.25,0.5]", json.encode { 17.25, 0.5 })
        assert.equal('["a\u{FFFD}"]', json.encode { "a\xFF" })
        if #point == 1 then
          local cjson = require("cjson").new() -- made under this locale, by the program
          json.decode("[1.5]")
          assert.equal("[17.25]", cjson.encode { 17.25 })
          assert.same({ 17.25 }, cjson.decode("[17.25]"))
        end
        assert.equal("1" .. point .. "5", ("%.1f"):format(1.5))
      end)
    end)

    it("numbers in a query and in a request's headers have a point", function()
      locale.with_point(point, function()
        assert.equal("17.25", url.text_of(17.25))
        assert.equal("9007199254740994", url.text_of(2.0 ^ 53 + 2))
        assert.equal("5", url.text_of(5))
      end)
    end)

    -- A point of two bytes left one of them in the header.
    it("numbers in a response's headers have a point", function()
      locale.with_point(point, function()
        for number, expected in pairs { [17.25] = "17.25", [5.0] = "5", [-1.5e-7] = "-1.5e-07",
          [1764490466.123456] = "1764490466.123456", [2.0 ^ 53 + 2] = "9007199254740994" } do
          local head = wire.head(200, "OK", { ["X-A"] = { number } }, 0, true, 1, "d")
          assert.truthy(head:find("X-A: " .. expected .. "\r\n", 1, true), head)
        end
      end)
    end)

    it("c:why() names its deadline with a point", function()
      locale.with_point(point, function()
        local clock <close> = testing.clock()
        local before = ctx.debug(true)
        local c, cancel <close> = ctx.with_timeout(root, 0.5)
        ctx.debug(before)
        clock:advance(1)
        assert.matches("0.5 ms", tostring(c:why()), 1, true)
      end)
    end)

    it("a deadline in seconds is written and read with a point", function()
      locale.with_point(point, function()
        local seconds = propagate.deadline { header = "x-timeout", unit = "s" }
        assert.equal("1.500", seconds:encode(1500))
        assert.equal(1500, seconds:decode("1.500"))
        assert.is_nil(seconds:decode("1" .. point .. "500"))
        assert.equal(1500, (select(2, propagate.extract(root, { ["x-timeout"] = "1.5" }, seconds))))
      end)
    end)
  end)
end

-- Cause: string.lower, string.upper and the order of strings ask the locale. In a Turkish one
-- "SIGINT" was no signal, "Expect: 100-CONTINUE" was 417, and a header with an "I" was not found.
describe("under a locale with other letters,", function()
  it("names are folded and sorted as in ASCII", function()
    locale.with_letters(function()
      assert.equal("title i", text.lower("TITLE I"))
      assert.equal("TITLE I", text.upper("title i"))
      local list = { "b", "a", "aa", "", "B" }
      text.sort(list)
      assert.same({ "", "B", "a", "aa", "b" }, list)
    end)
  end)

  it("signals have their names", function()
    locale.with_letters(function()
      assert.equal("sigint", signal.known("SIGINT"))
      assert.equal("sigint", signal.known("sigint"))
      local sleeper <close> = assert(processes.start(root, "sleep", { args = { "300" } }))
      assert(sleeper:kill("SIGINT"))
      assert.equal(2, sleeper:wait(root).signal)
    end)
  end)

  it("headers have theirs", function()
    locale.with_letters(function()
      local limit = propagate.deadline { header = "X-TIME-LIMIT", unit = "ms" }
      local c, cancel <close> = ctx.with_timeout(root, 60000)
      local headers = propagate.inject(c, {}, limit)
      assert.truthy(headers["x-time-limit"])
      assert.same({ ["X-TIME-LIMIT"] = "5" }, propagate.inject(c, { ["X-TIME-LIMIT"] = "5" },
        limit))
      assert.truthy((select(2, propagate.extract(root, headers, limit))))
      assert.equal("x", fields.of({ TITLE = "x" }).title)
    end)
  end)

  it("a server knows methods and expectations, and a client sorts names by their bytes", function()
    locale.with_letters(function()
      assert.equal("B=1&a=2&b=3", select(2, url.query_of { b = 3, a = 2, B = 1 }))
      bed.with(function(req, res) return res:finish(req.ctx, req:body()) end, function(client)
        local answer = client:ask("POST / HTTP/1.1", "HOST: h", "EXPECT: 100-CONTINUE",
          "CONTENT-LENGTH: 0")
        assert.equal(200, answer.status)
      end)
      local router = http.router()
      router:options("/", function() end)
      router:handle("GET", "/", function() end)
      bed.run({ handler = router:handler() }, function(b)
        local client <close> = b:connect()
        assert.equal("GET, HEAD, OPTIONS", client:ask("POST / HTTP/1.1", "Host: h",
          "Content-Length: 0").headers.allow)
      end)
    end)
  end)
end)

--- Runs check(path, line) for each line of the Lua modules but ctx.text.
local function each_line(check)
  local function search(folder)
    for name, kind in uv.fs_scandir_next, assert(uv.fs_scandir(folder)) do
      local path = folder .. "/" .. name
      if kind == "directory" then
        search(path)
      elseif path ~= "lua/ctx/text.lua" then
        for line in io.lines(path) do
          check(path, line)
        end
      end
    end
  end
  search("lua/ctx")
end

-- A new format of a fraction anywhere else would be one that follows the locale; and so would be a
-- new call of what folds or sorts by it.
it("no module writes a fraction, folds letters or sorts strings by itself", function()
  each_line(function(path, line)
    local digits = line:match("format") and line:match("%%[-+ #0]*%d*(%.?%d*)[eEfFgG]")
    assert.is_true(not digits or digits == ".0", path .. ": " .. line)
    assert.is_nil(line:match(":lower%(%)") or line:match(":upper%(%)")
      or line:match("string%.lower%f[^%w_]") or line:match("string%.upper%f[^%w_]"),
      path .. ": " .. line)
    assert.is_nil(line:match("table%.sort%([^,]*%)"), path .. ": " .. line)
  end)
end)
