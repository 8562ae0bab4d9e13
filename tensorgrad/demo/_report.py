"""What the program says at the end, as text."""

from __future__ import annotations

from typing import Any

import numpy as np


def confusion_text(counts: np.ndarray[Any, Any]) -> str:
    """A confusion matrix as aligned text; a dot stands for 0.

    counts: (classes, classes), how often class i (a row) was taken for class j (a column).

    Example:
        >>> import numpy as np
        >>> from tensorgrad.demo._report import confusion_text
        >>> print(confusion_text(np.array([[8, 0], [1, 12]])))
        true | predicted
             |  0  1 | recognised
        -----+-------+-----------
           0 |  8  . |   100.0 %
           1 |  1 12 |    92.3 %
    """
    classes = len(counts)
    width = max(len(str(counts.max(initial=0))), len(str(classes - 1))) + 1

    def row(values: list[str]) -> str:
        return "".join(value.rjust(width) for value in values)

    lines = [
        "true | predicted",
        f"     |{row([str(j) for j in range(classes)])} | recognised",
        f"-----+{'-' * (width * classes + 1)}+-----------",
    ]
    for i, line in enumerate(counts):
        total = line.sum()
        recognised = f"{100 * line[i] / total:5.1f} %" if total else "none there"
        lines.append(f"{i:4} |{row([str(n) if n else '.' for n in line])} | {recognised:>9}")
    return "\n".join(lines)
