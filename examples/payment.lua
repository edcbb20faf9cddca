-- SPDX-License-Identifier: MIT
--- A payment that is accepted at once and made later: detached from the request, with a timeout
--- of its own. A deadline is logged with its cause: the charge may have happened, and somebody
--- has to look.
--
-- Usage: ./dev lua examples/payment.lua     (exits 0 only if all went as it should)

local cjson = require("cjson.safe")
local ctx = require("ctx")
local errors = require("ctx.errors")
local http = require("ctx.http")

local CHARGE_BUDGET_MS = 500 -- 10 000 in a real program
local SAVE_BUDGET_MS = 5000
local timed_out = errors.new("payment gateway did not answer in time")

local log, saved = {}, {}

--- The gateway: a token decides how it behaves.
local function charge(c, token, amount)
  local ok, err = ctx.sleep(c, token == "slow" and 60000 or 5)
  if not ok then
    return nil, errors.wrap(err, "charge")
  elseif token == "stolen" then
    return nil, errors.new("card declined")
  end
  return { token = token, amount = amount }
end

--- The money has moved: what is left of the time for the charge does not bound this.
local function save_payment(detached, payment)
  local c, cancel <close> = ctx.with_timeout(detached, SAVE_BUDGET_MS)
  local ok, err = ctx.sleep(c, 1)
  if not ok then
    log[#log + 1] = ("payment was made and not saved: %s: %s"):format(payment.token, err)
    return
  end
  saved[#saved + 1] = payment.token
end

local function pay(request, order)
  local detached = ctx.without_cancel(request)
  local c, cancel <close> = ctx.with_timeout(detached, CHARGE_BUDGET_MS, timed_out)
  local payment, err = charge(c, order.token, order.amount)
  if payment then
    save_payment(detached, payment)
  elseif errors.is(err, ctx.deadline_exceeded) then
    log[#log + 1] = ("payment of unknown outcome: %s: %s"):format(order.token, tostring(c:cause()))
  elseif not errors.is(err, ctx.canceled) then
    log[#log + 1] = ("payment failed: %s: %s"):format(order.token, err)
  end
end

--- The handler: its context ends as soon as it has answered, the payment goes on.
local function process_payment(req, res)
  local body, err = req:body()
  if not body then
    return nil, err
  end
  local order = cjson.decode(body)
  if type(order) ~= "table" or type(order.token) ~= "string" or type(order.amount) ~= "number" then
    return nil, http.failure(400, "invalid body")
  end
  ctx.go(pay, req.ctx, order)
  res.status, res.headers["Content-Type"] = 202, "application/json"
  return res:finish(req.ctx, '{"status":"processing"}')
end

local answers = {}
ctx.run(function(root)
  local server = http.server { handler = process_payment }
  assert(server:listen("127.0.0.1", 0))
  ctx.go(server.serve, server, root)
  local url = ("http://127.0.0.1:%d/payments"):format(server:address().port)
  for _, body in ipairs({ '{"token":"good","amount":12}', '{"token":"slow","amount":12}',
    '{"token":"stolen","amount":12}', "what?" }) do
    answers[#answers + 1] = assert(http.post(root, url, body)).status
  end
  assert(server:shutdown(root))
end)

print("answers: " .. table.concat(answers, " "))
print("saved:   " .. table.concat(saved, " "))
table.sort(log)
print(table.concat(log, "\n"))
local went_well = table.concat(answers, " ") == "202 202 202 400"
  and table.concat(saved, " ") == "good"
  and #log == 2
  and log[1] == "payment failed: stolen: card declined"
  and log[2] == "payment of unknown outcome: slow: " .. tostring(timed_out)
os.exit(went_well and 0 or 1, true)
