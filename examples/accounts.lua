-- SPDX-License-Identifier: MIT
--- A mutex around a wait. Tasks change places only where they wait, so memory needs no lock; what
--- must stay true across a wait does. Ten tasks withdraw, and each asks the bank first: without
--- the lock the account is overdrawn.
--
-- Usage: ./dev lua examples/accounts.lua     (exits 0 only if all went as it should)

local ctx = require "ctx"
local mutex = require "ctx.mutex"
local waitgroup = require "ctx.waitgroup"

--- Takes 30 if they are there. Between the look and the deed everybody else has a turn.
local function withdraw(c, account)
  if account.balance >= 30 then
    ctx.sleep(c, 1)
    account.balance = account.balance - 30
  end
end

local function withdraw_locked(c, account)
  local held <close>, err = account.lock:hold(c)
  if not held then
    return nil, err
  end
  withdraw(c, account)
end

local function ten(root, what)
  local account, wg = { balance = 100, lock = mutex.new() }, waitgroup.new()
  for _ = 1, 10 do
    wg:go(what, root, account)
  end
  wg:wait(root)
  return account.balance
end

ctx.run(function(root)
  local without, with = ten(root, withdraw), ten(root, withdraw_locked)
  print(("without the lock: %d, with it: %d"):format(without, with))
  assert(without < 0 and with == 10)
end)
