# tutti_build: how every target of this project is compiled and linked.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON)  # what one module finds, the modules above it see
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# Everything of ours compiles through this target; it is never installed, so users keep their own flags.
add_library(tutti_flags INTERFACE)
target_compile_options(tutti_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow $<$<BOOL:${TUTTI_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms for `"text" + std::string` (GCC bug 105651).
  target_compile_options(tutti_flags INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overread)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND TUTTI_SANITIZE)
  # False alarms: instrumented code hides that std::jthread initialises its stop state.
  target_compile_options(tutti_flags INTERFACE -Wno-maybe-uninitialized)
endif()

# Sanitizers go to every target of the build, ours or generated.
set(TUTTI_TIME_FACTOR 1)  # how much longer a test may take in this build
if(TUTTI_SANITIZE STREQUAL "address")
  add_compile_options(-g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  # g++ says by this macro what clang says by __has_feature; sources that behave otherwise here ask for the macro.
  add_compile_options($<$<CXX_COMPILER_ID:Clang>:-D__SANITIZE_ADDRESS__>)
  add_link_options(-fsanitize=address,undefined)
  set(TUTTI_TIME_FACTOR 5)
elseif(TUTTI_SANITIZE STREQUAL "thread")
  # This sanitizer does not model atomic_thread_fence (g++ warns); code that relies on a fence must not do so here.
  add_compile_options(-g1 -fno-omit-frame-pointer -fsanitize=thread)
  add_compile_options($<$<CXX_COMPILER_ID:Clang>:-D__SANITIZE_THREAD__>)
  add_link_options(-fsanitize=thread)
  set(TUTTI_TIME_FACTOR 5)
elseif(TUTTI_SANITIZE STREQUAL "fuzzer")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "TUTTI_SANITIZE=fuzzer needs clang (libFuzzer); the compiler is ${CMAKE_CXX_COMPILER_ID}")
  endif()
  add_compile_options(-O1 -g1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined
                      -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
  set(TUTTI_TIME_FACTOR 5)
elseif(TUTTI_SANITIZE)
  message(FATAL_ERROR "unknown TUTTI_SANITIZE \"${TUTTI_SANITIZE}\"; known: address, thread, fuzzer")
endif()

# Helpers that only make the build faster: used when they are there, never required.
if(PROJECT_IS_TOP_LEVEL)
  find_program(TUTTI_CCACHE ccache)
  if(TUTTI_CCACHE)
    # The sloppiness and the compiler's flag are what lets ccache serve compilations that use a precompiled header, and
    # EXTSUM that it does so in other clones, where the compiler has made a file that differs: see tutti_test_program.
    set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_PCH_EXTSUM=1 ${TUTTI_CCACHE})
    add_compile_options($<IF:$<CXX_COMPILER_ID:Clang>,-Xclang$<SEMICOLON>-fno-pch-timestamp,-fpch-preprocess>)
  endif()
  find_program(TUTTI_MOLD mold)
  if(TUTTI_MOLD)
    add_link_options(-fuse-ld=mold)
  endif()
endif()
