"""What a backtest shows: tables, records for programs, a picture."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from zoo_graph.backtest.quality import METRICS
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.report import Group, lines, measures, write

GROUPS = (Group("pooled"), Group("matrices", over="matrices"), Group("a", ("a",)))


def judged(matrix: str, target: str, ranker: str, value: float) -> Record:
    return Record(matrix, target, 0, ranker, "judged", dict.fromkeys(METRICS, value), seconds=2.0)


RECORDS = [
    *(judged(matrix, f"t{i}", "history", 0.4) for matrix in "ab" for i in range(2)),
    *(judged(matrix, f"t{i}", "ours", 0.1 + 0.2 * i) for matrix in "ab" for i in range(2)),
    judged("b", "t0", "logme", 0.5),
    *(Record("b", f"t{i}", 0, "broken", "failed", {}, reason="ValueError: no") for i in range(3)),
]


def test_the_table_shows_means_differences_and_failures() -> None:
    text = list(lines(RECORDS, GROUPS, first=("ours",)))
    assert text[0].startswith("pooled, cold")
    assert text[1].split()[:3] == ["ours", "4", "0.200"]
    assert any(line.startswith("against history") for line in text)
    assert any(line.startswith("ours") and "-50%" in line for line in text)
    assert text[-1] == "failed: broken on 3 targets: ValueError: no"


def test_a_ranker_without_a_value_in_a_group_is_not_in_its_table() -> None:
    assert not any(line.startswith("logme") for line in lines(RECORDS, [Group("a", ("a",))]))


def test_measures_carry_path_mean_unit_n_and_standard_error() -> None:
    found = {one["measure"]: one for one in measures(RECORDS, GROUPS)}
    ours = found["recall/pooled/cold/ours/regret1"]
    assert (ours["value"], ours["unit"], ours["n"]) == (pytest.approx(0.2), "1", 4)
    assert found["recall/matrices/cold/ours/regret1"]["n"] == 2
    assert found["recall/pooled/cold/ours/regret1_minus_history"]["value"] == pytest.approx(-0.2)
    assert found["recall/pooled/cold/ours/regret1_minus_history_p"]["value"] == pytest.approx(0.125)
    assert found["recall/a/cold/history/seconds"]["value"] == 2.0
    assert "recall/pooled/cold/history/regret1_minus_history" not in found


def test_everything_is_written_and_can_be_read(tmp_path: Path) -> None:
    files = write(RECORDS, tmp_path / "new", GROUPS, {"machine": "m"})
    assert [path.name for path in files] == ["backtest.txt", "backtest.json", "backtest.png", "backtest.svg"]
    head, *rest = json.loads((tmp_path / "new/backtest.json").read_text())
    assert head == {"machine": "m"}
    assert rest == measures(RECORDS, GROUPS)
    assert files[2].read_bytes().startswith(b"\x89PNG")
    drawing = ElementTree.parse(files[3]).getroot()
    words = " ".join(drawing.itertext())
    assert drawing.tag.endswith("svg")
    assert words or b"<path" in files[3].read_bytes()


def test_nothing_judged_is_a_table_without_a_picture(tmp_path: Path) -> None:
    files = write([RECORDS[-1]], tmp_path, GROUPS, {})
    assert [path.name for path in files] == ["backtest.txt", "backtest.json"]
    assert "failed: broken on 1 target: ValueError: no" in files[0].read_text()
