# What single benchmarks link beyond the peers: set(bench_<name>_LINK <target>...).
set(bench_sync_LINK absl::synchronization)
set(bench_wordcount_LINK tutti_tutti_app)
find_library(TUTTI_LIBUV uv REQUIRED)
set(bench_echo_LINK ${TUTTI_LIBUV})
set(bench_mpi_LINK MPI::MPI_CXX)
set_source_files_properties(mpi.cpp PROPERTIES COMPILE_DEFINITIONS TUTTI_MPIEXEC="${MPIEXEC_EXECUTABLE}")
