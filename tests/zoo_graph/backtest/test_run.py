"""The loop of a backtest: every ranker on every target, whatever fails, however often it is interrupted."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from selection.recall import Evidence
from zoo_graph.backtest.cases import Table
from zoo_graph.backtest.journal import NAME, Journal
from zoo_graph.backtest.quality import Ranking, by_score
from zoo_graph.backtest.rankers import BASELINES, Given
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.run import run
from zoo_graph.errors import InputError

MakeTable = Callable[..., Table]
HISTORY = {"history": BASELINES["history"]}


class Counting:
    """History, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, evidence: Evidence, seed: int) -> Ranking | None:
        self.asked.append(evidence.target or "")
        return BASELINES["history"](evidence, seed)


def without_seconds(records: list[Record]) -> set[tuple[object, ...]]:
    return {(r.target, r.n_evaluated, r.ranker, r.state, json.dumps(dict(r.metrics)), r.reason) for r in records}


def test_every_ranker_is_judged_on_every_target_cold_and_warm(table: MakeTable) -> None:
    records = list(run(table(), BASELINES, evaluated=(0, 3)))
    assert {(r.target, r.n_evaluated, r.ranker) for r in records} == {
        (f"d{d}", n, name) for d in range(5) for n in (0, 3) for name in BASELINES
    }
    assert {r.state for r in records} == {"judged"}
    assert {r.regime for r in records} == {"cold", "warm3"}


def test_what_is_known_helps(table: MakeTable) -> None:
    regret = {
        name: np.mean([r.metrics["regret1"] for r in run(table(), BASELINES) if r.ranker == name])
        for name in ("history", "random")
    }
    assert regret["history"] < 0.5 < regret["random"]


def test_a_ranker_that_fails_on_one_target_fails_there_only(table: MakeTable) -> None:
    broken = Given({"d0": {"acme/m1": 1.0}, "d1": ["no", "mapping"]})  # type: ignore[dict-item]
    records = {(r.target, r.ranker): r for r in run(table(), {"given": broken, **HISTORY})}
    assert records["d1", "given"].state == "failed"
    assert "AttributeError" in (records["d1", "given"].reason or "")
    assert (records["d0", "given"].state, records["d2", "given"].state) == ("judged", "silent")
    assert all(records[f"d{d}", "history"].state == "judged" for d in range(5))


def test_a_second_call_asks_nothing_again(table: MakeTable, tmp_path: Path) -> None:
    counting = Counting()
    first = list(run(table(), {"counting": counting}, tmp_path))
    again = list(run(table(), {"counting": counting}, tmp_path))
    assert len(counting.asked) == 5
    assert without_seconds(again) == without_seconds(first)
    assert [r.seconds for r in again] == [r.seconds for r in first]


def test_an_interrupted_call_goes_on(table: MakeTable, tmp_path: Path) -> None:
    whole = list(run(table(), HISTORY))
    records = run(table(), HISTORY, tmp_path)
    begun = [next(records), next(records)]
    records.close()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() + b'{"key": "torn')
    counting = Counting()
    resumed = list(run(table(), {"history": counting}, tmp_path))
    assert len(begun) + len(counting.asked) == 5
    assert without_seconds(resumed) == without_seconds(whole)


def test_changed_results_seeds_and_code_are_asked_anew(table: MakeTable, tmp_path: Path) -> None:
    changed = table().scores.copy()
    changed[0, 0] += 1
    for call in ({}, {"seed": 1}, {"code": "2"}):
        counting = Counting()
        list(run(table(), {"counting": counting}, tmp_path, **call))  # type: ignore[arg-type]
        assert len(counting.asked) == 5
    counting = Counting()
    list(run(table(scores=changed), {"counting": counting}, tmp_path))
    assert len(counting.asked) == 5


def test_a_failure_is_asked_again(table: MakeTable, tmp_path: Path) -> None:
    broken = Given({"d1": ["no", "mapping"]})  # type: ignore[dict-item]
    assert [r.state for r in run(table(), {"r": broken}, tmp_path)].count("failed") == 1
    counting = Counting()
    records = list(run(table(), {"r": counting}, tmp_path))
    assert counting.asked == ["d1"]
    assert [r.state for r in records].count("failed") == 0


def test_undefined_measures_survive_the_journal(table: MakeTable, tmp_path: Path) -> None:
    list(run(table(), HISTORY, tmp_path))
    (record, *_) = run(table(), HISTORY, tmp_path)
    assert np.isnan(record.metrics["coverage90"])


def test_two_workers_find_what_one_does(table: MakeTable, tmp_path: Path) -> None:
    rankers = {**BASELINES, "given": Given({"d1": ["x"]})}  # type: ignore[dict-item]
    alone, together = list(run(table(), rankers)), list(run(table(), rankers, tmp_path, workers=2))
    assert {(r.target, r.ranker): r.state for r in together} == {(r.target, r.ranker): r.state for r in alone}
    one, two = ({(r.target, r.ranker): r.metrics for r in found} for found in (alone, together))
    for key, metrics in one.items():
        assert two[key] == pytest.approx(metrics, nan_ok=True)


def test_a_folder_in_use_is_refused(table: MakeTable, tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(InputError, match="in use"):
        list(run(table(), HISTORY, tmp_path))


def test_a_damaged_journal_is_named_with_its_line(table: MakeTable, tmp_path: Path) -> None:
    list(run(table(), HISTORY, tmp_path))
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b'{"key": 1}', *lines[2:]]) + b"\n")
    with pytest.raises(InputError, match="line 2"):
        list(run(table(), HISTORY, tmp_path))


@pytest.mark.parametrize(("rankers", "evaluated"), [({}, (0,)), (HISTORY, ()), (HISTORY, (-1,))])
def test_nothing_to_do_is_refused(table: MakeTable, rankers: dict[str, object], evaluated: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="wanted a ranker"):
        list(run(table(), rankers, evaluated=evaluated))  # type: ignore[arg-type]


def test_what_a_ranker_was_told_is_not_judged(table: MakeTable) -> None:
    def oracle_of_what_was_told(evidence: Evidence, seed: int) -> Ranking:
        assert evidence.measured is not None
        return by_score(np.where(np.isnan(evidence.measured), -np.arange(8.0), evidence.measured))

    (record, *_) = run(table(), {"told": oracle_of_what_was_told}, evaluated=(3,))
    assert record.metrics["pearson"] < 0
