-- SPDX-License-Identifier: MIT
---@meta ctx.signal

---Signals that end a context.
---@class ctx.signal
local signal = {}

---What ends a context when a signal comes; prints as "interrupt signal received".
---@class ctx.signal.Cause: ctx.Error
---@field signal string  "sigint", "sigterm", …

---Ends the context and brings back the default actions: call it, or close it at the scope's end.
---@class ctx.signal.Stop
---@overload fun(cause?: any)

---A context that is done with the first of these signals, with `parent`, or by `stop`. The second
---signal has its default action: it kills.
---@param parent ctx.Context
---@param name string  in luv's spelling: "sigint", "sigterm", …
---@param ... string   more of them
---@return ctx.Context c
---@return ctx.signal.Stop stop
function signal.notify(parent, name, ...) end

---The name in luv's spelling, if it is that of a signal that can be caught.
---@param name any
---@return string? name
function signal.known(name) end

---Makes the process ignore SIGPIPE, as loading this module does.
function signal.ignore_sigpipe() end

return signal
