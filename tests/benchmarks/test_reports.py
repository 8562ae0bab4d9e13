"""The benchmarks' tables, files and comparison: no timings."""

from __future__ import annotations

import json
import subprocess
import sys
from math import log
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmarks' modules, which are scripts and no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import compare
    import measure
    import report
    import targets

    class Modules:
        pass

    found: Any = Modules()
    found.compare, found.measure, found.report, found.targets = compare, measure, report, targets
    return found


def _row(modules: Any, name: str, ours: float, numpy: float, **more: Any) -> Any:
    figures = {"tensorgrad": ours, "numpy": numpy}
    return modules.measure.Row(name, medians=figures, minima=figures, **more)


def test_a_table_has_both_numbers_the_ratio_and_the_part_of_the_limit(modules: Any) -> None:
    text = modules.report.table("title", [_row(modules, "a", 2.0, 5.0, limit=1.0)])
    assert [cell.strip() for cell in text.splitlines()[-1].split("|")[1:-1]] == [
        "a", "2", "5", "2.50", "1", "50%",
    ]  # fmt: skip


def test_a_summary_has_geometric_means_and_says_what_holds(modules: Any) -> None:
    rows = [
        _row(modules, "a", 1.0, 4.0, family="reductions", limit=0.95, judged=True),
        _row(modules, "b", 1.0, 1.0, family="reductions"),
    ]
    found = modules.targets.summaries(rows)[0]
    assert found["numpy"] == pytest.approx(2.0)
    assert found["numpy_lowest"] == pytest.approx(1.0)
    assert found["limit"] == pytest.approx(0.95)
    assert found["holds"] is True
    rows.append(_row(modules, "c", 1.0, 0.9, family="reductions"))
    assert modules.targets.summaries(rows)[0]["holds"] is False


def test_a_row_below_the_lowest_ratio_allowed_breaks_a_target(modules: Any) -> None:
    rows = [_row(modules, n, 1.0, r, family="gemm") for n, r in (("a", 3.0), ("b", 0.9))]
    assert modules.targets.summaries(rows)[0]["numpy"] > 1.3
    assert modules.targets.summaries(rows)[0]["holds"] is False


def test_compiled_functions_are_judged_by_the_fastest_of_their_peers(modules: Any) -> None:
    row = _row(modules, "a", 1.0, 4.0, family="compiled step, middle")
    row.medians |= {"torch.compile": 3.0, "jax": 5.0, "eager": 1.5}  # eager is no peer
    assert row.to_best() == pytest.approx(3.0)
    assert modules.targets.summaries([row])[0]["holds"] is True
    row.medians["torch.compile"] = 1.9
    assert modules.targets.summaries([row])[0]["holds"] is False
    table = modules.report.table("title", [row])
    header, cells = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2::2]
    )
    assert cells[header.index("best / tensorgrad")] == "1.90"
    assert cells[header.index("torch.compile µs")] == "1.9"


def _save(modules: Any, path: Path, ours: dict[str, float], control: float = 1.01) -> str:
    rows = [_row(modules, name, us, 10.0) for name, us in ours.items()]
    rows.append(_row(modules, "control (NumPy against itself)", 10.0, 10.0 * control))
    modules.report.save_json(str(path), {"suite": rows}, {"threads": 1})
    return str(path)


def test_compare_finds_what_changed_beyond_the_noise(
    modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = _save(
        modules, tmp_path / "old.json", {"same": 10.0, "slow": 10.0, "fast": 10.0, "gone": 1}
    )
    new = _save(
        modules, tmp_path / "new.json", {"same": 10.4, "slow": 12.0, "fast": 8.0, "added": 1}
    )
    assert modules.compare.main([old, new]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["slower", "faster", "gone", "new"]
    assert modules.compare.main([old, old]) == 0


def test_compare_allows_for_the_noise_of_the_control(modules: Any, tmp_path: Path) -> None:
    old = _save(modules, tmp_path / "old.json", {"a": 10.0}, control=1.10)
    new = _save(modules, tmp_path / "new.json", {"a": 12.0})
    assert modules.compare.noise(modules.compare.load(old)) == pytest.approx(log(1.10))
    assert modules.compare.main([old, new]) == 0


def test_compare_names_a_file_that_is_no_result(modules: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps([1]), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"bad\.json is not a result"):
        modules.compare.load(str(tmp_path / "bad.json"))


def test_a_document_gets_its_tables(
    modules: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import document

    rows = [_row(modules, "a", 2.0, 5.0, family="gemm", limit=1.0, judged=True)]
    context = {"threads": 2, "dtype": "float32", "machine": "this one"}
    modules.report.save_json(str(tmp_path / "run.json"), {"matmul": rows}, context)
    assert modules.report.load_json(str(tmp_path / "run.json"))[0] == {"matmul": rows}
    path = tmp_path / "page.md"
    blocks = "\n<!-- begin {} float32 -->\nold\n<!-- end -->\n"
    path.write_text("top" + blocks.format("matmul 2") + blocks.format("mlp 1"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["document.py", str(path), str(tmp_path / "run.json")])
    assert document.main() == 1
    assert "no run has the table mlp 1 float32" in capsys.readouterr().err
    text = path.read_text(encoding="utf-8")
    assert "### matmul, this one, 2 threads" in text
    assert text.count("old") == 1


@pytest.mark.slow
def test_a_quick_run_writes_json_and_a_picture(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, str(FOLDER / "run.py"), "overhead", "losses", "compile", "--quick",
            "--json", str(tmp_path / "run.json"), "--plot", str(tmp_path / "run.png"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "### summary" in done.stdout
    suites = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["suites"]
    assert set(suites) == {"overhead", "losses", "compile"}
    assert all(row["median_us"]["tensorgrad"] > 0 for rows in suites.values() for row in rows)
    assert (tmp_path / "run.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_an_unknown_suite_is_named() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "speed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no suite named speed" in done.stderr
