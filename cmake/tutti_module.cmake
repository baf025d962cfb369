# tutti_module: one folder is one module is one target. What a file is follows from its name:
#
#   *.cpp              part of the static library tutti_<name>, alias tutti::<name>; with headers only, an INTERFACE library
#   register.cpp       an object file put into every program that links the module, so that no linker drops it
#   *_test.cpp         one GoogleTest program, <build>/tests/<name>_test
#   *_ranks_test.cpp   one GoogleTest program, <build>/tests/<name>_ranks_test, run as several ranks of MPI
#   *_testlib.cpp      a shared library the tests dlopen, <build>/tests/<file>.so; TUTTI_TESTLIB_DIR is that folder
#   *_fuzz.cpp         LLVMFuzzerTestOneInput: libFuzzer in the fuzz preset, replay of generated inputs in all others
#   *_nocompile.cpp    code that must not compile, see scripts/check_nocompile.py
#
# Files are found by pattern: adding one needs no edit here or in the module's CMakeLists.txt.

set_property(GLOBAL PROPERTY TUTTI_MODULES "")
if(TUTTI_BUILD_TESTS)
  add_custom_target(fuzzers)  # all fuzz programs
endif()

# tutti_module(<name> [DEPENDS <module>...] [LINK_PUBLIC <target>...] [LINK_PRIVATE <target>...]
#              [PACKAGES "<arguments of find_package>"...] [TEST_LINK <target>...])
# A module without any file yet is passed over.
function(tutti_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;LINK_PUBLIC;LINK_PRIVATE;PACKAGES;TEST_LINK")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tutti_module(${name}): unknown argument ${arg_UNPARSED_ARGUMENTS}")
  endif()
  file(GLOB_RECURSE headers *.hpp)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(ranks_tests ${tests})
  list(FILTER ranks_tests INCLUDE REGEX "_ranks_test\\.cpp$")
  list(FILTER tests EXCLUDE REGEX "_ranks_test\\.cpp$")
  set(testlibs ${sources})
  list(FILTER testlibs INCLUDE REGEX "_testlib\\.cpp$")
  set(fuzzers ${sources})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  set(nocompile ${sources})
  list(FILTER nocompile INCLUDE REGEX "_nocompile\\.cpp$")
  set(register ${CMAKE_CURRENT_SOURCE_DIR}/register.cpp)
  list(FILTER sources EXCLUDE REGEX "_(test|testlib|fuzz|nocompile)\\.cpp$")
  list(REMOVE_ITEM sources ${register})
  if(NOT headers AND NOT sources)
    message(STATUS "tutti::${name}: no files yet")
    return()
  endif()
  foreach(package IN LISTS arg_PACKAGES)
    separate_arguments(package)
    find_package(${package} REQUIRED)
  endforeach()
  set(depends "")
  foreach(module IN LISTS arg_DEPENDS)
    if(TARGET tutti_${module})
      list(APPEND depends tutti::${module})
    else()
      message(STATUS "tutti::${name}: tutti::${module} has no files yet")
    endif()
  endforeach()

  if(sources)
    add_library(tutti_${name} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(tutti_${name} PRIVATE $<BUILD_INTERFACE:tutti_flags>)
    if(arg_LINK_PRIVATE)
      target_link_libraries(tutti_${name} PRIVATE ${arg_LINK_PRIVATE})
    endif()
  else()
    add_library(tutti_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(tutti::${name} ALIAS tutti_${name})
  set_target_properties(tutti_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(tutti_${name} ${scope} cxx_std_20)
  target_include_directories(tutti_${name} ${scope} $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  string(TOUPPER ${name} upper)
  target_compile_definitions(tutti_${name} INTERFACE TUTTI_LINKS_${upper}=1)  # read by <tutti/tutti.hpp>
  target_link_libraries(tutti_${name} ${scope} ${depends} Threads::Threads ${arg_LINK_PUBLIC})

  set(installed tutti_${name})
  if(EXISTS ${register})
    add_library(tutti_${name}_register OBJECT ${register})
    set_target_properties(tutti_${name}_register PROPERTIES EXPORT_NAME ${name}_register)
    target_include_directories(tutti_${name}_register PRIVATE ${PROJECT_SOURCE_DIR})
    # It compiles with what the module's users need; linking the module itself would make the two a cycle.
    target_compile_features(tutti_${name}_register PRIVATE cxx_std_20)
    target_link_libraries(tutti_${name}_register
                          PRIVATE $<BUILD_INTERFACE:tutti_flags> ${depends} Threads::Threads ${arg_LINK_PUBLIC})
    target_link_libraries(tutti_${name} INTERFACE
                          $<BUILD_INTERFACE:$<TARGET_OBJECTS:tutti_${name}_register>>
                          $<INSTALL_INTERFACE:$<TARGET_OBJECTS:tutti::${name}_register>>)
    list(APPEND installed tutti_${name}_register)
  endif()

  set_property(GLOBAL APPEND PROPERTY TUTTI_MODULES ${name})
  if(TUTTI_INSTALL)
    tutti_install_module(${name} TARGETS ${installed} DEPENDS ${arg_DEPENDS} PACKAGES ${arg_PACKAGES})
  endif()
  if(TUTTI_BUILD_TESTS)
    tutti_module_tests(${name} TESTS ${tests} TESTLIBS ${testlibs} LINK ${arg_LINK_PRIVATE} ${arg_TEST_LINK})
    tutti_module_ranks_tests(${name} TESTS ${ranks_tests} LINK ${arg_LINK_PRIVATE})
    tutti_module_fuzzers(${name} ${fuzzers})
    tutti_module_nocompile(${name} ${nocompile})
  endif()
endfunction()

# The tests of a module: one program, each TEST() a CTest test named <module>.<suite>.<test>.
function(tutti_module_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "TESTS;TESTLIBS;LINK")
  if(NOT arg_TESTS)
    return()
  endif()
  tutti_test_program(${name}_test SOURCES ${arg_TESTS} LINK tutti::${name} ${arg_LINK} LABEL ${name})
  if(arg_TESTLIBS)  # only then: a folder in the command line hides compilations from caches of other folders
    target_compile_definitions(${name}_test PRIVATE TUTTI_TESTLIB_DIR="${PROJECT_BINARY_DIR}/tests")
  endif()
  foreach(source IN LISTS arg_TESTLIBS)
    cmake_path(GET source STEM library)
    # Unresolved symbols of the library bind to the test program, as a plugin's do to its host.
    add_library(${library} MODULE ${source})
    set_target_properties(${library} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_link_libraries(${library} PRIVATE tutti_flags)
    target_include_directories(${library} PRIVATE $<TARGET_PROPERTY:tutti_${name},INTERFACE_INCLUDE_DIRECTORIES>)
    add_dependencies(${name}_test ${library})
  endforeach()
endfunction()

# The tests that need ranks: one program, every rank of which runs all tests; the CTest test <module>.ranks.<n> for each
# number of ranks.
function(tutti_module_ranks_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "TESTS;LINK")
  if(NOT arg_TESTS)
    return()
  endif()
  set(target ${name}_ranks_test)
  add_executable(${target} ${arg_TESTS} ${PROJECT_SOURCE_DIR}/tests/support/ranks_main.cpp)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests ENABLE_EXPORTS ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_precompile_headers(${target} REUSE_FROM tutti_test_support)
  target_link_libraries(${target} PRIVATE tutti_flags tutti::${name} ${arg_LINK} GTest::gmock GTest::gtest)
  tutti_ranks_test(${name}.ranks COMMAND $<TARGET_FILE:${target}> LABEL ${name} RANKS 1 2 3 6 LOOKS_FOR_LEAKS)
endfunction()

# tutti_test_program(<target> SOURCES <file>... LINK <target>... LABEL <label>): a GoogleTest program and its CTest tests.
function(tutti_test_program target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;LINK")
  if(NOT TARGET tutti_test_support)
    # One precompiled <gtest/gtest.h> and one main() for all test programs.
    add_library(tutti_test_support OBJECT ${PROJECT_SOURCE_DIR}/tests/support/test_main.cpp)
    set_target_properties(tutti_test_support PROPERTIES ENABLE_EXPORTS ON)
    target_include_directories(tutti_test_support PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(tutti_test_support PRIVATE tutti_flags GTest::gmock GTest::gtest Threads::Threads)
    target_precompile_headers(tutti_test_support PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
    # What the precompiled header depends on besides the compiler and its options, which ccache knows: GoogleTest.
    set(hashes "")
    foreach(package IN ITEMS gtest gmock)
      get_target_property(directories GTest::${package} INTERFACE_INCLUDE_DIRECTORIES)
      foreach(directory IN LISTS directories)
        file(GLOB_RECURSE headers ${directory}/${package}/*.h)
        foreach(header IN LISTS headers)
          file(SHA256 ${header} hash)
          string(APPEND hashes ${hash})
        endforeach()
      endforeach()
    endforeach()
    string(SHA256 hash "${hashes}")
    foreach(suffix IN ITEMS gch pch)
      file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/tutti_test_support.dir/cmake_pch.hxx.${suffix}.sum ${hash})
    endforeach()
  endif()
  add_executable(${target} ${arg_SOURCES} $<TARGET_OBJECTS:tutti_test_support>)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests ENABLE_EXPORTS ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_precompile_headers(${target} REUSE_FROM tutti_test_support)
  target_link_libraries(${target} PRIVATE tutti_flags ${arg_LINK} GTest::gmock GTest::gtest)
  if(TARGET tutti_base)
    target_link_libraries(${target} PRIVATE tutti::base)  # main() calls tutti::init
  endif()
  math(EXPR timeout "120 * ${TUTTI_TIME_FACTOR}")
  include(GoogleTest)
  gtest_discover_tests(${target} TEST_PREFIX ${arg_LABEL}. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${timeout} LABELS ${arg_LABEL})
endfunction()

# Fuzz programs, <build>/fuzz/<file>; each is run for a few seconds as the CTest test fuzz.<file>.
function(tutti_module_fuzzers name)
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM fuzzer)
    add_executable(${fuzzer} ${source})
    set_target_properties(${fuzzer} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
    target_link_libraries(${fuzzer} PRIVATE tutti_flags tutti::${name})
    add_dependencies(fuzzers ${fuzzer})
    if(TUTTI_SANITIZE STREQUAL "fuzzer")
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
      add_test(NAME fuzz.${fuzzer} COMMAND ${fuzzer} -max_total_time=10 -max_len=4096 -timeout=10 -rss_limit_mb=2048)
    else()
      target_sources(${fuzzer} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/fuzz_replay.cpp)
      add_test(NAME fuzz.${fuzzer} COMMAND ${fuzzer} --seconds 2)
    endif()
    set_tests_properties(fuzz.${fuzzer} PROPERTIES TIMEOUT 120 LABELS fuzz)
  endforeach()
endfunction()

# Code that must be rejected, with the message it must be rejected with.
function(tutti_module_nocompile name)
  if(NOT TUTTI_PROJECT_CHECKS)
    return()
  endif()
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM stem)
    set(includes $<TARGET_PROPERTY:tutti_${name},INTERFACE_INCLUDE_DIRECTORIES>)
    add_test(NAME ${name}.${stem}
             COMMAND python3 ${PROJECT_SOURCE_DIR}/scripts/check_nocompile.py ${source} --
                     ${CMAKE_CXX_COMPILER} -std=c++20 "-I$<JOIN:${includes},;-I>"
             COMMAND_EXPAND_LISTS)
    set_tests_properties(${name}.${stem} PROPERTIES TIMEOUT 300 LABELS ${name})
  endforeach()
endfunction()
