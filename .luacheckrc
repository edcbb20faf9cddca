-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 100
-- A method that needs no self is still a method; a callback keeps the arguments it is given.
self = false
unused_args = false
-- luacheck 1.1 does not know that leaving the scope is a use of `local c, cancel <close> = …`.
ignore = { "211/cancel.*", "211/group", "211/scope", "211/stop" }
exclude_files = { "build*/", "lua_modules/", ".luarocks/" }
files["spec/"] = { std = "+busted" }
-- A stub declares methods, and nobody calls them there.
files["types/"] = { ignore = { "241" } }
files["rockspec/"] = { std = "+rockspec" }
files[".luacheckrc"] = { std = "+luacheckrc" }
