-- SPDX-License-Identifier: MIT
---@meta ctx

---Contexts: cancellation, deadlines and request values that follow every call.
---Times are in milliseconds, absolute ones on `ctx.now()`; `math.huge` means without end.
---@class ctx
---@field _VERSION string             "ctx 0.1.0", the version of the C module
---@field canceled ctx.Error           prints "context canceled"
---@field deadline_exceeded ctx.Error  prints "context deadline exceeded"
local ctx = {}

---Carries cancellation, a deadline and values. Made by the functions of `ctx` only.
---@class ctx.Context
local Context = {}

---Ends its context with `cause`, once. Closable: `local c, cancel <close> = …`
---@class ctx.Cancel
---@overload fun(cause?: any)

---What `ctx.go` started.
---@class ctx.Task
local Task = {}

---Equals only itself.
---@class ctx.Key

---@class ctx.Counters
---@field derived integer    contexts made since the start
---@field canceled integer   of these, ended by a cancel, as far as anybody has looked
---@field expired integer    of these, ended by a deadline, as far as anybody has looked
---@field linked integer     contexts that somebody watches, or a descendant of
---@field watchers integer   who watches
---@field deadlines integer  entries in the heap
---@field lost integer       contexts that were collected and whose cancel nobody had called
---@field tasks integer      tasks that are not over
---@field parked integer     coroutines that wait
---@field external integer   of these, in `ctx.await`
---@field failures integer   tasks and groups that failed, of which nobody heard in time

-- ---- contexts -----------------------------------------------------------------------------------

---The root of it all: never done.
---@return ctx.Context
function ctx.background() end

---Another root, for a spot where a context is still to be passed in.
---@return ctx.Context
function ctx.todo() end

---A child that is done when its parent is, or when `cancel` is called.
---@param parent ctx.Context
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function ctx.with_cancel(parent) end

---The same, and done after `ms`; zero and less: at once.
---@param parent ctx.Context
---@param ms number
---@param cause? any  what `c:cause()` says if this deadline comes first
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function ctx.with_timeout(parent, ms, cause) end

---The same, and done at `at` on `ctx.now()`.
---@param parent ctx.Context
---@param at number
---@param cause? any  what `c:cause()` says if this deadline comes first
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function ctx.with_deadline(parent, at, cause) end

---Keeps the parent's values, but neither its end nor its deadline: give it a timeout of its own.
---@param parent ctx.Context
---@return ctx.Context
---@nodiscard
function ctx.without_cancel(parent) end

---A child that knows one more value. For what belongs to a request only.
---@param parent ctx.Context
---@param key any    make it with `ctx.key`; not nil, not NaN
---@param value any  nil and false hide an outer value
---@return ctx.Context
---@nodiscard
function ctx.with_value(parent, key, value) end

---Done with the first of up to 200 contexts, with its error and cause.
---@param c1 ctx.Context
---@param ... ctx.Context
---@return ctx.Context c, ctx.Cancel cancel
---@nodiscard
function ctx.any(c1, ...) end

---Calls `fn` as a task of its own when `c` is done.
---@param c ctx.Context
---@param fn fun()
---@return fun(): boolean stop  true if it kept `fn` from running
function ctx.after_func(c, fn) end

---Calls `fn(c)`, then `cancel`, also when `fn` raises: for Lua without `<close>`.
---@generic T
---@param c ctx.Context
---@param cancel ctx.Cancel
---@param fn fun(c: ctx.Context): T...
---@return T ...
function ctx.with(c, cancel, fn) end

---A key that equals only itself; the name is for people.
---@param name string
---@return ctx.Key
---@nodiscard
function ctx.key(name) end

---A generator whose body may wait: `for value in ctx.wrap(fn) do`. A wait in `fn` is one of the
---coroutine that iterates.
---@param fn fun(...): ...
---@return fun(...): ... next
---@return nil state
---@return nil control
---@return any closing  closes the body when the loop is left
---@nodiscard
function ctx.wrap(fn) end

---The clock of deadlines, in ms. Its zero means nothing.
---@return number ms
---@nodiscard
function ctx.now() end

---`nil` while it lives, then `ctx.canceled` or `ctx.deadline_exceeded`. Looks at the clock itself.
---@return ctx.Error?
---@nodiscard
function Context:err() end

---Why it is done; nil while it is not.
---@return any
---@nodiscard
function Context:cause() end

---@return boolean
---@nodiscard
function Context:done() end

---The error that a wait with this context returns, the same object each time; `nil` while it lives.
---@return ctx.Error?
---@nodiscard
function Context:ended() end

---When it will be done at the latest, on `ctx.now()`; nil: no deadline.
---@return number? at
---@nodiscard
function Context:deadline() end

---The ms until then; 0 when it has passed, `math.huge` without a deadline.
---@return number ms
---@nodiscard
function Context:remaining() end

---The nearest value for this key, here or above.
---@param key any
---@return any
---@nodiscard
function Context:value(key) end

---The label for reports; with an argument sets it and returns the context.
---@param name string
---@return ctx.Context
---@overload fun(self: ctx.Context): string?
function Context:name(name) end

---Waits until it is done; then `c:err()`.
---@async
---@return ctx.Error
function Context:wait() end

---@class ctx.Why
---@field err ctx.Error      the sentinel
---@field cause any          as c:cause()
---@field path string        the context that ended by itself, as tostring shows it
---@field name? string       its name
---@field by? string         where it was cancelled, "file:line"; under ctx.debug(true)
---@field budget_ms? number  how far its deadline was away; under ctx.debug(true)

---Which context ended, here or above, by whom and from where; nil while this one lives.
---@return ctx.Why?
---@nodiscard
function Context:why() end

-- ---- running and waiting ------------------------------------------------------------------------

---Runs `main(root, …)` as a task and the loop until it returns; then cancels `root` and waits for
---all other tasks. For the main thread, around the whole program.
---@param main fun(root: ctx.Context, ...): ...
---@param ... any
---@return any ...  what `main` returned
function ctx.run(main, ...) end

---Starts a task. From anywhere, also from luv callbacks.
---@param fn fun(...): ...
---@param ... any
---@return ctx.Task
function ctx.go(fn, ...) end

---@async
---@param c ctx.Context
---@param ms number  with 0 everybody else gets a turn
---@return true? ok
---@return ctx.Error? err
function ctx.sleep(c, ms) end

---Waits until `resolve` is called and returns its arguments; or nil and an error when `c` is done.
---`start` may return what aborts the work when `c` ends first: a luv handle or request, a function.
---@async
---@param c ctx.Context
---@param start fun(resolve: fun(...)): any?
---@param free? fun(...)  gets what comes to `resolve` too late
---@return any ...
function ctx.await(c, start, free) end

---What the task returned; nil and its error if it raised, or if `c` is done first.
---@async
---@param c? ctx.Context
---@return any ...
function Task:wait(c) end

---@return "ready"|"running"|"waiting"|"done"|"failed"
---@nodiscard
function Task:status() end

---The stack where it is, or where it raised; nil when it is done.
---@return string?
---@nodiscard
function Task:traceback() end

-- ---- looking inside -----------------------------------------------------------------------------

---Whether contexts and tasks remember the line that made them; switches it if `on` is given.
---@param on? boolean
---@return boolean
function ctx.debug(on) end

---@return ctx.Counters
---@nodiscard
function ctx.counters() end

---Sends reports to `fn` instead of stderr; nil brings that back.
---@param fn? fun(message: string, kind: string)
---@return fun(message: string, kind: string) previous
function ctx.set_report(fn) end

return ctx
