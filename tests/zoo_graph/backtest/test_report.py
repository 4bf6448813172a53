"""What a backtest shows: tables, records for programs, a picture."""

import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from zoo_graph.backtest.quality import METRICS
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.report import Group, lines, measures, rows, verdict, write

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
    assert text[1].split()[:5] == ["ours", "4", "0.200", "±", "0.058"]
    assert any(line.startswith("pooled, cold, less history") for line in text)
    assert any(line.startswith("ours") and "-50% p .125" in line for line in text)
    assert text[-1] == "failed: broken on 3 targets: ValueError: no"


def test_a_ranker_without_a_value_in_a_group_is_not_in_its_table() -> None:
    assert not any(line.startswith("logme") for line in lines(RECORDS, [Group("a", ("a",))]))


def test_a_ranker_that_says_no_tie_and_no_interval_has_a_dash_there() -> None:
    plain = [replace(one, metrics={**one.metrics, "coverage90": math.nan}) for one in RECORDS[:4]]
    row = next(line for line in list(lines(plain, GROUPS[:1]))[6:] if line.startswith("history"))
    assert row.split()[-4] == "–"


def test_the_verdict_says_where_history_is_beaten_and_where_not() -> None:
    def at(k: int, value: float, ranker: str) -> list[float]:
        return [value if ranker == "ours" else 0.4 + 0.001 * n for n in range(12)]

    won = {1: 0.1, 3: 0.4, 5: 0.9}
    records = [
        Record("a", f"t{n}", 0, ranker, "judged", {f"regret{k}": at(k, won[k], ranker)[n] for k in won})
        for ranker in ("ours", "history")
        for n in range(12)
    ]
    told = list(verdict(records, GROUPS[0]))
    assert told == ["cold, ours against history: less regret at k=1, k=3; more regret at k=5"]
    same = [replace(one, metrics={"regret1": 0.5}) for one in records]
    assert list(verdict(same, GROUPS[0])) == ["cold, ours against history: no difference to tell at k=1"]
    assert list(verdict(records[12:], GROUPS[0])) == []
    few = [one for one in records if one.target in ("t0", "t1", "t2")]
    (told_of_few,) = verdict(few, GROUPS[0])
    assert "less regret, perhaps by chance, at k=1" in told_of_few  # three differences prove nothing


def test_rows_carry_each_figure_with_its_difference() -> None:
    found = {(one["ranker"], one["metric"]): one for one in rows(RECORDS, GROUPS[0])}
    ours = found["ours", "regret1"]
    assert (ours["regime"], ours["mean"], ours["n"]) == ("cold", pytest.approx(0.2), 4)
    assert (ours["difference"], ours["p"], ours["tie"]) == (pytest.approx(-0.2), 0.125, False)
    assert found["logme", "regret1"]["stderr"] is None
    assert found["logme", "regret1"]["difference"] == pytest.approx(0.1)


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
