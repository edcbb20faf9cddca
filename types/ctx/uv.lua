-- SPDX-License-Identifier: MIT
---@meta ctx.uv

---luv's operations that wait, with a context first. Times are in milliseconds.
---@class ctx.uv
---@field Error table       the metatable of the system's errors, for errors.as
---@field idle ctx.Error    the cause when nothing moved for the idle time
---@field fs_open async fun(c: ctx.Context, path: string, flags?: any, mode?: any): integer?, any
---@field fs_close async fun(c: ctx.Context, fd: integer): true?, any
---@field fs_read async fun(c: ctx.Context, fd, size, offset?): string?, any
---@field fs_write async fun(c: ctx.Context, fd, data, offset?): integer?, any
---@field fs_stat async fun(c: ctx.Context, path: string): table?, any
---@field fs_fstat async fun(c: ctx.Context, fd: integer): table?, any
---@field fs_lstat async fun(c: ctx.Context, path: string): table?, any
---@field fs_statfs async fun(c: ctx.Context, path: string): table?, any
---@field fs_scandir async fun(c: ctx.Context, path: string): table?, any
---@field fs_opendir async fun(c: ctx.Context, path: string, entries?: integer): userdata?, any
---@field fs_readdir async fun(c: ctx.Context, dir: any): table?, any
---@field fs_closedir async fun(c: ctx.Context, dir: any): true?, any
---@field fs_access async fun(c: ctx.Context, path: string, mode?: any): boolean?, any
---@field fs_mkdir async fun(c: ctx.Context, path: string, mode?: any): true?, any
---@field fs_rmdir async fun(c: ctx.Context, path: string): true?, any
---@field fs_mkdtemp async fun(c: ctx.Context, template: string): string?, any
---@field fs_mkstemp async fun(c: ctx.Context, template: string): integer?, any
---@field fs_unlink async fun(c: ctx.Context, path: string): true?, any
---@field fs_rename async fun(c: ctx.Context, path: string, new_path: string): true?, any
---@field fs_link async fun(c: ctx.Context, path: string, new_path: string): true?, any
---@field fs_symlink async fun(c: ctx.Context, path, new_path, flags?): true?, any
---@field fs_copyfile async fun(c: ctx.Context, path, new_path, flags?): true?, any
---@field fs_readlink async fun(c: ctx.Context, path: string): string?, any
---@field fs_realpath async fun(c: ctx.Context, path: string): string?, any
---@field fs_chmod async fun(c: ctx.Context, path: string, mode: any): true?, any
---@field fs_fchmod async fun(c: ctx.Context, fd: integer, mode: any): true?, any
---@field fs_chown async fun(c: ctx.Context, path: string, uid: integer, gid: integer): true?, any
---@field fs_fchown async fun(c: ctx.Context, fd: integer, uid: integer, gid: integer): true?, any
---@field fs_lchown async fun(c: ctx.Context, path: string, uid: integer, gid: integer): true?, any
---@field fs_utime async fun(c: ctx.Context, path: string, atime: number, mtime: number): true?, any
---@field fs_futime async fun(c: ctx.Context, fd: integer, atime: number, mtime: number): true?, any
---@field fs_lutime async fun(c: ctx.Context, path, atime, mtime): true?, any
---@field fs_fsync async fun(c: ctx.Context, fd: integer): true?, any
---@field fs_fdatasync async fun(c: ctx.Context, fd: integer): true?, any
---@field fs_ftruncate async fun(c: ctx.Context, fd: integer, size: integer): true?, any
---@field fs_sendfile async fun(c: ctx.Context, out_fd, in_fd, offset, size): integer?, any
---@field [string] ctx.uv.Error  the sentinel of each code: uv.ECONNREFUSED
local uv = {}

---@class ctx.uv.Error
---@field code string    libuv's name for it, or "ECLOSED" or "EOF"
---@field text string
---@field what? string   the operation
---@field timeout fun(self: ctx.uv.Error): boolean
---@field temporary fun(self: ctx.uv.Error): boolean

---@class ctx.uv.Address
---@field ip string
---@field port integer
---@field family string

-- ---- connecting and listening -------------------------------------------------------------------

---@class ctx.uv.StreamOptions
---@field idle? number         ms without progress that a read or write bears
---@field high_water? integer  bytes that a write may leave in the queue; 0
---@field nodelay? boolean     TCP: send small pieces at once; true

---@class ctx.uv.ConnectOptions: ctx.uv.StreamOptions
---@field bind? string       a numeric address to come from
---@field family? string     "inet" or "inet6"
---@field min_share? number  ms that no address gets less than; 2000
---@field resolve? fun(c: ctx.Context, name: string): table?, any

---@class ctx.uv.ListenOptions: ctx.uv.StreamOptions
---@field backlog? integer   128
---@field ipv6only? boolean
---@field reuseport? boolean  several processes on one port, where luv and the system can

---Tries all addresses of the name within the deadline of c.
---@async
---@param c ctx.Context
---@param name string
---@param port integer
---@param options? ctx.uv.ConnectOptions
---@return ctx.uv.Stream|nil socket
---@return any? err
function uv.connect(c, name, port, options) end

---@async
---@param c ctx.Context
---@param path string
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream|nil pipe
---@return any? err
function uv.connect_pipe(c, path, options) end

---@param address string  numeric, "localhost" or "*"
---@param port integer    0: any that is free
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil
---@return any? err
function uv.listen(address, port, options) end

---@param path string
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil
---@return any? err
function uv.listen_pipe(path, options) end

---@param fd integer  a socket that is bound, and was inherited, say
---@param options? ctx.uv.ListenOptions
---@return ctx.uv.Listener|nil
---@return any? err
function uv.listen_fd(fd, options) end

---@param handle userdata  one of luv's streams, connected or open
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream
function uv.stream(handle, options) end

---@param fd integer  a terminal, a pipe or a socket
---@param options? ctx.uv.StreamOptions
---@return ctx.uv.Stream|nil
---@return any? err
function uv.open(fd, options) end

---@class ctx.uv.Listener
local Listener = {}

---@async
---@param c ctx.Context
---@return ctx.uv.Stream|nil connection
---@return any? err
function Listener:accept(c) end

---@param why? string
function Listener:close(why) end

---@return ctx.uv.Address|string|nil
---@return any? err
function Listener:address() end

---@return boolean
function Listener:is_closed() end

---@return userdata
function Listener:handle() end

-- ---- streams ------------------------------------------------------------------------------------

---@class ctx.uv.Stream
local Stream = {}

---@async
---@param c ctx.Context
---@return string|nil chunk  nil alone: the end
---@return any? err
function Stream:read(c) end

---@async
---@param c ctx.Context
---@param max? integer  bytes; 65536
---@return string|nil line  without its "\n" or "\r\n"; nil alone: the end
---@return any? err
function Stream:read_line(c, max) end

---@async
---@param c ctx.Context
---@param n integer
---@return string|nil bytes  nil alone: the end
---@return any? err
function Stream:read_exactly(c, n) end

---@async
---@param c ctx.Context
---@param data string|string[]
---@return true|nil ok
---@return any? err
function Stream:write(c, data) end

---@async
---@param c ctx.Context
---@return true|nil ok
---@return any? err
function Stream:finish(c) end

---@private
function Stream:shutdown() end

---@param why? string
function Stream:close(why) end

---@param ms? number
function Stream:set_idle(ms) end

---@return boolean
function Stream:is_closed() end

---@return ctx.uv.Address|string|nil
---@return any? err
function Stream:address() end

---@return ctx.uv.Address|string|nil
---@return any? err
function Stream:peer() end

---@return userdata
function Stream:handle() end

-- ---- names --------------------------------------------------------------------------------------

---@class ctx.uv.AddressHints
---@field family? "inet"|"inet6"
---@field socktype? "stream"|"dgram"|"raw"|"rdm"|"seqpacket"  "stream"
---@field protocol? string|integer
---@field addrconfig? boolean
---@field v4mapped? boolean
---@field all? boolean
---@field numerichost? boolean
---@field passive? boolean
---@field numericserv? boolean
---@field canonname? boolean

---@async
---@param c ctx.Context
---@param name string?
---@param service? string|integer
---@param hints? ctx.uv.AddressHints
---@return table[]|nil addresses
---@return any? err
function uv.getaddrinfo(c, name, service, hints) end

---@async
---@param c ctx.Context
---@param address { ip: string?, port: integer?, family: string? }
---@return string|nil name
---@return any service_or_err
function uv.getnameinfo(c, address) end

-- ---- datagrams ----------------------------------------------------------------------------------

---@param address? string  numeric
---@param port? integer
---@param options? { reuseaddr: boolean?, ipv6only: boolean? }
---@return ctx.uv.Udp|nil
---@return any? err
function uv.udp(address, port, options) end

---@class ctx.uv.Udp
local Udp = {}

---@async
---@param c ctx.Context
---@param data string
---@param name? string
---@param port? integer
---@return true|nil ok
---@return any? err
function Udp:send(c, data, name, port) end

---@async
---@param c ctx.Context
---@return string|nil data
---@return any from_or_err  an address, with `partial`
function Udp:recv(c) end

---@param ip string
---@param port integer
---@return true|nil ok
---@return any? err
function Udp:connect(ip, port) end

---@return ctx.uv.Address|nil
---@return any? err
function Udp:address() end

function Udp:close() end

---@return userdata
function Udp:handle() end

-- ---- programs -----------------------------------------------------------------------------------

---@class ctx.uv.Exit
---@field code integer
---@field signal integer  0 unless a signal ended it

---@class ctx.uv.Result: ctx.uv.Exit
---@field stdout? string
---@field stderr? string
---@field incomplete? boolean

---@class ctx.uv.ProcessOptions
---@field args? string[]
---@field env? table<string, any>|string[]
---@field cwd? string
---@field uid? integer
---@field gid? integer
---@field stdin? any     "pipe", "inherit", a descriptor, a stream or a listener; for spawn, the
---                      text to read
---@field stdout? any
---@field stderr? any
---@field fds? table<integer, any>  its descriptors from 3 on: a descriptor, a stream or a listener
---@field grace? number  ms from SIGTERM to SIGKILL; 2000

---@class ctx.uv.SpawnOptions: ctx.uv.ProcessOptions
---@field limit? integer  bytes of output, of each kind; 16 MiB
---@field linger? number  ms that the pipes may stay open after its end; 1000

---@async
---@param c ctx.Context
---@param file string
---@param options? ctx.uv.SpawnOptions
---@return ctx.uv.Result|nil result
---@return any? err
---@return ctx.uv.Result? partial  with an error, once it had been started
function uv.spawn(c, file, options) end

---@param c ctx.Context
---@param file string
---@param options? ctx.uv.ProcessOptions
---@return ctx.uv.Process|nil
---@return any? err
function uv.start(c, file, options) end

---@class ctx.uv.Process
---@field pid integer
---@field stdin? ctx.uv.Stream
---@field stdout? ctx.uv.Stream
---@field stderr? ctx.uv.Stream
---@field code? integer
---@field signal? integer
---@field interrupted boolean  its context ended while it, or what it started, ran
local Process = {}

---@async
---@param c ctx.Context  ends the wait only
---@return ctx.uv.Exit|nil
---@return any? err
function Process:wait(c) end

---@param name? string|integer  "sigterm"
---@return true|nil ok
---@return any? err
function Process:kill(name) end

---@async
function Process:close() end

-- ---- threads, descriptors, changes --------------------------------------------------------------

---@async
---@param c ctx.Context
---@param fn fun(...): ...  with no variables from outside
---@param ... string|number|boolean|nil
---@return any ...
function uv.work(c, fn, ...) end

---@async
---@param c ctx.Context
---@param fd integer
---@param events? "r"|"w"|"rw"
---@return string|nil events
---@return any? err
function uv.poll(c, fd, events) end

---@param path string
---@param options? { recursive: boolean? }
---@return ctx.uv.Watcher|nil
---@return any? err
function uv.watch(path, options) end

---@class ctx.uv.Change
---@field name? string
---@field rename boolean
---@field change boolean
---@field lost? boolean

---@class ctx.uv.Watcher
local Watcher = {}

---@async
---@param c ctx.Context
---@return ctx.uv.Change|nil change
---@return any? err
function Watcher:next(c) end

function Watcher:close() end

return uv
