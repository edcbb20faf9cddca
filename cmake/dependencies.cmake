# SPDX-License-Identifier: MIT
# Sets CTX_LUA_INCLUDE, CTX_UV_FOUND, CTX_UV_INCLUDE and CTX_UV_LIBRARY. Only threads are required.
find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
  pkg_search_module(CTX_PC_LUA QUIET lua5.4 lua-5.4 lua54 lua>=5.4)
  pkg_check_modules(CTX_PC_UV QUIET libuv)
endif()

if(LUA_INCDIR)
  # Looked at each time: another folder may be given to the same build.
  if(NOT EXISTS ${LUA_INCDIR}/lua.h)
    message(FATAL_ERROR "There is no lua.h in LUA_INCDIR, ${LUA_INCDIR} (Debian: liblua5.4-dev has it)")
  endif()
  set(CTX_LUA_INCLUDE ${LUA_INCDIR})
else()
  # No plain "lua.h" on the default path here: on many machines that one is Lua 5.1's.
  find_path(CTX_LUA_INCLUDE lua.h HINTS ${CTX_PC_LUA_INCLUDE_DIRS}
    PATHS /usr /usr/local /opt/homebrew PATH_SUFFIXES include/lua5.4 include/lua-5.4 include/lua54
    NO_DEFAULT_PATH)
endif()
if(CTX_LUA_INCLUDE)
  file(STRINGS ${CTX_LUA_INCLUDE}/lua.h lua_version REGEX "^#define LUA_VERSION_NUM")
  if(lua_version MATCHES "50[0-3]$")
    message(FATAL_ERROR "${CTX_LUA_INCLUDE}/lua.h is not Lua 5.4 or newer: ${lua_version}")
  endif()
else()
  message(STATUS "Lua's headers not found: the Lua module is left out (Debian: liblua5.4-dev; or give LUA_INCDIR)")
endif()

find_path(CTX_UV_INCLUDE uv.h HINTS ${CTX_PC_UV_INCLUDE_DIRS})
find_library(CTX_UV_LIBRARY NAMES uv HINTS ${CTX_PC_UV_LIBRARY_DIRS})
if(CTX_UV_INCLUDE AND CTX_UV_LIBRARY)
  set(CTX_UV_FOUND TRUE)
else()
  set(CTX_UV_FOUND FALSE)
  message(STATUS "libuv not found: the libuv host (ctx_uv) is left out (Debian: libuv1-dev)")
endif()
