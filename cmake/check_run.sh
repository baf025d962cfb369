#!/usr/bin/env bash
# check_run.sh [--exit-code N] [--output FILE] [--says REGEX]... -- COMMAND...
# Runs the command and checks how it ends (default: 0), that its standard output is the file's text, with HOST for the
# name of this machine, and that what it writes, errors included, has a line for each of the regular expressions.
set -u
exit_code=0 output='' says=()
while [ "$1" != -- ]; do
  case $1 in
    --exit-code) exit_code=$2 ;;
    --output) output=$2 ;;
    --says) says+=("$2") ;;
    *) echo "check_run.sh: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
shift

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$@" >"$folder/out" 2>"$folder/errors"
code=$?
cat "$folder/out"
cat "$folder/errors" >&2

failed=0
if [ "$code" -ne "$exit_code" ]; then
  echo "exit code $code, not $exit_code" >&2
  failed=1
fi
if [ -n "$output" ] && ! sed "s/$(uname -n)/HOST/g" "$folder/out" | diff -u "$output" - >&2; then
  echo "the output is not that of $output" >&2
  failed=1
fi
for regex in "${says[@]}"; do
  if ! grep -Eq -e "$regex" "$folder/out" "$folder/errors"; then
    echo "nowhere: $regex" >&2
    failed=1
  fi
done
exit "$failed"
