# What single benchmarks link beyond the peers: set(bench_<name>_LINK <target>...).
set(bench_wordcount_LINK tutti_tutti_app)
