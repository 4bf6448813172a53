"""Regret and cost beside brute force, on numbers one can do by head."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from selection import race
from selection.datasets import from_rows
from selection.records import Candidate, Measurement, Outcome, Plan, Progress, Recall, Recipe, Standing
from zoo_graph.demo import seed
from zoo_graph.demo.demonstration import Demonstration, _Spent
from zoo_graph.demo.verification import compared, lines, write
from zoo_graph.errors import InputError

CANDIDATES = [Candidate("a", n_parameters=1), Candidate("b", n_parameters=3), Candidate("c", n_parameters=2)]


def run(model: str, validation: float, test: float) -> Measurement:
    progress = Progress(10, (10,), (validation,), 100.0, 10.0)
    return Measurement(model, "films", "accuracy", Recipe(), progress, test, 80, 20)


def shown(winner: str, test_score: float) -> Demonstration:
    standing = Standing(1, Candidate(winner), 2, Progress(10, (10,), (0.9,), 8.0, 8.0))
    plan = Plan((), (), 0.0, 0.0, 0.0)
    outcome = Outcome("films", "accuracy", (standing,), test_score, Path("best"), plan, 9.0, 6.0)
    data = from_rows("films", "text", ["x", "y"] * 20, [0, 1] * 20)
    return Demonstration(data, Recall((), (), ()), plan, outcome, Path("r"), ("films",), 20.0, 9.0, 1.0, 5.0)


RUNS = {"a": run("a", 0.90, 0.80), "b": run("b", 0.85, 0.86), "c": run("c", 0.80, 0.71)}


def test_regret_is_points_below_the_validation_pick() -> None:
    found = compared(shown("c", 0.71), CANDIDATES, RUNS)
    assert (found.brute_force_winner, found.oracle_winner) == ("a", "b")
    assert found.regret(found.ours) == pytest.approx(9.0)
    assert found.regret(found.oracle) == pytest.approx(-6.0)
    assert found.largest == 0.86
    assert found.chance == pytest.approx((0.80 + 0.86 + 0.71) / 3)


def test_the_best_on_average_is_that_of_the_tasks_that_were_not_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {
        "films": {"a": 0.99, "b": 0.01, "c": 0.02},  # held out: here a is far ahead
        "rain": {"a": 0.5, "b": 0.4, "c": 0.6},
        "sun": {"a": 52.0, "b": 0.0, "c": 51.0},  # in another unit, which must not outweigh
        "flat": {"a": 0.7, "b": 0.7, "c": 0.7},
        "alone": {"b": 0.9},
    }
    cells = {(model, task): score for task, column in columns.items() for model, score in column.items()}
    monkeypatch.setattr(seed, "read_measured", lambda: seed.Measured(cells))
    assert compared(shown("a", 0.80), CANDIDATES, RUNS).best_on_average == 0.71  # c's
    everything = replace(shown("a", 0.80), held_out=())
    assert compared(everything, CANDIDATES, RUNS).best_on_average == 0.80  # a's, with films


def test_cost_is_ours_over_brute_forces() -> None:
    found = compared(shown("a", 0.80), CANDIDATES, RUNS)
    assert found.brute_force_seconds == 30.0
    assert found.our_training_seconds / found.brute_force_seconds == pytest.approx(0.2)
    assert found.our_seconds / found.brute_force_seconds == pytest.approx(0.3)
    packed = compared(shown("a", 0.80), CANDIDATES, RUNS, at_once=2)
    assert (packed.our_wall_seconds, packed.brute_force_wall_seconds, packed.floor_wall_seconds) == (20.0, 150.0, 100.0)


def test_lines_give_the_mean_with_its_standard_error() -> None:
    one = compared(shown("a", 0.80), CANDIDATES, RUNS)
    two = replace(one, target="other", ours=0.78)
    text = "\n".join(lines([one, two]))
    assert "1.00 ± 1.00" in text  # regrets 0 and 2
    assert "20%" in text
    assert "everything, wall clock                        7%" in text
    assert "without the test, wall clock                  5%" in text  # 20 - 5 of 300


def test_the_seconds_of_the_test_are_told_apart_and_kept_between_calls(tmp_path: Path) -> None:
    first = _Spent(tmp_path / "spent.json")
    tell = first.after(None)
    tell(race.Finished("a"))
    time.sleep(0.05)
    tell(race.Tested("a", 0.5))
    wall, _, test = _Spent(tmp_path / "spent.json").write()
    assert 0.05 <= test <= wall
    again = _Spent(tmp_path / "spent.json")
    again.after(None)(race.Finished("a"))
    assert again.write()[2] == test
    (tmp_path / "spent.json").write_text("[12.0, 10.0]")  # an earlier version's
    assert _Spent(tmp_path / "spent.json").write()[0] >= 12.0


def test_nothing_verified_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write([], tmp_path)
    found = compared(shown("a", 0.80), CANDIDATES, RUNS)
    assert json.loads(write([found], tmp_path).read_text())[0]["winner"] == "a"
