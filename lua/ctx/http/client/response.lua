-- SPDX-License-Identifier: MIT
--- Internal: what a request gives: status, headers, and the body whole or piece by piece.
local core = require "ctx.core"
local failure = require "ctx.uv.failure"
local fields = require "ctx.fields"
local text = require "ctx.text"
local want = require "ctx.want"

--- The response of a server. It is to be closed if it is a stream that is not read to its end.
---@class ctx.http.client.Response
---@field status integer
---@field reason string
---@field version string
---@field headers table<string, string>   names in lower case; several of one name are joined
---@field header_list [string, string][]
---@field trailers table<string, string>
---@field url string                      after redirections, without a password
---@field body string?                    unless it is a stream
---@field _transfer ctx.http.client.Transfer
---@field _closed? any  why, for failure.closed
---@field _stop? fun(): boolean   of the after-func that ends it with its context
local Response = {}
local metatable = { __name = "ctx.http.client.Response", __index = Response }

local response = { class = Response }

-- -- Heads ----------------------------------------------------------------------------------------

--- The fields of a head, in their order: a list of { name in small letters, value }. A value that
--- goes on in the next line is one again. That each line ends with CR LF, has a name that is one,
--- and no other control characters, has been checked.
local function fields_of(head)
  local list = {}
  for line in head:gsub("\r\n[ \t]+", " "):gmatch("[^\r\n]+") do
    local name, value = line:match("^([^:]+):(.*)$")
    name = name and fields.fold(name)
    if name then
      list[#list + 1] = { name, fields.trim(value) }
    end
  end
  return list
end

--- name → its values, joined.
local function joined(list)
  local headers, several = {}, {}
  for _, field in ipairs(list) do
    local name, value = field[1], field[2]
    local values = several[name]
    if values then
      values[#values + 1] = value
    elseif headers[name] then
      several[name] = { headers[name], value }
    else
      headers[name] = value
    end
  end
  for name, values in pairs(several) do
    headers[name] = table.concat(values, ", ")
  end
  return fields.adopt(headers)
end

--- What a decoded body has no more.
local function without_encoding(list)
  local kept = {}
  for _, field in ipairs(list) do
    if field[1] ~= "content-encoding" and field[1] ~= "content-length" then
      kept[#kept + 1] = field
    end
  end
  return kept
end

--- The status and the fields of the transfer's head.
---@param transfer ctx.http.client.Transfer
---@return integer status, table[] list, string reason, string version
function response.head(transfer)
  local status, head = transfer:head()
  local first, rest = head:match("^([^\n]*)\n?(.*)$")
  local version, reason = first:match("^HTTP/(%S+)%s+%d+[ \t]*([^\r]*)")
  return status, fields_of(rest), reason or "", version or ""
end

--- The one coding of the content, in lower case; nil if there is none, or are several.
---@param transfer ctx.http.client.Transfer
---@return string?
function response.coding(transfer)
  local _, list = response.head(transfer)
  local coding = joined(list)["content-encoding"]
  coding = coding and text.lower(coding)
  return coding == "x-gzip" and "gzip" or coding
end

local function trailers_of(transfer)
  return joined(fields_of((select(3, transfer:head()))))
end

--- A response to hand out. `whole`: the transfer is over.
---@param c ctx.Context
---@param transfer ctx.http.client.Transfer
---@param url string
---@param settings { decompress?: boolean }
---@param whole boolean
---@return ctx.http.client.Response
function response.new(c, transfer, url, settings, whole)
  local status, list, reason, version = response.head(transfer)
  local self = setmetatable({
    status = status, reason = reason, version = version, url = url, _transfer = transfer,
  }, metatable)
  if settings.decompress and joined(list)["content-encoding"] then
    list = without_encoding(list)
  end
  self.header_list, self.headers = list, joined(list)
  if whole then
    self.trailers, self.body = trailers_of(transfer), transfer:rest()
  else
    self.trailers = fields.new()
    self._stop = core.after_func(c, function()
      transfer:end_with(c)
    end)
  end
  return self
end

-- -- Methods --------------------------------------------------------------------------------------

--- Returns all values of a header, one by one: for set-cookie, whose values cannot be joined.
---@param name string
---@return string[] values
function Response:values(name)
  want.self(self, metatable, "values")
  want.string(name, "values", 1, "name")
  local values, folded = {}, fields.fold(name)
  for _, field in ipairs(self.header_list) do
    if field[1] == folded then
      values[#values + 1] = field[2]
    end
  end
  return values
end

--- It is over: its context need not end it any more.
local function forget(self)
  if self._stop then
    self._stop()
    self._stop = nil
  end
end

--- Reads the next bytes of the body; nil alone is its end. Only so much is taken from the network
--- as is read. `c` ends the wait; the context of the request ends the response.
---@async
---@param c ctx.Context
---@return string|nil chunk
---@return any? err  names the request, and has the phase in `phase`
function Response:read(c)
  want.self(self, metatable, "read")
  want.context(c, "read")
  if self._closed then
    return core.refused(nil, failure.closed("read", self._closed))
  elseif self.body then
    error("bad self to 'read' (the body is whole: in response.body; ask with stream = true)", 2)
  elseif self._transfer:is_awaited() then
    error("bad self to 'read' (another task reads it; one at a time can)", 2)
  elseif c:err() then
    return nil, self._transfer:ended(c)
  end
  local chunk, err = self._transfer:read(c)
  if chunk then
    return chunk
  elseif not err then
    self.trailers = trailers_of(self._transfer)
  end
  if self._transfer:is_over() then
    forget(self)
  end
  return core.refused(nil, err)
end

--- Gives up what has not been read: its connection is closed, or its stream is reset. A task that
--- reads, and later calls, get the error `why`, or one of code ECLOSED. Calling it again, or after
--- the end, does nothing.
---@param why? any  an error object; or a text for errors of code ECLOSED
function Response:close(why)
  want.self(self, metatable, "close")
  why = failure.reason(why)
  if not self._closed then
    self._closed = why
    forget(self)
    self._transfer:finish(failure.closed("read", why))
  end
end

metatable.__close = function(self)
  self:close()
end
metatable.__tostring = function(self)
  return ("ctx.http.client.Response (%d %s)"):format(self.status, self.reason)
end

return response
