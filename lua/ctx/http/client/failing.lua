-- SPDX-License-Identifier: MIT
--- Internal: why a request failed, as an error object with a code, and with the phase it was in.
---
--- Codes are those of ctx.uv where they fit; ECERT and ETLS are ours.
local core = require "ctx.core"
local curl = require "ctx.http.curl"
local errors = require "ctx.errors"
local failure = require "ctx.uv.failure"

local failing = {}

-- Sentinels, one per Lua state.
local shared = core.shared("ctx.http.failing")
if not shared.ETLS then
  local function sentinel(code, text)
    return setmetatable({ code = code, text = text }, failure.Error)
  end
  shared.ECERT = sentinel("ECERT", "the peer's certificate was refused")
  shared.ETLS = sentinel("ETLS", "no TLS with this peer")
end
--- The error of the client when a certificate was refused.
failing.ECERT = shared.ECERT ---@type ctx.uv.Error

--- The error of the client when there can be no TLS with this peer.
failing.ETLS = shared.ETLS ---@type ctx.uv.Error

-- libcurl's numbers, which never change.
local RESOLVE_PROXY, RESOLVE_HOST, CONNECT, WEIRD, HTTP2, PARTIAL = 5, 6, 7, 8, 16, 18
local WRITE, UPLOAD = 23, 25
local NO_MEMORY, TIMED_OUT, TLS, SEND, RECEIVE, NOTHING = 27, 28, 35, 55, 56, 52
local CERTIFICATE, CA_FILE, REWIND, STREAM, TOO_LARGE = 60, 77, 65, 92, 100

local CODES = {
  [1] = "EPROTO", [3] = "EINVAL", [RESOLVE_PROXY] = "EAI_NONAME",
  [RESOLVE_HOST] = "EAI_NONAME", [CONNECT] = "ECONNREFUSED", [WEIRD] = "EPROTO", [HTTP2] = "EPROTO",
  [PARTIAL] = "EOF", [WRITE] = "EPROTO", [UPLOAD] = "ENOTSUP",
  [NO_MEMORY] = "ENOMEM", [TIMED_OUT] = "ETIMEDOUT", [TLS] = "ETLS",
  [NOTHING] = "EOF", [53] = "ETLS", [54] = "ETLS", [SEND] = "EPROTO", [RECEIVE] = "EPROTO",
  [58] = "ETLS", [59] = "ETLS", [CERTIFICATE] = "ECERT", [61] = "EPROTO",
  [66] = "ETLS", [CA_FILE] = "ETLS", [80] = "ETLS", [82] = "ETLS", [83] = "ECERT", [90] = "ECERT",
  [91] = "ECERT", [STREAM] = "ECONNRESET", [97] = "ECONNREFUSED",
}

-- Where the system's own error tells more than libcurl's.
local SYSTEM = { [CONNECT] = true, [SEND] = true, [RECEIVE] = true, [TLS] = true, [STREAM] = true }

-- OpenSSL's verdicts on certificates.
local REASONS = {
  [9] = "not_yet_valid", [10] = "expired", [18] = "self_signed", [19] = "unknown_authority",
  [20] = "unknown_authority", [21] = "unknown_authority", [23] = "revoked", [62] = "wrong_host",
}

local TEXTS = {
  [PARTIAL] = "the connection ended in the middle of the body",
  [WRITE] = "something stands behind the compressed body", -- as our own callbacks take all
  [NOTHING] = "the connection ended before a response",
  head = "the connection ended in the middle of the head",
}

--- Marks the error with the phase, and returns it.
local function in_phase(err, phase)
  err.phase = phase
  return err
end

--- The error of a wait that its context, or the idle time, has ended.
---@param err any
---@param what string
---@param phase string
function failing.ended(err, what, phase)
  return in_phase(errors.wrap(err, what .. ": " .. phase), phase)
end

--- The error of a transfer that its client has given up: with the code of why, as any other.
---@param why any
---@param what string
function failing.given_up(why, what)
  local err = failing.ended(why, what, "given up")
  err.code = type(why) == "table" and rawget(why, "code") or nil
  return err
end

--- An error with this code.
---@param code string
---@param what string
---@param phase string
---@param text? string
function failing.new(code, what, phase, text)
  if shared[code] and not text then
    text = shared[code].text
  end
  return in_phase(failure.new(code, what .. ": " .. phase, text), phase)
end

--- What the system said, where libcurl passes it on: by number, or within its text.
local function system_code(number, text)
  if number == 0 then
    number = math.tointeger(tonumber(text:match("errno (%d+)"))) or 0
  end
  return number ~= 0 and curl.errno_name(number) or nil
end

local function code_of(number, text, system)
  if SYSTEM[number] then
    local code = system_code(system, text)
    if code then
      return code
    elseif text:find("unexpected eof", 1, true) then
      return "EOF"
    elseif text:find("SSL", 1, true) then
      return "ETLS"
    end
  end
  return text:find("Unix socket path too long", 1, true) and "ENAMETOOLONG" or CODES[number]
    or "UNKNOWN"
end

--- Why the certificate was refused: one word, or nil.
local function reason_of(verdict, text)
  if text:find("subject name", 1, true) then
    return "wrong_host"
  end
  return REASONS[verdict]
end

-- libcurl has limits of its own for what it takes: 100 kB for a line, 300 kB for a head. What is
-- over them it calls a lack of memory, or of luck.
local function is_too_large(number, text, has_begun)
  return number == TOO_LARGE or number == NO_MEMORY and has_begun
    or number == RECEIVE and (text:find("Too large response", 1, true)
      or text:find("Out of memory in chunked", 1, true)) ~= nil
end

-- What our own checks say, and the code for it.
local CHECKS = { head = "EMSGSIZE", wrong = "EPROTO", memory = "ENOMEM" }

--- A server that closes a kept connection at the very moment at which a request arrives: `lost`,
--- and nobody knows whether it was heard; or `unheard`, and it is known that it was not.
local LOSSES = {
  lost = "the kept connection ended before a response: the server may have got the request or not",
  stale = "the kept connection had ended",
  refused = "the server closes the connection, and has not processed the request",
}

--- Whether a request that failed so may be made again, by RFC 9110, 9.2.2, and RFC 9113, 8.7: of
--- those that the server has heard, perhaps, only such as may be made twice.
---@param err any
---@param is_idempotent boolean
---@return boolean
function failing.may_repeat(err, is_idempotent)
  return type(err) == "table" -- a caller's own, perhaps: what its client was closed with
    and (rawget(err, "unheard") or rawget(err, "lost") and is_idempotent) or false
end

---@param limit "lost"|"stale"|"refused"
---@param what string
function failing.loss(limit, what)
  local err = failing.new("ECONNRESET", what, "awaiting headers", LOSSES[limit])
  err.lost, err.unheard, err.refused = true, limit ~= "lost", limit == "refused"
  return err
end

--- The error of a transfer that is done and has failed; nil if it has not.
---@param transfer userdata
---@param what string
---@param phase string
---@param max_body integer
function failing.of(transfer, what, phase, max_body)
  local number, text, system, verdict, limit, reason = transfer:result()
  if limit == "again" or number == 0 and limit == "" then
    return nil
  elseif limit == "body" then
    return failing.new("EMSGSIZE", what, "reading body",
      ("the body has more than %d bytes"):format(max_body))
  elseif limit == "cut" then
    return failing.new("EOF", what, phase, TEXTS[phase == "reading body" and PARTIAL or "head"])
  elseif CHECKS[limit] then
    return failing.new(CHECKS[limit], what, phase, limit ~= "memory" and reason or nil)
  elseif LOSSES[limit] or number == REWIND then
    return failing.loss(LOSSES[limit] and limit or "lost", what)
  elseif is_too_large(number, text, phase == "awaiting headers" or phase == "reading body") then
    return failing.new("EMSGSIZE", what, phase, "a line of the response is too large")
  end
  local err = failing.new(code_of(number, text, system), what, phase, TEXTS[number] or text)
  err.lost = limit == "dropped" or nil
  if err.code == "ECERT" then
    err.reason = reason_of(verdict, text)
  end
  return err
end

return failing
