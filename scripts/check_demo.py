"""Checks what the demo printed and drew: `check_demo.py OUTPUT PICTURE LEAST_ACCURACY`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

output, picture, least = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
found = re.findall(
    r"test accuracy\D*([\d.]+) ?%", output.read_text(encoding="utf-8"), re.IGNORECASE
)
if not found:
    sys.exit("the demo printed no test accuracy")
if float(found[-1]) < least:
    sys.exit(f"the demo's test accuracy is {found[-1]} %, expected at least {least} %")
if not picture.read_bytes().startswith(b"\x89PNG"):
    sys.exit(f"{picture} is no PNG picture")
print(f"test accuracy {found[-1]} % (at least {least} % wanted), {picture} drawn")
