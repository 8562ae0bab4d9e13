"""`python -m tensorgrad.ops`: lists the ops, or begins a package with one of your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tensorgrad import ops
from tensorgrad.autograd import registry
from tensorgrad.errors import ArgumentError


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tensorgrad.ops", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser(
        "new", help="write a package with an op that builds and passes its tests"
    )
    new.add_argument("name", help="of the op and of the package")
    new.add_argument("--c", action="store_true", help="with C kernels")
    new.add_argument("--folder", type=Path, default=Path(), help="where (default: here)")
    listed = commands.add_parser("list", help="print the ops")
    listed.add_argument("part", nargs="?", default="", help="only names with this in them")
    given = parser.parse_args(arguments)
    if given.command == "list":
        ops.load_all()
        for name, op in sorted(registry.items()):
            if given.part in name:
                print(f"{name:24} {op.family:10} {op.kernel}")
        return 0
    ops.load_all()
    from tensorgrad.ops._skeleton import write_package

    try:
        for path in write_package(given.name, given.folder, given.c):
            print(f"wrote {path}")
    except ArgumentError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\nNext:\n    cd {given.folder / given.name}")
    print("    pip install --no-build-isolation -e .\n    python -m pytest")
    return 0


if __name__ == "__main__":
    sys.exit(main())
