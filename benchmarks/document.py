"""Puts the tables of benchmark runs into a document, between lines like these:

    <!-- begin mlp 1 float32 -->
    <!-- end -->

The words name a suite (or "summary"), the number of threads and the dtype.

    python benchmarks/document.py DOCUMENT.md RUN.json [RUN.json ...]"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import report

_BLOCK = re.compile(r"(<!-- begin (\w+) (\d+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("document", metavar="DOCUMENT.md")
    parser.add_argument("runs", nargs="+", metavar="RUN.json")
    options = parser.parse_args()
    tables: dict[tuple[str, str, str], str] = {}
    for path in options.runs:
        suites, context = report.load_json(path)
        which = (str(context["threads"]), context["dtype"])
        caption = report.caption(context)
        for suite, rows in suites.items():
            tables[(suite, *which)] = report.table(f"{suite}, {caption}", rows)
        every_row = [row for rows in suites.values() for row in rows]
        tables[("summary", *which)] = report.summary(f"summary, {caption}", every_row)
    missing = []

    def fill(found: re.Match[str]) -> str:
        table = tables.get((found[2], found[3], found[4]))
        if table is None:
            missing.append(" ".join(found.group(2, 3, 4)))
            return found[0]
        return f"{found[1]}\n{table}\n\n{found[5]}"

    document = Path(options.document)
    text = document.read_text(encoding="utf-8")
    document.write_text(_BLOCK.sub(fill, text), encoding="utf-8")
    for what in missing:
        print(f"document: no run has the table {what}; left as it is", file=sys.stderr)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
