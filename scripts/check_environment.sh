#!/bin/sh
# Prints the Python to use on standard output, or says on standard error what this machine lacks and exits with 1.
# PYTHON and CC, where set, are taken as the user's choice.

fail() {
    echo "tensorgrad: $*" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

python=
if [ -n "${PYTHON:-}" ]; then
    is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.10 or newer."
    python=$PYTHON
else
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        if is_new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.10 or newer is needed and none was found; install it, or name it: make PYTHON=/path/to/python3"
fi

"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python lacks the venv module; on Debian and Ubuntu: apt install python3-venv"

# what setuptools will run: CC, else the compiler that Python itself was built with. It may hold arguments, so it is not quoted.
cc=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
echo 'int main(void) { return 0; }' | $cc -x c -o /dev/null - 2>/dev/null ||
    fail "a C compiler is needed and '$cc' does not work; on Debian and Ubuntu: apt install gcc libc6-dev; or name one: make CC=/path/to/cc"

headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -f "$headers/Python.h" ] ||
    fail "the C headers of $python are missing (no $headers/Python.h); on Debian and Ubuntu: apt install python3-dev"

echo "$python"
