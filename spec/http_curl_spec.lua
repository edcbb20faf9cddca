-- SPDX-License-Identifier: MIT
-- ctx.http.curl by itself, without a loop: closed at any time, collected, or short of memory
-- (stress.lua lets each of its allocations fail).
local curl = require "ctx.http.curl"
local lost = require "spec.support.lost"

--- Options of a request that is refused at once: nobody listens on that path.
local function refused(more)
  local options = { url = "http://host/", unix = "/nonexistent/socket", proxy = "" }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return options
end

--- Lets the pool work until nothing is left to do now; answers the owners that had news.
local function work(pool)
  local owners = {}
  for _ = 1, 5 do
    assert(pool:action())
    local fd = pool:socket()
    while fd do
      fd = pool:socket()
    end
    pool:timeout()
    local owner = pool:event()
    while owner do
      owners[#owners + 1] = owner
      owner = pool:event()
    end
  end
  return owners
end

describe("a transfer", function()
  it("begins, fails, tells its owner, and says why", function()
    for _, apart in ipairs { false, true } do
      local pool = curl.pool { apart = apart }
      local owner = {}
      local transfer = pool:transfer(owner, refused())
      assert(pool:add(transfer))
      assert.equal(owner, work(pool)[1])
      local _, done = transfer:state()
      assert.is_true(done)
      local code, text, errno = transfer:result()
      assert.equal(7, code)
      assert.equal("string", type(text))
      assert.equal("ENOENT", curl.errno_name(errno))
      assert.equal("connecting", transfer:phase())
      transfer:close()
      transfer:close()
      assert.is_false(pcall(transfer.state, transfer))
      pool:close()
    end
  end)

  it("can be closed before it begins, under way, and after its pool", function()
    local pool = curl.pool {}
    pool:transfer({}, refused()):close()
    local under_way = pool:transfer({}, refused())
    assert(pool:add(under_way))
    under_way:close()
    assert.is_nil(work(pool)[1])
    local left = pool:transfer({}, refused { body = "some", headers = { "a: b", "c: d" } })
    assert(pool:add(left))
    pool:close()
    pool:close()
    left:close()
    assert.is_false(pcall(pool.action, pool))
    assert.is_false(pcall(left.take, left))
  end)

  it("can be collected with its pool, at any time", function()
    for i = 1, 5 do
      local pool = curl.pool {}
      for j = 1, i do
        local transfer = pool:transfer({}, refused { upload = true })
        transfer:feed(("x"):rep(3000))
        if j % 2 == 0 then assert(pool:add(transfer)) end
      end
      if i % 2 == 0 then work(pool) end
    end
    collectgarbage()
  end)

  -- A transfer that had not begun stood in its pool's list of raw pointers until its finalizer took
  -- it out, and Lua loses finalizers near its limits. Now the pool keeps what the list points to.
  it("is not touched any more once it was collected without its finalizer", function()
    local pool = curl.pool {}
    assert.is_true(lost.collect(function()
      for _ = 1, 5 do
        pool:transfer({}, refused { upload = true, body = ("x"):rep(500) })
      end
    end) > 0)
    local last = pool:transfer({}, refused())
    assert(pool:add(last))
    assert.equal(1, #work(pool))
    pool:close()
  end)

  it("does not keep its owner before it begins", function()
    local pool, weak = curl.pool {}, setmetatable({}, { __mode = "v" })
    do
      local owner = {}
      owner.transfer = pool:transfer(owner, refused())
      weak[1] = owner
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
    pool:close()
  end)

  it("is refused by a pool that is not its own, and a second time", function()
    local pool, other = curl.pool {}, curl.pool {}
    local transfer = pool:transfer({}, refused())
    assert.is_false(pcall(other.add, other, transfer))
    assert(pool:add(transfer))
    assert.is_false(pcall(pool.add, pool, transfer))
    pool:close()
    other:close()
  end)

  it("keeps its body alive for as long as it is sent", function()
    local pool = curl.pool {}
    local transfer = pool:transfer({}, refused { body = ("x"):rep(1000) })
    collectgarbage()
    assert(pool:add(transfer))
    work(pool)
    transfer:close()
    pool:close()
  end)
end)

describe("a URL", function()
  it("is taken apart, and freed of what is secret", function()
    local url = curl.url("HTTP://me:pass@Host.example:8080/a/../b?c=d#e")
    assert.equal("http://me:pass@Host.example:8080/b?c=d", url.url)
    assert.equal("http://Host.example:8080/b?c=d", url.safe)
    assert.equal("http://Host.example:8080/b", url.public)
    assert.equal("http", url.scheme)
    assert.equal("8080", url.port)
    assert.equal("443", curl.url("https://h/").port)
    assert.equal("http://h/c", curl.url("../c", "http://h/a/b").url)
    assert.equal("http://x/", curl.url("//x", "http://me:pass@h/a").url)
    local none, why = curl.url("no url")
    assert.is_nil(none)
    assert.equal("string", type(why))
  end)

  it("errors of the system have names", function()
    assert.is_nil(curl.errno_name(0))
    assert.equal("ENOENT", curl.errno_name(2))
    local version, number = curl.version()
    assert.equal("string", type(version))
    assert.is_true(number >= 0x074400)
  end)
end)
