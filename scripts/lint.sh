#!/usr/bin/env bash
# The checks that run no test: formats, lints, types, import rules. The tools of the `dev` extra must be on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

ruff check .
ruff format --check .
find csrc examples -name build -prune -o -name '*.[ch]' -print0 | xargs -0 clang-format --dry-run -Werror
mypy
lint-imports
