# tutti_program: examples, benchmarks and command lines. All see every module there is.

# Links every module of this build into `target`.
function(tutti_link_all target)
  get_property(modules GLOBAL PROPERTY TUTTI_MODULES)
  list(TRANSFORM modules PREPEND tutti::)
  target_link_libraries(${target} PRIVATE tutti_flags ${modules})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()

# tutti_example(<name> [LINK <target>...]): <name>.cpp is one program, <build>/examples/<name>. It is also the CTest test
# example.<name>: the program checks its own known answer and returns non-zero when it is wrong.
function(tutti_example name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
  add_executable(example_${name} ${name}.cpp)
  set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  tutti_link_all(example_${name})
  target_link_libraries(example_${name} PRIVATE ${arg_LINK})
  if(TUTTI_BUILD_TESTS)
    math(EXPR timeout "120 * ${TUTTI_TIME_FACTOR}")
    add_test(NAME example.${name} COMMAND example_${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(example.${name} PROPERTIES TIMEOUT ${timeout} LABELS example)
  endif()
endfunction()

# tutti_bench(<name> [LINK <target>...]): <name>.cpp and <name>/*.cpp are one program, <build>/bench/<name>, with
# bench/harness/ linked in.
function(tutti_bench name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
  file(GLOB parts CONFIGURE_DEPENDS ${name}/*.cpp)
  add_executable(bench_${name} ${name}.cpp ${parts})
  set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
  tutti_link_all(bench_${name})
  # A peer's loop that clang does not vectorise is the peer's business.
  target_compile_options(bench_${name} PRIVATE $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)
  target_link_libraries(bench_${name} PRIVATE ${arg_LINK})
  if(TARGET bench_harness)
    target_link_libraries(bench_${name} PRIVATE bench_harness)
  endif()
endfunction()

# tutti_command(<name> [LINK <target>...] [DEFINITIONS <definition>...]): the folder is one command line,
# <build>/bin/<name>. Everything but main.cpp is a library, tutti_<name>_app, so that *_test.cpp files can test it; their
# program is <build>/tests/<name>_app_test. TUTTI_COMMAND holds the path of the built program there.
function(tutti_command name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK;DEFINITIONS")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  set(main ${CMAKE_CURRENT_SOURCE_DIR}/main.cpp)
  list(REMOVE_ITEM sources ${main})
  get_property(modules GLOBAL PROPERTY TUTTI_MODULES)
  list(TRANSFORM modules PREPEND tutti::)
  set(link ${modules} ${arg_LINK})
  if(sources)
    add_library(tutti_${name}_app STATIC ${sources})
    target_compile_definitions(tutti_${name}_app PUBLIC ${arg_DEFINITIONS})
    target_include_directories(tutti_${name}_app PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(tutti_${name}_app PRIVATE tutti_flags PUBLIC ${link})
    set(link tutti_${name}_app)
  endif()
  if(NOT EXISTS ${main})
    message(STATUS "command ${name}: no main.cpp yet")
    return()
  endif()
  add_executable(tutti_${name} ${main})
  set_target_properties(tutti_${name} PROPERTIES OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  target_compile_definitions(tutti_${name} PRIVATE ${arg_DEFINITIONS})
  target_include_directories(tutti_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(tutti_${name} PRIVATE tutti_flags ${link})
  if(TUTTI_INSTALL)
    install(TARGETS tutti_${name} RUNTIME)
  endif()
  if(TUTTI_BUILD_TESTS AND tests)
    tutti_test_program(${name}_app_test SOURCES ${tests} LINK ${link} LABEL app)
    target_compile_definitions(${name}_app_test PRIVATE TUTTI_COMMAND="${PROJECT_BINARY_DIR}/bin/${name}")
    add_dependencies(${name}_app_test tutti_${name})
  endif()
endfunction()
