-- SPDX-License-Identifier: MIT
---@meta ctx.http

---HTTP: a server whose requests' work ends with the client, and a client that carries the context
---on.
---@class ctx.http
---@field client_gone ctx.Error       a cause: the client has closed the connection
---@field handler_returned ctx.Error  a cause: the handler has returned
---@field server_shutdown ctx.Error   a cause: the server did not wait for the request any longer
---@field write_failed ctx.Error      a cause: the response could not be written
---@field request_timeout ctx.Error   a cause: the server's limit, or http.timeout's, has passed
---@field abort ctx.Error             for a handler to raise or return: cuts the connection
---@field ECERT ctx.uv.Error          the client's: a certificate was refused
---@field ETLS ctx.uv.Error           no TLS with this peer
---@field Failure table               the class of http.failure's errors, for errors.as
---@field status table<integer, string>  the names of status codes
local http = {}

---@alias ctx.http.Handler fun(req: ctx.http.Request, res: ctx.http.Response): any, any
---@alias ctx.http.Middleware fun(next: ctx.http.Handler): ctx.http.Handler

-- -- The server -----------------------------------------------------------------------------------

---@class ctx.http.ServerOptions
---@field handler ctx.http.Handler
---@field request_timeout? number      ms: the deadline of each request; none
---@field read_header_timeout? number  ms for the head of a request; 10 000
---@field read_timeout? number         ms without a byte of the body; 30 000
---@field write_timeout? number        ms in which the client takes no byte of the response; 30 000
---@field idle_timeout? number         ms between two requests; 120 000
---@field drain_timeout? number        ms that requests get when serve's context ends; none
---@field max_target? integer          bytes of the request's target; 8192
---@field max_head? integer            bytes of all header fields; 65 536
---@field max_headers? integer         100
---@field max_body? integer            bytes; 16 MiB
---@field max_connections? integer     no limit
---@field max_requests? integer        in flight; no limit
---@field max_requests_per_connection? integer  then the response is its last; no limit
---@field max_connection_age? number   ms, then the next response is its last; no limit
---@field access_log? fun(record: ctx.http.Record)
---@field on_error? fun(err: any, req: ctx.http.Request, traceback: string?, where: string)
---@field failure? ctx.http.FailureHandler  writes what the server answers by itself
---@field failure_timeout? number      ms of res.ctx, 1000
---@field propagate? boolean           take over the caller's deadline and trace; true
---@field deadline? ctx.propagate.Deadline|false  where the caller's deadline stands; grpc-timeout

---`req` is nil before a head has been read; `res.ctx` is a context for this answer.
---@alias ctx.http.FailureHandler fun(req: ctx.http.Request?, res: ctx.http.Response,
---status: integer, message: string, err: any)

---@class ctx.http.Stats
---@field connections integer
---@field requests integer  in flight
---@field served integer
---@field refused integer   without a handler
---@field cut integer       by a shutdown

---To be closed: `local server <close> = http.server { … }`.
---@class ctx.http.Server
local Server = {}

---@param options ctx.http.ServerOptions
---@return ctx.http.Server
---@nodiscard
function http.server(options) end

---@class ctx.http.Where
---@field host? string
---@field port? integer
---@field pipe? string     a path, instead of these two
---@field fd? integer      a socket that was inherited
---@field backlog? integer
---@field reuseport? boolean  several processes on one port
---@field ipv6only? boolean
---@field nodelay? boolean

---@param where string|ctx.http.Where
---@param port? integer  0: any that is free
---@return ctx.uv.Listener? listener
---@return any? err
function Server:listen(where, port) end

---@return { ip: string, port: integer, family: string }|string|nil address  of the first listener
---@return any? err
function Server:address() end

---Serves until the server has been shut down, or c has ended.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err
function Server:serve(c) end

---Serves a stream that is connected already.
---@param stream ctx.uv.Stream
function Server:serve_stream(stream) end

---Ends it and loses nothing, as long as c lives; then the rest is cut.
---@async
---@param c ctx.Context
---@return true? ok
---@return any? err
function Server:shutdown(c) end

---Ends it at once.
function Server:close() end

---@return ctx.Context c  done from the begin of the shutdown on
function Server:draining() end

---@return boolean
function Server:is_draining() end

---@return ctx.http.Stats
function Server:stats() end

-- -- Requests -------------------------------------------------------------------------------------

---@class ctx.http.Request
---@field ctx ctx.Context            ends when nobody needs an answer any more
---@field method string
---@field target string              as it was sent
---@field path string                decoded
---@field raw_path string            as it was sent
---@field raw_query? string          as it was sent
---@field query table<string, string>    name → its first value
---@field headers table<string, string>  under any spelling; several of one name are joined
---@field params table<string, string>   what the router found in the path
---@field pattern? string            that the router has matched
---@field minor integer              of HTTP/1.minor
---@field server ctx.http.Server
---@field trailers? table<string, string>  once a chunked body is read
local Req = {}

---The whole body, or what is left of it.
---@async
---@param c? ctx.Context  the request's own
---@return string? body
---@return any? err
function Req:body(c) end

---The next piece of the body; nil alone at the end.
---@async
---@param c? ctx.Context  the request's own
---@return string? chunk
---@return any? err
function Req:read(c) end

---The body, as JSON. An error has status 400, or 413 when the body is too long.
---@async
---@param c? ctx.Context  the request's own
---@return any value
---@return any? err
function Req:json(c) end

---@param name string
---@return string[]  all values of a name in the query
function Req:values(name) end

---The same request under another context, for the handlers further in.
---@param c ctx.Context
---@return ctx.http.Request
---@nodiscard
function Req:with_context(c) end

---@return { ip: string, port: integer, family: string }|string|nil peer
function Req:peer() end

---@return string  for logs: the peer's address
function Req:remote() end

---@return ctx.Context c  done when the server has begun to shut down
function Req:draining() end

---Takes the connection away from the server, for another protocol.
---@return ctx.uv.Stream? stream
---@return any? err
function Req:hijack() end

-- -- Responses ------------------------------------------------------------------------------------

---@class ctx.http.Response
---@field status integer      200
---@field headers table<string, string|number|string[]>  names are compared without case
---@field trailers table<string, string|number|string[]>  sent behind a body in chunks
---@field ctx? ctx.Context    of the answer, for the server's `failure` only
---@field bytes integer       of the body, handed over so far
---@field sent boolean        the head is out, or under way
---@field finished boolean
---@field failed any?         why it cannot be written any more
local Res = {}

---Writes a piece of the body, and before the first one the head.
---@async
---@param c ctx.Context
---@param data string
---@return true? ok
---@return any? err
function Res:write(c, data) end

---Writes the last piece of the body, or all of it, and ends the response.
---@async
---@param c ctx.Context
---@param data? string
---@return true? ok
---@return any? err
function Res:finish(c, data) end

---Answers with a value as JSON.
---@async
---@param c ctx.Context
---@param status integer
---@param value any
---@return true? ok
---@return any? err
function Res:json(c, status, value) end

---An informational response before the real one.
---@async
---@param c ctx.Context
---@param status integer  from 100 to 199, and not 101
---@param headers? table<string, string|string[]>
---@return true? ok
---@return any? err
function Res:inform(c, status, headers) end

---Answers with a text and a status, in place of whatever headers were set.
---@async
---@param res ctx.http.Response  not begun
---@param status integer         from 200 to 999
---@param message string
---@return true? ok
---@return any? err
function http.error(res, status, message) end

---@class ctx.http.Failure
---@field status integer
---@field message string

---An error that has a status: for a handler to return or raise.
---@param status integer
---@param message? string  what the client is told; what the status means
---@param cause? any       for the log
---@return ctx.http.Failure
---@nodiscard
function http.failure(status, message, cause) end

-- -- Routes and middleware ------------------------------------------------------------------------

---@class ctx.http.Router
local Router = {}

---@param options? { raw_parameters: boolean? }
---@return ctx.http.Router
---@nodiscard
function http.router(options) end

---The path of something below a folder, as text; an error, with status 400, if it could lead out.
---@param folder string
---@param path string  decoded
---@return string? joined
---@return any? err
function http.join(folder, path) end

---@param method string   "*": any other
---@param pattern string  "/users/{id}", "/files/{path...}"
---@param handler ctx.http.Handler
function Router:handle(method, pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:get(pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:post(pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:put(pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:patch(pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:delete(pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:head(pattern, handler) end

---@param pattern string
---@param handler ctx.http.Handler
function Router:options(pattern, handler) end

---@param handler ctx.http.Handler
function Router:not_found(handler) end

---@async
---@param req ctx.http.Request
---@param res ctx.http.Response
---@return any result
---@return any? err
function Router:dispatch(req, res) end

---@return ctx.http.Handler
function Router:handler() end

---The handler with these around it, the first outermost.
---@param handler ctx.http.Handler
---@param ... ctx.http.Middleware
---@return ctx.http.Handler
function http.chain(handler, ...) end

---A middleware that gives each request an id; http.request_id.of(c) is the id.
---@param options? { header: string?, trust: boolean? }
---@return ctx.http.Middleware
function http.request_id(options) end

---A middleware: the handler inside has `ms`, then the client gets a 503.
---@param ms number
---@param message? string
---@return ctx.http.Middleware
function http.timeout(ms, message) end

-- -- Logs, and what is useful besides -------------------------------------------------------------

---@class ctx.http.Record
---@field time integer         seconds since 1970, when the response was out
---@field method string
---@field path string
---@field status? integer      nil: nothing was sent
---@field bytes integer        of the response's body
---@field ms number            from the head of the request to the end of the response
---@field remote string
---@field request_id? string
---@field trace_id? string
---@field left? number         ms that its deadline was away at the end
---@field cause? string        why its context ended before the handler returned
---@field error? string        what the handler failed with

---@param record ctx.http.Record
---@return string  key=value, with blanks in between
function http.logfmt(record) end

---@param record ctx.http.Record
---@return string  a JSON object
function http.json(record) end

---@param query string?  of a URL, or of a form
---@return table<string, string>  name → its first value
function http.query(query) end

---Every byte but letters, digits and "-._~" as %XX (RFC 3986): for a segment of a path, or for a
---name or a value of a query.
---@param text string
---@return string
function http.escape(text) end

return http
