# tutti_ranks: programs that run as several ranks of MPI.

# What mpirun needs on a test machine: more ranks than cores, perhaps root, no network but this machine's. And what the
# sanitizers must not say of MPI's own libraries, which they have not seen compiled. Those are unloaded at its end, and
# what they leak is nobody's then: so leaks are looked for before that, by tests/support/ranks_main.cpp, or not at all.
set(TUTTI_RANKS_ENVIRONMENT
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_mpi_yield_when_idle=1
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/mpi_leaks.supp"
    "TSAN_OPTIONS=ignore_noninstrumented_modules=1")

# tutti_ranks_test(<name> COMMAND <program> [<argument>...] LABEL <label> RANKS <n>... [EXIT_CODE <code>] [OUTPUT <file>]
#                  [SAYS <regex>...] [ENVIRONMENT <variable>=<value>...] [LOOKS_FOR_LEAKS]): the CTest tests <name>.<n>, the
# program on n ranks each; `alone`: without mpirun. EXIT_CODE: what it must end with, when that is not 0. OUTPUT: the file
# with its whole standard output; SAYS: what it must write besides, errors included (see check_run.sh). LOOKS_FOR_LEAKS: it
# does so itself, before the end of MPI.
function(tutti_ranks_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "LOOKS_FOR_LEAKS" "LABEL;EXIT_CODE;OUTPUT" "COMMAND;RANKS;SAYS;ENVIRONMENT")
  math(EXPR timeout "120 * ${TUTTI_TIME_FACTOR}")
  set(environment ${TUTTI_RANKS_ENVIRONMENT} ${arg_ENVIRONMENT})
  if(NOT arg_LOOKS_FOR_LEAKS)
    list(APPEND environment ASAN_OPTIONS=detect_leaks=0)
  endif()
  set(checks "")
  if(arg_EXIT_CODE)
    list(APPEND checks --exit-code ${arg_EXIT_CODE})
  endif()
  if(arg_OUTPUT)
    list(APPEND checks --output ${arg_OUTPUT})
  endif()
  foreach(regex IN LISTS arg_SAYS)
    list(APPEND checks --says ${regex})
  endforeach()
  if(checks)
    set(checks ${PROJECT_SOURCE_DIR}/cmake/check_run.sh ${checks} --)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    set(start ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks})
    if(ranks STREQUAL "alone")
      set(start "")
    endif()
    add_test(NAME ${name}.${ranks} COMMAND ${checks} ${start} ${arg_COMMAND} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name}.${ranks} PROPERTIES TIMEOUT ${timeout} LABELS ${arg_LABEL} PROCESSORS 2
                         ENVIRONMENT "${environment}")
  endforeach()
endfunction()
