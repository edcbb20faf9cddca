-- SPDX-License-Identifier: MIT
-- Random programs over one semaphore, played beside a model that is as simple as can be: a list in
-- the order of asking, gone through from its start whenever anything has changed.
local ctx = require "ctx"
local new_random = require "spec.support.random"
local semaphore = require "ctx.semaphore"
local testing = require "ctx.testing"

local ROUNDS, STEPS = 20, 150

-- -- The model ------------------------------------------------------------------------------------

local Model = {}
Model.__index = Model

local function new_model(size)
  return setmetatable({ size = size, held = 0, waiting = {} }, Model)
end

function Model:fits(k)
  return self.held + k <= self.size
end

--- Whether anybody waits who could be served by and by.
function Model:is_queued()
  for _, request in ipairs(self.waiting) do
    if request.k <= self.size then
      return true
    end
  end
  return false
end

--- Gives what is free to the first, and on, until one does not fit.
function Model:settle()
  local still, blocked = {}, false
  for _, request in ipairs(self.waiting) do
    if request.c:done() then
      request.want = "failed"
    elseif request.k > self.size or blocked or not self:fits(request.k) then
      blocked = blocked or request.k <= self.size
      still[#still + 1] = request
    else
      request.want = "held"
      self.held = self.held + request.k
    end
  end
  self.waiting = still
end

-- -- Both -----------------------------------------------------------------------------------------

local steps = {}

function steps.acquire(game)
  local request = { c = game.contexts[game.random(#game.contexts)], k = game.random(5) - 1 }
  request.want, request.got = "waiting", "waiting"
  game.requests[#game.requests + 1] = request
  ctx.go(function()
    request.got = game.semaphore:acquire(request.c, request.k) and "held" or "failed"
  end)
  table.insert(game.model.waiting, request)
end

function steps.try_acquire(game)
  local k = game.random(5) - 1
  local want = not game.model:is_queued() and game.model:fits(k)
  assert.equal(want, game.semaphore:try_acquire(k))
  if want then
    game.model.held = game.model.held + k
    table.insert(game.requests, { k = k, want = "held", got = "held" })
  end
end

function steps.release(game)
  local request = game.requests[game.random(#game.requests + 1)]
  if request and request.want == "held" then
    game.semaphore:release(request.k)
    game.model.held = game.model.held - request.k
    request.want, request.got = "released", "released"
  end
end

function steps.cancel(game)
  local i = game.random(#game.contexts)
  game.cancels[i]()
  game.contexts[i], game.cancels[i] = ctx.with_cancel(game.root)
end

function steps.resize(game)
  game.model.size = game.random(6) - 1
  game.semaphore:resize(game.model.size)
end

local KINDS = {
  "acquire", "acquire", "acquire", "try_acquire", "release", "release", "release", "cancel",
  "resize",
}

local function compare(game)
  assert.same({ game.model.held, game.model.size }, { game.semaphore:held() })
  for i, request in ipairs(game.requests) do
    assert.equal(request.want, request.got, "request " .. i)
  end
end

local function play(root, seed)
  local random = new_random(seed)
  local size = random(6) - 1
  local game = {
    root = root, random = random, contexts = {}, cancels = {}, requests = {},
    semaphore = semaphore.new(size), model = new_model(size),
  }
  for i = 1, 4 do
    game.contexts[i], game.cancels[i] = ctx.with_cancel(root)
  end
  for _ = 1, STEPS do
    steps[KINDS[random(#KINDS)]](game)
    ctx.sleep(root, 1)
    game.model:settle()
    compare(game)
  end
  for _, cancel in ipairs(game.cancels) do
    cancel()
  end
  ctx.sleep(root, 1)
  game.model:settle()
  compare(game)
  assert.equal(0, #game.model.waiting)
end

describe("random use of a semaphore goes as in the model:", function()
  local seed = math.tointeger(os.getenv "CTX_SEED") or os.time()

  it(("%d programs from seed %d"):format(ROUNDS, seed), function()
    for round = 0, ROUNDS - 1 do
      local ok, problem = pcall(testing.run, function(root) play(root, seed + round) end)
      if not ok then
        error(("seed %d: %s"):format(seed + round, tostring(problem)), 0)
      end
    end
  end)
end)
