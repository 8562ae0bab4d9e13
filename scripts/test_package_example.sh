#!/usr/bin/env bash
# Builds the wheel of examples/custom_ops/package beside an installed tensorgrad, installs it and runs its tests.
# Usage: test_package_example.sh ENVIRONMENT FOLDER, an environment with tensorgrad in it and a folder to work in.
set -euo pipefail
python=$(cd "$1" && pwd)/bin/python
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rm -rf "$folder/package" "$folder/wheels"
cp -R examples/custom_ops/package "$folder/package" # a build leaves files in the folder that it builds
cd "$folder"                                        # away from the checkout, whose tensorgrad would be imported instead
"$python" -m pip install --quiet 'setuptools>=77' wheel pytest
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./package
"$python" -m pip install --quiet --no-deps --force-reinstall wheels/*.whl
rm -rf package/tensorgrad_ema # the installed one is tested
"$python" -m pytest -q -p no:cacheprovider package/tests
