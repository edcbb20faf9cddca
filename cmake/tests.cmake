# SPDX-License-Identifier: MIT
# Tests, benchmarks, embedding examples and the test interpreter: built, never installed.
enable_testing()

find_library(CTX_LUA_ARCHIVE NAMES liblua5.4.a liblua-5.4.a liblua.a HINTS ${CTX_PC_LUA_LIBRARY_DIRS})
find_library(CTX_LUV_ARCHIVE NAMES liblua5.4-luv.a)
find_library(CTX_UV_ARCHIVE NAMES libuv_a.a libuv.a)

# One program from one file, over the public headers. Its includes say what it needs: libuv, Lua;
# when that is not here, the program is left out.
function(ctx_program source output)
  file(STRINGS ${source} needs_uv REGEX "#include [<\"](ctx/)?uv\\.h[>\"]")
  file(STRINGS ${source} needs_lua REGEX "#include [<\"](ctx/lua|lua|lauxlib|lualib)\\.h[>\"]")
  if((needs_uv AND NOT TARGET ctx_uv) OR (needs_lua AND NOT (TARGET ctx_lua AND CTX_LUA_ARCHIVE)))
    return()
  endif()
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${output})
  target_link_libraries(${name} PRIVATE ctx_flags)
  if(needs_uv)
    target_link_libraries(${name} PRIVATE ctx_uv)
  endif()
  if(needs_lua)
    # The whole of Lua, exported: such a program may load C modules, luv for one.
    target_include_directories(${name} SYSTEM PRIVATE ${CTX_LUA_INCLUDE})
    set_target_properties(${name} PROPERTIES ENABLE_EXPORTS ON)
    target_link_libraries(${name} PRIVATE ctx_lua
      -Wl,--whole-archive ${CTX_LUA_ARCHIVE} -Wl,--no-whole-archive m ${CMAKE_DL_LIBS})
  endif()
  target_link_libraries(${name} PRIVATE ctx)
  # Examples are run, too: each exits 0 only if everything in it went as it must.
  if(output MATCHES "^(test|examples)$")
    add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 300
      ENVIRONMENT "LUA_PATH=${PROJECT_SOURCE_DIR}/lua/?.lua\\;${PROJECT_SOURCE_DIR}/lua/?/init.lua\\;\\;")
  endif()
endfunction()

function(ctx_programs folder pattern output)
  ctx_sources(sources ${folder} ${pattern})
  foreach(source IN LISTS sources)
    ctx_program(${source} ${output})
  endforeach()
endfunction()

ctx_programs(csrc/test test_*.c test)
ctx_programs(csrc/bench bench_*.c bench)
ctx_programs(examples/embed *.c examples)

# lua-static: an interpreter like the one of a program that brings its own libuv, as LuaRocks' luv does.
if(EXISTS ${PROJECT_SOURCE_DIR}/csrc/test/lua_static.c
   AND CTX_LUA_INCLUDE AND CTX_LUA_ARCHIVE AND CTX_LUV_ARCHIVE AND CTX_UV_ARCHIVE)
  add_executable(lua-static csrc/test/lua_static.c)
  target_include_directories(lua-static SYSTEM PRIVATE ${CTX_LUA_INCLUDE})
  target_compile_options(lua-static PRIVATE -fno-pie)
  target_link_options(lua-static PRIVATE -no-pie
    # C modules find Lua's API here, and nothing of libuv: its symbols stay private, as in a static luv.
    -Wl,--dynamic-list=${PROJECT_SOURCE_DIR}/csrc/test/lua_static.syms
    # The allocator must know Lua's own requests, which Lua repeats after a collection, from direct ones.
    -Wl,--wrap=luaM_malloc_,--wrap=luaM_realloc_,--wrap=luaM_saferealloc_
    -Wl,--wrap=luaM_growaux_,--wrap=luaM_shrinkvector_)
  target_link_libraries(lua-static PRIVATE ctx_flags ${CTX_LUV_ARCHIVE} ${CTX_UV_ARCHIVE}
    -Wl,--whole-archive ${CTX_LUA_ARCHIVE} -Wl,--no-whole-archive m ${CMAKE_DL_LIBS} Threads::Threads)
else()
  message(STATUS "Static Lua, luv or libuv not found: lua-static is left out")
endif()
