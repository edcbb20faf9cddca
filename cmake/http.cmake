# SPDX-License-Identifier: MIT
# The C modules of the rock ctx-http (csrc/http): ctx.http.wire on llhttp, ctx.http.curl on libcurl.
# Neither links liblua, libuv or the core. What is missing leaves its module out, with a message; with
# CTX_HTTP=ON, as the rock sets it, that is an error.
option(CTX_HTTP "Require llhttp and libcurl" OFF)
option(CTX_FUZZ "Build the fuzz targets csrc/test/fuzz_*.c; with clang only" OFF)

# llhttp comes as a library (Debian: libllhttp-dev) or, in Debian 12's node-llhttp, as C sources. What
# LLHTTP_DIR has comes first, and is looked for each time.
set(LLHTTP_DIR "" CACHE PATH "Folder of llhttp's C sources (api.c, http.c, llhttp.c), or of include/ and lib/")
if(LLHTTP_DIR)
  find_path(CTX_LLHTTP_SOURCES NAMES llhttp.c PATHS ${LLHTTP_DIR} ${LLHTTP_DIR}/src NO_DEFAULT_PATH NO_CACHE)
endif()
find_path(CTX_LLHTTP_INCLUDE llhttp.h HINTS ${LLHTTP_DIR} ${LLHTTP_DIR}/include
  PATHS /usr/share/include/llhttp PATH_SUFFIXES llhttp NO_CACHE)
if(NOT CTX_LLHTTP_SOURCES)
  find_library(CTX_LLHTTP_LIBRARY NAMES llhttp HINTS ${LLHTTP_DIR} NO_CACHE)
  find_path(CTX_LLHTTP_SOURCES NAMES llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH NO_CACHE)
endif()
find_package(CURL 7.80 QUIET) # the first that calls back before a request goes out

function(ctx_http_missing module what)
  if(CTX_HTTP)
    message(FATAL_ERROR "${module} needs ${what}")
  endif()
  message(STATUS "${module} is left out: it needs ${what}")
endfunction()

# ctx_http_module(NAME FILE...): the Lua module ctx.http.NAME
function(ctx_http_module name)
  list(TRANSFORM ARGN PREPEND csrc/http/)
  add_library(ctx_http_${name} MODULE ${ARGN})
  set_target_properties(ctx_http_${name} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib/ctx/http)
  target_include_directories(ctx_http_${name} SYSTEM PRIVATE ${CTX_LUA_INCLUDE})
  target_link_libraries(ctx_http_${name} PRIVATE ctx_flags)
  if(APPLE)
    target_link_options(ctx_http_${name} PRIVATE -undefined dynamic_lookup)
  else()
    target_link_options(ctx_http_${name} PRIVATE -Wl,--exclude-libs,ALL)
  endif()
endfunction()

# ctx_http_fuzz(NAME FILE...): the fuzz target csrc/test/fuzz_NAME.c on these files of csrc/http. Without
# CTX_FUZZ it has a main of its own, which tries its seeds and some mutations: a test.
function(ctx_http_fuzz name)
  list(TRANSFORM ARGN PREPEND csrc/http/)
  add_executable(fuzz_${name} csrc/test/fuzz_${name}.c ${ARGN})
  target_include_directories(fuzz_${name} PRIVATE csrc/http)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/test)
  target_link_libraries(fuzz_${name} PRIVATE ctx_flags)
  add_test(NAME fuzz_${name} COMMAND fuzz_${name})
  if(CTX_FUZZ)
    target_compile_definitions(fuzz_${name} PRIVATE CTX_FUZZ)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()

if(CTX_TESTS OR CTX_FUZZ)
  ctx_http_fuzz(strict strict.c)
endif()

if(NOT CTX_LUA_INCLUDE)
  ctx_http_missing(ctx.http "the headers of Lua 5.4 (Debian: liblua5.4-dev)")
  return()
endif()

if(CTX_LLHTTP_INCLUDE AND (CTX_LLHTTP_LIBRARY OR CTX_LLHTTP_SOURCES))
  add_library(ctx_llhttp INTERFACE)
  if(NOT CTX_LLHTTP_LIBRARY)
    file(GLOB llhttp_sources ${CTX_LLHTTP_SOURCES}/*.c)
    # Apart, so that its warnings are not ours.
    add_library(ctx_llhttp_c STATIC ${llhttp_sources})
    target_include_directories(ctx_llhttp_c SYSTEM PUBLIC ${CTX_LLHTTP_INCLUDE})
    target_compile_definitions(ctx_llhttp_c PUBLIC LLHTTP_STRICT_MODE=1)
    target_compile_options(ctx_llhttp_c PRIVATE -w)
    target_link_libraries(ctx_llhttp INTERFACE ctx_llhttp_c)
  else()
    target_include_directories(ctx_llhttp SYSTEM INTERFACE ${CTX_LLHTTP_INCLUDE})
    target_link_libraries(ctx_llhttp INTERFACE ${CTX_LLHTTP_LIBRARY})
  endif()
  ctx_http_module(wire wire.c message.c lines.c head.c)
  target_link_libraries(ctx_http_wire PRIVATE ctx_llhttp)
  if(CTX_TESTS OR CTX_FUZZ)
    ctx_http_fuzz(message message.c lines.c)
    target_link_libraries(fuzz_message PRIVATE ctx_llhttp)
    if(CTX_FUZZ)
      target_compile_options(ctx_llhttp_c PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  endif()
else()
  ctx_http_missing(ctx.http.wire
    "llhttp (Debian: libllhttp-dev; in Debian 12 node-llhttp, which has its C sources; or give LLHTTP_DIR)")
endif()

if(CURL_FOUND)
  ctx_http_module(curl curl.c curl_buffer.c curl_callbacks.c curl_connections.c curl_options.c curl_sockets.c curl_text.c curl_transfer.c judge.c strict.c)
  target_link_libraries(ctx_http_curl PRIVATE CURL::libcurl)
  if(NOT APPLE)
    # A thread of libcurl's resolver may outlive a lua_close: its code must stay.
    target_link_options(ctx_http_curl PRIVATE -Wl,-z,nodelete)
  endif()
else()
  ctx_http_missing(ctx.http.curl "libcurl 7.80 or newer (Debian: libcurl4-openssl-dev)")
endif()
