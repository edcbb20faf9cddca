-- SPDX-License-Identifier: MIT
--- The class of streams. How they are made, read and written is in files of their own, which add
--- the methods.
---@class ctx.uv.Stream
local Stream = {}

return { __name = "ctx.uv.Stream", __index = Stream }
