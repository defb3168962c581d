#!/usr/bin/env bash
# Runs every fuzz target of the repository for FUZZTIME, one after another.
set -euo pipefail
go=${GO:-go}
time=${FUZZTIME:-5s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# fuzz PACKAGE TARGET runs one target. The go command sometimes reports the end of
# its own time as a failure ("context deadline exceeded", with no input that fails);
# then the target runs again.
fuzz() {
  for _ in 1 2 3; do
    if "$go" test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x "$1" </dev/null >"$out" 2>&1; then
      grep -v '^fuzz: elapsed' "$out"
      return 0
    fi
    grep -q 'Failing input\|panic:' "$out" && break
    grep -q 'context deadline exceeded' "$out" || break
    echo "fuzz $1 $2: its time ended in the middle of a run; again"
  done
  cat "$out"
  return 1
}

"$go" list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir pkg; do
  for target in $(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do
    echo "fuzz $pkg $target"
    fuzz "$pkg" "$target" || exit 1
  done
done
