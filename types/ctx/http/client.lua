-- SPDX-License-Identifier: MIT
---@meta ctx.http

---The client of ctx.http; the rest is in http.lua.
---@class ctx.http
local http = {}

---@class ctx.http.RequestOptions
---@field url? string                 for request: required
---@field method? string              "GET"
---@field query? table<string, string|number|(string|number)[]>  behind the URL's own, names sorted
---@field headers? table<string, string|number|false|table>
---@field body? string|fun(c: ctx.Context): string?, any
---@field length? integer             bytes, of a body that comes from a function: just so many
---@field stream? boolean             return with the head; read the body piece by piece
---@field idle_timeout? number        ms without a byte; no limit
---@field connect_timeout? number     ms for name, connection and TLS; the context's
---@field follow? integer             redirections; 10
---@field propagate? boolean          send deadline, trace and baggage; true
---@field decompress? boolean         ask for compressed bodies, and decode them; false
---@field max_body? integer           bytes; 64 MiB, of a stream no limit
---@field max_head? integer           bytes
---@field high_water? integer         bytes of a stream that wait for a reader
---@field http_version? "1.0"|"1.1"|"2"|"2-prior-knowledge"
---@field proxy? string|false         a URL; false: none; else by the environment
---@field unix? string                a socket in the file system to connect to
---@field resolve? string[]           "host:port:address"
---@field verify? boolean             check the server's certificate; true
---@field ca? string                  a file of certificates to trust
---@field ca_path? string
---@field cert? string
---@field key? string
---@field key_password? string

---What a server has answered. To be closed when it is a stream that is not read to its end.
---@class ctx.http.ClientResponse
---@field status integer
---@field reason string
---@field version string
---@field headers table<string, string>   names in lower case; several of one name are joined
---@field header_list [string, string][]
---@field trailers table<string, string>
---@field url string                      after redirections, without a password
---@field body? string                    unless it is a stream
local Response = {}

---A client with connections of its own. To be closed.
---@class ctx.http.Client
local Client = {}

---How many connections a client has, and defaults for its requests.
---@class ctx.http.ClientOptions
---@field max_idle? integer           connections that are kept
---@field max_per_host? integer       connections
---@field max_total? integer          connections
---@field headers? table<string, string|number|false|table>  besides those of a request
---@field idle_timeout? number
---@field connect_timeout? number
---@field follow? integer
---@field propagate? boolean
---@field decompress? boolean
---@field max_body? integer
---@field max_head? integer
---@field http_version? "1.0"|"1.1"|"2"|"2-prior-knowledge"
---@field proxy? string|false
---@field unix? string
---@field resolve? string[]
---@field verify? boolean
---@field ca? string
---@field ca_path? string
---@field cert? string
---@field key? string
---@field key_password? string

---@param options? ctx.http.ClientOptions
---@return ctx.http.Client
---@nodiscard
function http.client(options) end

---@async
---@param c ctx.Context
---@param options ctx.http.RequestOptions
---@return ctx.http.ClientResponse? response
---@return any? err
function http.request(c, options) end

---@async
---@param c ctx.Context
---@param url string
---@param options? ctx.http.RequestOptions
---@return ctx.http.ClientResponse? response
---@return any? err
function http.get(c, url, options) end

---@async
---@param c ctx.Context
---@param url string
---@param body? string|fun(c: ctx.Context): string?, any
---@param options? ctx.http.RequestOptions
---@return ctx.http.ClientResponse? response
---@return any? err
function http.post(c, url, body, options) end

---@async
---@param c ctx.Context
---@param options ctx.http.RequestOptions
---@return ctx.http.ClientResponse? response
---@return any? err
function Client:request(c, options) end

---@async
---@param c ctx.Context
---@param url string
---@param options? ctx.http.RequestOptions
---@return ctx.http.ClientResponse? response
---@return any? err
function Client:get(c, url, options) end

---@async
---@param c ctx.Context
---@param url string
---@param body? string|fun(c: ctx.Context): string?, any
---@param options? ctx.http.RequestOptions
---@return ctx.http.ClientResponse? response
---@return any? err
function Client:post(c, url, body, options) end

---Ends what is under way, and closes the connections.
---@param why? string
function Client:close(why) end

---The next bytes of a stream; nil alone at the end.
---@async
---@param c ctx.Context
---@return string? chunk
---@return any? err
function Response:read(c) end

---@param name string
---@return string[]  all values of a header
function Response:values(name) end

---Gives up what has not been read.
function Response:close() end

return http
