-- SPDX-License-Identifier: MIT
--- The overview as a manual page in roff: docs/man/ctx.3.
local HEAD = [[
.\" SPDX-License-Identifier: MIT
.\" Written by ./dev docs from the annotations in lua/ and types/: change those, not this page.
.TH CTX 3 "" "ctx" "Lua library"
.SH NAME
ctx \- contexts, tasks and groups for Lua programs on libuv
.SH SYNOPSIS
.nf
local ctx = require "ctx"
local errgroup = require "ctx.errgroup"
ctx.run(function(root)
  local c, cancel <close> = ctx.with_timeout(root, 500)
  local g <close>, gctx = errgroup.with_context(c)
  g:go(work, gctx)
  local ok, err = g:wait()
end)
.fi
.SH DESCRIPTION
A context carries cancellation, a deadline and the values of a request down every call.
Times are in milliseconds; absolute ones are on the clock of
.BR ctx.now ().
Misuse raises an error at the caller's line.
Every other outcome is returned as
.IR "nil, err" .
.PP
What stands in brackets may be left out.
A function marked \(lqwaits\(rq may park its coroutine; if it takes a context, it returns
.I nil, err
when that ends.]]

local FOOT = [[
.SH SEE ALSO
.BR lua (1)
.PP
The reference, with every contract in full, is in the folder
.I docs/reference
of the sources and of the installed rock.
The functions for C are declared in
.IR <ctx/ctx.h> .
]]

--- Text that roff prints as it is.
local function plain(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("…", "..."):gsub("→", "\\(->"):gsub("`", "")
  return (text:gsub("^([.'])", "\\&%1"))
end

---@param sections docs.Section[]
---@return string
return function(sections)
  local out = { HEAD }
  for _, section in ipairs(sections) do
    out[#out + 1] = (".SH %s\n%s"):format(plain(section.module), plain(section.sentence))
    for _, line in ipairs(section.lines) do
      local results = line.results ~= "" and (" \\(-> \\fI%s\\fR"):format(plain(line.results)) or ""
      out[#out + 1] = (".TP\n\\fB%s\\fR%s%s\n%s"):format(plain(line.signature), results,
        line.waits and " (waits)" or "", plain(line.sentence))
    end
  end
  out[#out + 1] = FOOT
  return table.concat(out, "\n")
end
