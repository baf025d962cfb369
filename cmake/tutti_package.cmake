# tutti_package: `cmake --install` and find_package(tutti COMPONENTS ...), one component per module.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(TUTTI_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tutti)

# tutti_install_module(<name> TARGETS ... DEPENDS ... PACKAGES ...): headers, library, objects and targets of one module.
function(tutti_install_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "TARGETS;DEPENDS;PACKAGES")
  install(TARGETS ${arg_TARGETS} EXPORT tutti-${name}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
          OBJECTS DESTINATION ${CMAKE_INSTALL_LIBDIR}/tutti
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tutti/${name}
          FILES_MATCHING PATTERN "*.hpp" PATTERN inside EXCLUDE)  # that folder is for the module's own .cpp files
  install(EXPORT tutti-${name} FILE tutti-${name}-targets.cmake NAMESPACE tutti:: DESTINATION ${TUTTI_CONFIG_DIR})
  # What the package file must have loaded before those targets make sense.
  set(needs "set(tutti_${name}_DEPENDS \"${arg_DEPENDS}\")\nfind_dependency(Threads)\n")
  foreach(package IN LISTS arg_PACKAGES)
    string(APPEND needs "find_dependency(${package})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/package/tutti-${name}-needs.cmake CONTENT "${needs}" @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/tutti-${name}-needs.cmake DESTINATION ${TUTTI_CONFIG_DIR})
endfunction()

# tutti_write_package(): the package file itself, which knows all modules of this build.
function(tutti_write_package)
  get_property(TUTTI_MODULES GLOBAL PROPERTY TUTTI_MODULES)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/tutti-config.cmake.in
                                ${PROJECT_BINARY_DIR}/package/tutti-config.cmake
                                INSTALL_DESTINATION ${TUTTI_CONFIG_DIR})
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/tutti-config-version.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/package/tutti-config.cmake ${PROJECT_BINARY_DIR}/package/tutti-config-version.cmake
          DESTINATION ${TUTTI_CONFIG_DIR})
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
  if(EXISTS ${PROJECT_SOURCE_DIR}/tutti/tutti.hpp)
    install(FILES ${PROJECT_SOURCE_DIR}/tutti/tutti.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tutti)
  endif()
endfunction()
