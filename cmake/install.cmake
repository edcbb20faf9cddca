# SPDX-License-Identifier: MIT
# cmake --install: headers, libraries, a CMake package (ctx::ctx, ctx::lua, ctx::uv, and the shared
# ones of these), pkg-config files and man 3 ctx.
set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/ctx)

install(DIRECTORY csrc/include/ctx DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(FILES docs/man/ctx.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
set(libraries ctx ctx_shared)
set(pc_files ctx)
if(TARGET ctx_lua)
  list(APPEND libraries ctx_lua ctx_lua_shared)
  list(APPEND pc_files ctx-lua)
endif()
install(TARGETS ${libraries} EXPORT ctx ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT ctx FILE ctxTargets.cmake NAMESPACE ctx:: DESTINATION ${cmake_folder})
set(CTX_HAS_UV OFF)
if(TARGET ctx_uv)
  set(CTX_HAS_UV ON)
  list(APPEND pc_files ctx-uv)
  # An export set of its own: a program without libuv can still use ctx::ctx.
  install(TARGETS ctx_uv ctx_uv_shared EXPORT ctx_uv ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT ctx_uv FILE ctxUvTargets.cmake NAMESPACE ctx:: DESTINATION ${cmake_folder})
endif()

configure_package_config_file(cmake/ctxConfig.cmake.in ${PROJECT_BINARY_DIR}/ctxConfig.cmake
  INSTALL_DESTINATION ${cmake_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ctxConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ctxConfig.cmake ${PROJECT_BINARY_DIR}/ctxConfigVersion.cmake
  DESTINATION ${cmake_folder})

file(RELATIVE_PATH pc_to_include
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_FULL_INCLUDEDIR})
foreach(name IN LISTS pc_files)
  configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
