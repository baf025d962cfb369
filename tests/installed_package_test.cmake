# Installs BUILD to a fresh prefix below WORK, then configures, builds and runs the project SOURCE against it.
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
file(COPY ${SOURCE} DESTINATION ${WORK})  # so that nothing of it can lean on the tree it came from
set(SOURCE ${WORK}/consumer)

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/first)
# A package does not know where it was installed: move it before it is used.
file(RENAME ${WORK}/first ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/everything)
run(${WORK}/build/core_only)
run(${WORK}/build/coroutines)
run(${WORK}/prefix/bin/tutti --version)

# Asking for what is not there says so, and what is.
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/missing -DCMAKE_CXX_COMPILER=${COMPILER}
                        -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCOMPONENTS=teleport
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(result EQUAL 0 OR NOT output MATCHES "no module \"teleport\"")
  message(FATAL_ERROR "a missing component must fail with its name, but:\n${output}")
endif()
