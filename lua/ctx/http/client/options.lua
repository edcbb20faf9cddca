-- SPDX-License-Identifier: MIT
--- Internal: what a request may say, and what of that goes to libcurl.
local curl = require "ctx.http.curl"
local dns = require "ctx.uv.dns"
local fields = require "ctx.fields"
local target = require "ctx.http.url"
local written = require "ctx.text"
local want = require "ctx.want"

local options = {}

--- The most that a body has unless told otherwise.
options.MAX_BODY = 64 * 1024 * 1024

-- -- What may be said -----------------------------------------------------------------------------

local rule = want.rule

local function is_text(value) return type(value) == "string" and not value:find("[\0-\x1F\x7F]") end

local PROXIES = { http = true, https = true, socks4 = true, socks4a = true, socks5 = true,
  socks5h = true }

--- Whether it names a proxy, as libcurl reads it: a URL of one of these schemes, or without one.
local function is_proxy(value)
  if value == false or value == "" then
    return true
  elseif not is_text(value) then
    return false
  end
  local scheme, rest = value:match("^([^/]*)://(.*)$")
  return (not scheme or PROXIES[written.lower(scheme)]) and curl.url("http://" .. (rest or value))
    ~= nil
end

--- "host:port:address", and what libcurl takes for it: where to connect to, for this request alone.
--- (Its option for addresses of names writes into the cache that all requests share.) What would
--- match no URL is refused: then a name would be looked up that was to be pinned.
local PIN = rule('"host:port:address"', function(text)
  if not is_text(text) then
    return false
  end
  local host, port, address = text:match("^(%[[^%]]+%]):(%d+):(.+)$")
  if not host then
    host, port, address = text:match("^([^][:/?#@*%s]+):(%d+):(.+)$")
  end
  address = address and (address:match("^%[(.*)%]$") or address)
  port = port and math.tointeger(tonumber(port)) or 0
  if port < 1 or port > 65535 or not dns.is_numeric(address) then
    return false
  end
  return true, ("%s:%d:%s:%d"):format(host, port, address:find(":", 1, true)
    and "[" .. address .. "]" or address, port)
end)

local file = rule("the name of a file", want.text[2])
local buffer = want.whole(1, nil, "a size in bytes, a whole number")

--- What a request may say, and a client for all of its requests.
---@class ctx.http.client.Defaults
---@field headers? table<string, string|number|false|table>  those of a request come first
---@field idle_timeout? number        ms without a byte; no limit
---@field connect_timeout? number     ms for name, connection and TLS; the context's
---@field follow? integer             redirections; 10
---@field propagate? boolean          send deadline, trace and baggage; true
---@field decompress? boolean         ask for compressed bodies, and decode them; false
---@field max_body? integer           bytes; 64 MiB, of a stream no limit
---@field max_head? integer           bytes
---@field http_version? "1.0"|"1.1"|"2"|"2-prior-knowledge"
---@field proxy? string|false         a URL; false: none; else by the environment
---@field unix? string                a socket in the file system to connect to
---@field resolve? string[]           "host:port:address"
---@field verify? boolean             check the server's certificate; true
---@field ca? string                  a file of certificates to trust
---@field ca_path? string             a folder of these
---@field cert? string                a file with the client's certificate
---@field key? string                 a file with its key
---@field key_password? string

---@class ctx.http.client.RequestOptions: ctx.http.client.Defaults
---@field url? string                 for request: required
---@field method? string              "GET"
---@field query? table<string, string|number|(string|number)[]>  behind the URL's own, names sorted
---@field body? string|fun(c: ctx.Context): string?, any
---@field length? integer             bytes, of a body that comes from a function: just so many
---@field stream? boolean             return with the head; read the body piece by piece
---@field high_water? integer         bytes of a stream that wait for a reader

--- How many connections a client has, and defaults for its requests.
---@class ctx.http.client.Options: ctx.http.client.Defaults
---@field max_idle? integer           connections that are kept
---@field max_per_host? integer       connections
---@field max_total? integer          connections

options.known = {
  method = rule("the name of a method, and not CONNECT", function(value)
    return fields.is_token(value) and value ~= "CONNECT"
  end),
  url = rule("a URL without control characters", is_text),
  headers = want.table,
  -- What can be called is used as a function.
  body = rule("a string or a function", function(value)
    if type(value) == "string" or type(value) == "function" then
      return true
    elseif want.fn[2](value) then
      return true, function(...) return value(...) end
    end
    return false
  end),
  length = want.whole(0),
  stream = want.flag, propagate = want.flag, verify = want.flag, decompress = want.flag,
  idle_timeout = want.positive_ms, connect_timeout = want.positive_ms,
  follow = want.whole(0),
  proxy = rule("the URL of a proxy (http, https, socks4, socks4a, socks5, socks5h), or false for "
    .. "none", is_proxy),
  unix = file, ca = file, ca_path = file, cert = file, key = file,
  key_password = want.text,
  max_body = want.either("a size in bytes, or math.huge", want.whole(0), want.one_of(math.huge)),
  max_head = buffer, high_water = buffer,
  http_version = want.one_of("1.0", "1.1", "2", "2-prior-knowledge"),
  query = rule("a table of names, with a text, a number or a list of them each", target.query_of),
  resolve = want.list(PIN, 'a list of "host:port:address"'),
}

local function is_value(value)
  return value == false or fields.is_value(target.text_of(value))
end

--- Headers by which the client itself says where the body ends: others than its own would
--- contradict it, and one server may believe these, the next one those.
local function contradicts(request, header, value)
  if header == "transfer-encoding" then
    return true
  end
  local size = type(request.body) == "string" and #request.body or request.length
  return header == "content-length" and tostring(value) ~= tostring(size)
end

-- Fields of which a request has one each (RFC 9110, 5.3): of two, one server takes the first, and
-- another the last.
local ONCE = {}
for name in ([[authorization content-length content-type expect host proxy-authorization range
  referer user-agent]]):gmatch("[^ \n]+") do
  ONCE[name] = true
end

local function check_body(request, http_version, name, position)
  local body, length = request.body, request.length
  want.argument(not body or request.method ~= "HEAD", name, position, "options.body",
    "nothing with HEAD", body, 2)
  local fits = type(body) == "function" or type(body) == "string" and #body == length
  want.argument(not length or fits, name, position, "options.length",
    "nothing, or that of the body,", length, 2)
  local in_chunks = type(body) == "function" and not length
  want.argument(not in_chunks or http_version ~= "1.0", name, position, "options.length",
    "that of the body, as HTTP/1.0 knows no chunks,", length, 2)
end

local ANY_LIST = want.list(want.something)

local function check_header(request, header, value, name, position)
  local values = type(value) == "table" and value or { value }
  local where = ("options.headers[%q]"):format(header)
  want.argument(ANY_LIST[2](values), name, position, where, "a text, a number or a list of them",
    value, 2)
  want.argument(#values < 2 or not ONCE[header], name, position, where, "one value", value, 2)
  for i = 1, math.max(1, #values) do
    want.argument(is_value(values[i]), name, position, where,
      "a text without control characters", values[i], 2)
    want.argument(not contradicts(request, header, values[i]), name, position, where,
      "nothing (the client says where the body ends; see length)", values[i], 2)
  end
end

--- The options that may be a client's own.
options.defaults = { "ca", "ca_path", "cert", "connect_timeout", "decompress", "follow", "headers",
  "http_version", "idle_timeout", "key", "key_password", "max_body", "max_head", "propagate",
  "proxy", "resolve", "unix", "verify" }

--- Takes what a request does not say from the client's defaults; its headers become one table, with
--- names in lower case. Raises at the line that called the public function `name`, which called
--- this: for a body that cannot be sent so, and for names and values that would end one header and
--- begin another, or name one twice.
---@param request table   the options, the caller's own
---@param defaults table
---@param name string
---@param position integer
function options.complete(request, defaults, name, position)
  check_body(request, request.http_version or defaults.http_version, name, position)
  local headers, wrong = fields.of(request.headers or {})
  want.argument(headers, name, position, "options.headers", "names of headers, each once,", wrong,
    1)
  for header, value in next, headers do
    check_header(request, header, value, name, position)
  end
  for option, value in pairs(defaults) do
    if request[option] == nil then
      request[option] = value
    end
  end
  for header, value in next, defaults.headers or {} do
    if headers[header] == nil then
      headers[header] = value
    end
  end
  request.headers = headers
end

-- -- What goes to libcurl -------------------------------------------------------------------------

--- libcurl leaves out a field with only blanks behind the colon; a semicolon stands for that.
local function add(lines, name, value)
  local text = value and fields.trim(target.text_of(value))
  lines[#lines + 1] = name .. (not text and ":" or text == "" and ";" or ": " .. text)
end

--- The lines of the headers, as libcurl takes them.
local function lines_of(headers, has_body)
  local lines = {}
  for name, value in pairs(headers) do
    if name == "content-length" then
      value = {} -- libcurl says it
    end
    if type(value) == "table" then
      for i = 1, #value do
        add(lines, name, value[i])
      end
    else
      add(lines, name, value)
    end
  end
  -- What libcurl would say by itself: that a body is a form, and that it waits for a go-ahead.
  if has_body and headers["content-type"] == nil then
    lines[#lines + 1] = "content-type:"
  end
  if has_body and headers.expect == nil then
    lines[#lines + 1] = "expect:"
  end
  written.sort(lines)
  return lines
end

--- Whether libcurl knows the address by itself.
local function takes_no_thread(host)
  return written.lower(host) == "localhost" or dns.is_numeric((host:gsub("[%[%]]", "")))
end

-- Methods whose request says that its body is empty, rather than nothing of a body.
local BODIED = { POST = true, PUT = true, PATCH = true }

local function limit(size, otherwise)
  size = size or otherwise
  return size ~= math.huge and size or nil
end

-- How many identities each certificate's file has had, and the number of each.
local counts, numbers = {}, {}

--- libcurl tells kept connections and TLS sessions apart by the name of the certificate's file, and
--- not by the key: one that does not fit would not be noticed. So for each other key of a
--- certificate the name is spelled in another way: a.pem, ./a.pem, ././a.pem.
local function identity(cert, key, password)
  local name = ("%s\0%s\0%s"):format(cert, key or "", password or "")
  local number = numbers[name]
  if not number then
    number = counts[cert] or 0
    numbers[name], counts[cert] = number, number + 1
  end
  local root, rest = cert:match("^(/?)(.*)$")
  return root .. ("./"):rep(number) .. rest
end

--- What ctx.http.curl needs for one hop.
---@param hop table  method, url, parsed; body and length; `fresh`: not on a kept connection
---@param headers table
---@param request table   the options of the request
---@param connect_ms integer
---@return table
function options.for_curl(hop, headers, request, connect_ms)
  local body = hop.body
  if body == nil and BODIED[hop.method] then
    body = ""
  end
  local whole = not request.stream
  local proxy = request.proxy
  if proxy == false or request.unix then
    proxy = ""
  end
  return {
    url = hop.url, method = hop.method, no_body = hop.method == "HEAD",
    secure = hop.parsed.scheme == "https", fresh = hop.fresh,
    may_look_up = takes_no_thread(hop.parsed.host),
    headers = lines_of(headers, body ~= nil),
    body = type(body) == "string" and body or nil,
    upload = type(body) == "function", length = hop.length,
    high_water = whole and math.maxinteger or request.high_water,
    max_body = limit(request.max_body, whole and options.MAX_BODY or math.huge),
    max_head = request.max_head, watched = request.idle_timeout ~= nil or not whole,
    http_version = request.http_version, unix = request.unix,
    proxy = proxy, no_proxy = proxy and "", -- asked for is asked for, whatever the environment says
    unverified = request.verify == false, ca = request.ca, ca_path = request.ca_path,
    cert = request.cert and identity(request.cert, request.key, request.key_password),
    key = request.key, key_password = request.key_password,
    accept_encoding = request.decompress and "" or nil,
    connect_to = request.resolve,
    connect_ms = connect_ms,
  }
end

-- -- URLs -----------------------------------------------------------------------------------------

local NO_HOST = "No host part in the URL"

--- Behind the host, what no URL holds (RFC 3986, 2) as %XX: versions of libcurl differ in what they
--- send of it as it is.
local function legal(text)
  local origin, rest = text:match("^([^/]*//[^/?#]*)(.*)$")
  return origin .. rest:gsub('[^!-~]', target.percent):gsub('["<>\\^`{|}]', target.percent)
end

--- The parts of a URL, or of a reference with its base; or nil and what is wrong. libcurl takes one
--- slash or three for two; but then there is no host (RFC 9110, 4.2.1), and none may be found in
--- the path. Of "http://a\\@b" some take "a" for the host, as a backslash is a slash to them.
---@param text string
---@param base? string
---@return table|nil parts  as curl.url has them
---@return string? wrong
function options.parse(text, base)
  local slashes, authority = text:match("^[Hh][Tt][Tt][Pp][Ss]?:(/*)([^/?#]*)")
  if not slashes and base then
    slashes, authority = text:match("^(//+)([^/?#]*)")
  end
  if slashes and (slashes ~= "//" or authority == "") then
    return nil, NO_HOST
  elseif slashes and authority:find('["<>\\^`{|}]') then
    return nil, "Bad character before the path"
  elseif base and text:find("^#") then
    text = base -- RFC 3986, 5.2.2; libcurl takes the base's folder
  end
  local parts, wrong = curl.url(text, base)
  for _, part in ipairs(parts and { "url", "safe", "public" } or {}) do
    parts[part] = legal(parts[part])
  end
  return parts, wrong
end

return options
