#!/usr/bin/env bash
# Compiles the NEON kernel table for aarch64 and runs the C tests under qemu's user-mode emulation. On Debian, as root, missing
# packages are installed; elsewhere they are named.
#   scripts/test_aarch64.sh [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly BUILD=${1:-build/aarch64}
readonly PACKAGES=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "needs a compiler for aarch64 and qemu's user emulation: on Debian, apt-get install ${PACKAGES[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null
fi

# linked statically, so that the emulator needs no libraries of the other machine
make -j2 -C csrc/tests CC=aarch64-linux-gnu-gcc CFLAGS="-static -Werror" BUILD="$PWD/$BUILD" "$PWD/$BUILD/check/program"
TEST_EMULATED=1 qemu-aarch64 "$BUILD/check/program"
