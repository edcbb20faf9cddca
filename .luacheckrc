-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 100
-- A method that needs no self is still a method; a callback keeps the arguments it is given.
self = false
unused_args = false
exclude_files = { "build*/", "lua_modules/", ".luarocks/" }
files["spec/"] = { std = "+busted" }
files["rockspec/"] = { std = "+rockspec" }
files[".luacheckrc"] = { std = "+luacheckrc" }
