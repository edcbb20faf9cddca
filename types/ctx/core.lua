-- SPDX-License-Identifier: MIT
---@meta ctx.core

---What the C module makes: contexts, tasks, groups, semaphores, and the functions on them. The
---modules in lua/ctx hand these functions on, and the language server reads the rest there. Times
---are in milliseconds, absolute ones on `ctx.now()`; `math.huge` means no limit.
---@class ctx.Core
---@field _VERSION string  The version of the C module, such as "ctx 0.1.0".
---@field [string] fun(...): ...  what only the library uses; described in csrc/lua
local core = {}

-- ---- contexts -----------------------------------------------------------------------------------

---Carries cancellation, a deadline and values. Only the functions of `ctx` make one.
---@class ctx.Context
local Context = {}

---Ends its context with `cause`, and every context below it; only the first call counts. It can be
---closed: `local c, cancel <close> = ctx.with_cancel(parent)`.
---@class ctx.Cancel
---@overload fun(cause?: any)

---A key for values; it equals only itself.
---@class ctx.Key

---Returns the root context, which is never done.
---@return ctx.Context c
function core.background() end

---Returns another root, for a place where a context is still to be passed in.
---@return ctx.Context c
function core.todo() end

---Makes a child that is done when its parent is, or when `cancel` is called.
---@param parent ctx.Context
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function core.with_cancel(parent) end

---Makes a child that is also done after `ms`. Zero or less: it is done at once.
---@param parent ctx.Context
---@param ms number
---@param cause? any  what `c:cause()` returns if this deadline comes first
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function core.with_timeout(parent, ms, cause) end

---Makes a child that is also done at the time `at` on `ctx.now()`.
---@param parent ctx.Context
---@param at number  ms
---@param cause? any  what `c:cause()` returns if this deadline comes first
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function core.with_deadline(parent, at, cause) end

---Makes a context with the parent's values, but without its end and its deadline. Give it a
---deadline of its own.
---@param parent ctx.Context
---@return ctx.Context c
---@nodiscard
function core.without_cancel(parent) end

---Makes a child that knows one more value. Use it only for values that belong to a request.
---@param parent ctx.Context
---@param key any    made by `ctx.key`; not nil, not NaN
---@param value any  nil and false hide an outer value
---@return ctx.Context c
---@nodiscard
function core.with_value(parent, key, value) end

---Makes a context that is done with the first of up to 200 contexts, with its error and cause.
---@param c1 ctx.Context
---@param ... ctx.Context
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function core.any(c1, ...) end

---Calls `fn` in a task of its own when `c` is done. `stop()` returns true if it kept `fn` from
---running.
---@param c ctx.Context
---@param fn fun()
---@return fun(): boolean stop
function core.after_func(c, fn) end

---Makes a key that equals only itself; the name appears in reports.
---@param name string
---@return ctx.Key key
---@nodiscard
function core.key(name) end

---Returns the time in ms on the clock of deadlines. Only differences mean something.
---@return number ms
---@nodiscard
function core.now() end

---Returns nil while the context lives, then `ctx.canceled` or `ctx.deadline_exceeded`. It looks at
---the clock itself.
---@return ctx.errors.Error? err
---@nodiscard
function Context:err() end

---Returns why the context is done; nil while it lives.
---@return any cause
---@nodiscard
function Context:cause() end

---Returns whether the context is done.
---@return boolean done
---@nodiscard
function Context:done() end

---Returns the error that a wait with this context returns, the same object each time; nil while the
---context lives.
---@return ctx.errors.Error? err
---@nodiscard
function Context:ended() end

---Returns the time on `ctx.now()` at which the context will be done at the latest; nil without a
---deadline.
---@return number? at
---@nodiscard
function Context:deadline() end

---Returns the ms until the deadline: 0 when it has passed, `math.huge` without one.
---@return number ms
---@nodiscard
function Context:remaining() end

---Returns the nearest value for this key, of this context or one above it.
---@param key any
---@return any value
---@nodiscard
function Context:value(key) end

---Returns the label for reports. With an argument, sets it and returns the context.
---@param name? string
---@return ctx.Context|string|nil name
function Context:name(name) end

---Waits until the context is done; returns `c:err()`.
---@async
---@return ctx.errors.Error err
function Context:wait() end

---@class ctx.Why
---@field err ctx.errors.Error  the sentinel
---@field cause any          as c:cause()
---@field path string        the context that ended by itself, as tostring shows it
---@field name? string       its name
---@field by? string         where it was cancelled, "file:line"; under ctx.debug(true)
---@field budget_ms? number  how far away its deadline was; under ctx.debug(true)

---Returns which context ended by itself, here or above, and why; nil while this one lives.
---@return ctx.Why? why
---@nodiscard
function Context:why() end

-- ---- tasks and waiting --------------------------------------------------------------------------

---A task that `ctx.go` has started.
---@class ctx.Task
local Task = {}

---Starts `fn(...)` as a task. It may be called anywhere, also in luv callbacks.
---@param fn fun(...): ...
---@param ... any
---@return ctx.Task task
function core.go(fn, ...) end

---Waits for `ms`. With 0, it waits for one turn of luv's loop.
---@async
---@param c ctx.Context
---@param ms number
---@return true? ok
---@return ctx.errors.Error? err  when `c` ended first
function core.sleep(c, ms) end

---Calls `start(resolve)`, waits until `resolve` is called, and returns its arguments. `start` may
---return what aborts the work when `c` ends first: a luv handle or request, or a function.
---@async
---@param c ctx.Context
---@param start fun(resolve: fun(...)): any
---@param free? fun(...)  gets what comes to `resolve` too late
---@return any ...
function core.await(c, start, free) end

---Returns a generator for the generic `for`, whose body may wait: `for row in ctx.wrap(fn) do`. A
---wait in `fn` is a wait of the coroutine that iterates.
---@param fn fun(...): ...
---@return fun(...): ... next
---@return nil state
---@return nil control
---@return any closing  closes the body when the loop is left
---@nodiscard
function core.wrap(fn) end

---Waits for the task and returns what it returned; nil and its error if it raised one.
---@async
---@param c? ctx.Context
---@return any ...
function Task:wait(c) end

---Returns the state of the task.
---@return "ready"|"running"|"waiting"|"done"|"failed" status
---@nodiscard
function Task:status() end

---Returns the stack of the task where it is, or where it raised an error; nil when it is done.
---@return string? stack
---@nodiscard
function Task:traceback() end

-- ---- looking inside -----------------------------------------------------------------------------

---Returns whether contexts and tasks remember the line that made them; `on` switches it.
---@param on? boolean
---@return boolean before
function core.debug(on) end

---@class ctx.Counters
---@field derived integer    contexts made since the start
---@field canceled integer   of these, ended by a cancel, as far as anybody has looked
---@field expired integer    of these, ended by a deadline, as far as anybody has looked
---@field linked integer     contexts that are watched, or have a descendant that is
---@field watchers integer   waits and functions that watch a context
---@field deadlines integer  entries in the heap
---@field lost integer       contexts that were collected and whose cancel was never called
---@field tasks integer      tasks that are not over
---@field parked integer     coroutines that wait
---@field external integer   of these, in `ctx.await`
---@field failures integer   tasks and groups whose error nobody asked for in time

---Returns a table of counters: contexts, tasks, waits, failures.
---@return ctx.Counters counters
---@nodiscard
function core.counters() end

-- ---- groups -------------------------------------------------------------------------------------

---Tasks that fail and stop together. Leaving the scope of the group cancels its context and waits
---for its tasks: `local g <close>, gctx = errgroup.with_context(c)`.
---@class ctx.errgroup.Group
local Group = {}

---Makes a group and its context, a child of `c`. The first failure cancels the context, and so does
---the end of a wait.
---@param c ctx.Context
---@return ctx.errgroup.Group g
---@return ctx.Context gctx
---@nodiscard
function core.group_with_context(c) end

---Makes a group without a context: it keeps the first error, and stops nothing.
---@return ctx.errgroup.Group g
---@nodiscard
function core.group() end

---Starts `fn(...)` as a task of the group. At the limit it waits for a place.
---@async
---@param fn fun(...): any, any
---@param ... any
---@return true? ok
---@return any? err  when the group's context ended before there was a place
function Group:go(fn, ...) end

---Starts `fn(...)` as a task of the group; returns false at the limit.
---@param fn fun(...): any, any
---@param ... any
---@return boolean started
function Group:try_go(fn, ...) end

---Allows at most `n` tasks at a time; a negative `n` means no limit. Raises while a task runs or
---waits to begin.
---@param n integer
function Group:set_limit(n) end

---Waits until all tasks have ended; cancels the group's context.
---@async
---@param c? ctx.Context
---@return true? ok
---@return any? err  the first error, by time; that of `c`, if it ended before
function Group:wait(c) end

---Returns all errors so far, in the order in which they came.
---@return any[] errors
function Group:errors() end

-- ---- semaphores ---------------------------------------------------------------------------------

---At most `n` units are held at a time; waiters are served in their order.
---@class ctx.semaphore.Semaphore
local Semaphore = {}

---Makes a semaphore of `n` units, all of them free.
---@param n integer
---@return ctx.semaphore.Semaphore sem
---@nodiscard
function core.semaphore(n) end

---Waits for `k` units as long as `c` lives. On a context that is done it fails even if units are
---free. Raises if `k` is more than there are and `c` can never be done.
---@async
---@param c ctx.Context
---@param k? integer  1
---@return true? ok
---@return any? err  when `c` ended first
function Semaphore:acquire(c, k) end

---Takes `k` units without waiting; returns false when units are short, and when others wait.
---@param k? integer  1
---@return boolean acquired
function Semaphore:try_acquire(k) end

---Gives `k` units back. Raises when fewer are held.
---@param k? integer  1
function Semaphore:release(k) end

---Changes the number of units at once. While more than `n` are held, no waiter gets any.
---@param n integer
function Semaphore:resize(n) end

---Returns the number of units that are held, and of all.
---@return integer held
---@return integer n
function Semaphore:held() end

return core
