#!/usr/bin/env bash
# Builds the module with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests of compiled functions with it: memory of
# a program is planned, shared and patched, which only such a run can prove right.
#   scripts/test_asan.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly BUILD=$PWD/${1:-build/asan}
readonly ROOT=$PWD
readonly TESTS=(tests/compiler/test_passes.py tests/compiler/test_chains.py tests/compiler/test_many_runs.py
    tests/compiler/test_custom_ops.py tests/compiler/test_quick.py)

# a copy, so that nothing that was built before is taken for up to date
rm -rf "$BUILD"
mkdir -p "$BUILD/source"
cp -r pyproject.toml setup.py MANIFEST.in README.md LICENSE csrc tensorgrad "$BUILD/source"
rm -f "$BUILD"/source/tensorgrad/_C.*.so

# multiply-adds are fused as in the module (-O2 and above): results are compared bit by bit
TENSORGRAD_CFLAGS="-O1 -fexpensive-optimizations -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" \
    TENSORGRAD_LDFLAGS="-fsanitize=address,undefined" \
    python -m pip install --quiet --disable-pip-version-check --no-deps --target "$BUILD/installed" "$BUILD/source"

# Python itself is not instrumented: the runtimes have to be there before it, and what it keeps for ever is no leak
preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
cd "$BUILD/installed" # away from the checkout, whose own package would be imported instead
LD_PRELOAD=$preload ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc python -c '
import sys

import pytest

import tensorgrad

assert "-fsanitize=address" in tensorgrad._native.config()["build flags"]
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))' --rootdir "$ROOT" -c "$ROOT/pyproject.toml" \
    "${TESTS[@]/#/$ROOT/}"
