# SPDX-License-Identifier: MIT
# Options, and the flags that every room shares (target ctx_flags).
option(CTX_WERROR "Treat warnings as errors" OFF)
option(CTX_TESTS "Build csrc/test, csrc/bench, examples/embed and lua-static" ${PROJECT_IS_TOP_LEVEL})
option(CTX_INSTALL "Install headers, libraries and what finds them" ${PROJECT_IS_TOP_LEVEL})
set(CTX_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread)")
option(CTX_COVERAGE "Instrument for gcov" OFF)
option(CTX_PORTABLE "Do without what Linux alone has: epoll, eventfd, its coarse clock" OFF)
set(LUA_INCDIR "" CACHE PATH "Folder of lua.h, where the search does not find Lua 5.4")

if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

add_library(ctx_flags INTERFACE)
# No interposition: nobody replaces a function of ours at load time, so the compiler may inline it.
target_compile_options(ctx_flags INTERFACE -Wall -Wextra -fno-semantic-interposition $<$<BOOL:${CTX_WERROR}>:-Werror>)
if(CTX_SANITIZE)
  # Frame pointers, so that the reports carry whole stacks.
  add_compile_options(-fsanitize=${CTX_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CTX_SANITIZE})
endif()
if(CTX_PORTABLE)
  add_compile_definitions(CTX_PORTABLE)
endif()
if(CTX_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
