-- SPDX-License-Identifier: MIT
-- Paths on their way to files. A router handed out what stood in the target: "..", "//" and zero
-- bytes, which leave the folder that a handler joins them to. One set of rules now, for parameters
-- and for http.join.
local bed = require "spec.support.http"
local ctx = require "ctx"
local http = require "ctx.http"
local misuse = require "spec.support.misuse"
local new_random = require "spec.support.random"

local function serve(options, fn)
  local routes = http.router(options)
  local function show(req, res)
    return res:finish(req.ctx, ("<%s>"):format(req.params.path or req.params.id))
  end
  routes:get("/files/{path...}", show)
  routes:get("/u/{id}", show)
  routes:get("/u/{id}/posts", show)
  bed.with(routes:handler(), fn)
end

-- What is sent, and what the handler gets.
local good = {
  { "/files/", "" }, { "/files/a", "a" }, { "/files/a/", "a/" }, { "/files/a/b/c", "a/b/c" },
  { "/files/.well-known/x", ".well-known/x" }, { "/files/a..b", "a..b" }, { "/files/...", "..." },
  { "/files/v1.2/..c", "v1.2/..c" }, { "/files/c../d.", "c../d." }, { "/files/a%20b/c", "a b/c" },
  { "/files/a%2Fb", "a/b" }, { "/files/%252e%252e/x", "%2e%2e/x" }, { "/files/%C3%A4", "ä" },
  { "/files/a%3Fb%23c", "a?b#c" }, { "/files/~root", "~root" }, { "/files/c:", "c:" },
  { "/u/7", "7" }, { "/u/a%2Fb", "a/b" }, { "/u/...", "..." }, { "/u/.x", ".x" }, { "/u/a//posts",
    nil },
  { "/u/..%2F", nil },
}

local bad = {
  "/files/.", "/files/..", "/files/../x", "/files/a/../b", "/files/a/..", "/files/a/.",
    "/files/./a",
  "/files/../../etc/passwd", "/files/%2e%2e/x", "/files/%2E/x", "/files/.%2e/x",
  "/files/..%2F..%2Fetc%2Fpasswd", "/files/a%2f..%2f..%2fetc", "/files/a%2F..",
    "/files//etc/passwd",
  "/files/%2Fetc", "/files/%2F", "/files//", "/files/a//b", "/files/a//", "/files/a%2F%2Fb",
  "/files/a%00b", "/files/%00", "/files/a%5Cb", "/files/..%5C..%5Cx", "/files/a\\b",
  "/u/..", "/u/.", "/u/%2e%2e", "/u/..%2Fx", "/u/x%2F..", "/u/a%2F.%2Fb", "/u/a%00", "/u/a%5Cb",
  "/u/../posts", "/u/%2e%2e/posts",
}

describe("a parameter of a path", function()
  it("is handed out where it leads nowhere else", function()
    serve(nil, function(client)
      for _, case in ipairs(good) do
        local answer = client:get(case[1])
        if case[2] then
          assert.same({ case[1], 200, "<" .. case[2] .. ">" }, { case[1], answer.status,
            answer.body })
        else
          assert.not_equal(200, answer.status)
        end
      end
    end)
  end)

  it("is 400 where it could, and the connection goes on", function()
    serve(nil, function(client)
      for _, path in ipairs(bad) do
        assert.same({ path, 400 }, { path, client:get(path).status })
      end
      assert.equal("<a>", client:get("/files/a").body)
    end)
  end)

  it("is handed out whatever it is with raw_parameters", function()
    serve({ raw_parameters = true }, function(client)
      assert.equal("<../../etc/passwd>", client:get("/files/..%2F../etc/passwd").body)
      assert.equal("</etc>", client:get("/files//etc").body)
      assert.equal("<a\0b\\c>", client:get("/files/a%00b%5Cc").body)
      assert.equal("<..>", client:get("/u/..").body)
      for _, path in ipairs(bad) do
        assert.equal(200, client:get(path).status)
      end
    end)
  end)

  it("of a path that no route has is 404, and of a method that it has not 405", function()
    serve(nil, function(client)
      assert.equal(404, client:get("/other/../x").status)
      assert.equal(405, client:ask("DELETE /u/.. HTTP/1.1", "Host: h").status)
    end)
  end)

  it("has a name that the pattern has once, and the option is a flag", function()
    local routes = http.router()
    misuse.raises(function() routes:get("/{a}/{a}", print) end, "#1 to 'get' (pattern: ")
    misuse.raises(function() routes:get("/{a}/{a...}", print) end, "#1 to 'get' (pattern: ")
    misuse.raises(function() http.router { raw_parameters = 1 } end, "options.raw_parameters: ")
    misuse.raises(function() http.router { raw = true } end, "raw_parameters")
    misuse.raises(function() http.router(5) end, "options")
  end)
end)

--- The path as a system takes it, from "/": nil if it leaves the folder at any step.
local function walk(path, folder)
  local at = {}
  for segment in path:gmatch("[^/\\]+") do
    if segment == ".." then
      at[#at] = nil
    elseif segment ~= "." then
      at[#at + 1] = segment
    end
    local here = "/" .. table.concat(at, "/")
    if #at >= 2 and here:sub(1, #folder) ~= folder then
      return nil
    end
  end
  return "/" .. table.concat(at, "/")
end

describe("http.join", function()
  it("gives the path below a folder", function()
    for _, case in ipairs {
      { "/srv/www", "a", "/srv/www/a" }, { "/srv/www/", "a", "/srv/www/a" }, { "/", "a", "/a" },
      { ".", "a/b", "./a/b" }, { "www", "a/", "www/a/" }, { "/srv/www", "", "/srv/www" },
      { "/srv", ".well-known/x", "/srv/.well-known/x" }, { "/srv", "...", "/srv/..." },
    } do
      assert.equal(case[3], http.join(case[1], case[2]))
    end
  end)

  it("gives an error with status 400 for a path that could lead out", function()
    for _, path in ipairs { "..", ".", "../x", "a/..", "a/../b", "/etc", "/", "//", "a//b", "a//",
      "\0",
      "a\0", "a\\b", "..\\x" } do
      local joined, err = http.join("/srv/www", path)
      assert.is_nil(joined, path)
      assert.equal(400, err.status)
    end
  end)

  local seed = os.time() % 1000000
  it("never leaves the folder (seed " .. seed .. ")", function()
    local random, parts = new_random(seed), { ".", "..", "/", "a", "\\", "\0", "b.", " ", "//", "" }
    for _ = 1, 20000 do
      local path = {}
      for i = 1, random(6) do
        path[i] = parts[random(#parts)]
      end
      path = table.concat(path)
      local joined = http.join("/srv/www", path)
      if joined then
        local walked = walk(joined, "/srv/www")
        assert.truthy(walked and walked:sub(1, 8) == "/srv/www", ("%q"):format(path))
        assert.is_nil(joined:find("\0", 1, true))
      end
    end
  end)

  it("takes texts", function()
    misuse.raises(function() http.join() end, "#1 to 'join' (folder: ")
    misuse.raises(function() http.join("", "a") end, "#1 to 'join' (folder: ")
    misuse.raises(function() http.join("a\0", "a") end, "#1 to 'join' (folder: ")
    misuse.raises(function() http.join("/srv") end, "#2 to 'join' (path: ")
    misuse.raises(function() http.join("/srv", 5) end, "#2 to 'join' (path: ")
  end)

  it("makes a handler's 400 when its error is returned", function()
    bed.with(function(req, res)
      local path, err = http.join("/srv", req.query.path)
      if not path then
        return nil, err
      end
      return res:finish(req.ctx, path)
    end, function(client)
      assert.equal("/srv/a", client:get("/?path=a").body)
      assert.equal(400, client:get("/?path=../a").status)
      assert.is_nil(ctx.background():err())
    end)
  end)
end)
