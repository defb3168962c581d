#!/usr/bin/env bash
# Runs every fuzz target of the repository for FUZZTIME, one after another.
set -euo pipefail
go=${GO:-go}
time=${FUZZTIME:-5s}
"$go" list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir pkg; do
  for target in $(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do
    echo "fuzz $pkg $target"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$pkg" </dev/null | grep -v '^fuzz: elapsed' || exit 1
  done
done
