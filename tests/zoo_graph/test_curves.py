"""What finished runs in the graph tell of how the next will end."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selection.records import Candidate, Measurement, Progress, ProxyScore, Recipe
from zoo_graph.curves import Past, learn_past
from zoo_graph.ingest import record_measurements
from zoo_graph.records import Run
from zoo_graph.snapshot import take
from zoo_graph.store import Connection

SCORES = {
    "a": {"x": 0.9, "y": 0.8, "z": 0.7, "target": 0.1},
    "b": {"x": 0.8, "y": 0.7, "z": 0.6, "target": 0.9},
    "c": {"x": 0.7, "y": 0.65, "z": 0.5, "target": 0.2},
}
CANDIDATES = [Candidate(name) for name in "abc"]


def measurement(model: str, dataset: str, score: float, seed: int = 0, metric: str = "accuracy") -> Measurement:
    proxy = ProxyScore("ridge_probe", score - 0.1, 0.1, 100, "sample")
    return Measurement(
        model, dataset, metric, Recipe(total_steps=80, metric=metric, seed=seed),
        Progress(80, (20, 40, 80), (score - 0.2, score - 0.1, score - 0.01), 8.0, 8.0), score, 100, 50,
        proxies=(proxy,),
    )  # fmt: skip


def past_of(embedded_store: Connection, folder: Path, seeds: tuple[int, ...] = (0,), target: str = "target") -> Past:
    found = [
        measurement(model, dataset, score, seed)
        for seed in seeds
        for model, row in SCORES.items()
        for dataset, score in row.items()
    ]
    record_measurements(embedded_store, found, Run("r1", "measure", "2026-01-01T00:00:00+00:00"))
    return learn_past(
        embedded_store, take(embedded_store, folder), CANDIDATES, target=target, metric="accuracy", proxies={}
    )


def test_every_finished_run_on_other_datasets_is_a_curve(embedded_store: Connection, tmp_path: Path) -> None:
    past = past_of(embedded_store, tmp_path)
    assert len(past.curves) == 9
    one = next(curve for curve in past.curves if curve.model == "a" and '"x"' in curve.field)
    assert one.shares == (0.25, 0.5, 1.0)
    assert one.scores == pytest.approx((0.7, 0.8, 0.89))
    assert one.final == pytest.approx(0.9)
    assert one.probe == pytest.approx(0.8)


def test_runs_compete_within_dataset_and_seed(embedded_store: Connection, tmp_path: Path) -> None:
    past = past_of(embedded_store, tmp_path, seeds=(0, 1))
    fields = {curve.field for curve in past.curves}
    assert len(fields) == 6
    assert all(len([curve for curve in past.curves if curve.field == field]) == 3 for field in fields)


def test_recall_expects_of_a_past_dataset_what_the_others_tell(embedded_store: Connection, tmp_path: Path) -> None:
    past = past_of(embedded_store, tmp_path)
    told = {curve.model: curve.recalled for curve in past.curves if '"x"' in curve.field}
    assert told["a"] > told["b"] > told["c"]
    assert past.recalled["a"] > past.recalled["b"] > past.recalled["c"]


def test_results_on_the_target_change_nothing(embedded_store: Connection, tmp_path: Path) -> None:
    before = past_of(embedded_store, tmp_path)
    other = replace(measurement("c", "target", 0.99, 5), proxies=())
    record_measurements(embedded_store, [other], Run("r2", "measure", "2026-01-02T00:00:00+00:00"))
    after = learn_past(
        embedded_store, take(embedded_store, tmp_path), CANDIDATES, target="target", metric="accuracy", proxies={}
    )
    assert before == after


def test_runs_by_another_metric_tell_nothing_of_how_these_end(embedded_store: Connection, tmp_path: Path) -> None:
    before = past_of(embedded_store, tmp_path)
    others = [
        measurement(model, f"{dataset}2", -100 * score, metric="mse")
        for model, row in SCORES.items()
        for dataset, score in row.items()
    ]
    record_measurements(embedded_store, others, Run("r2", "measure", "2026-01-02T00:00:00+00:00"))
    snapshot = take(embedded_store, tmp_path)
    after, errors = (
        learn_past(embedded_store, snapshot, CANDIDATES, target="target", metric=metric, proxies={})
        for metric in ("eval_accuracy", "mse")
    )
    assert {(one.model, one.field, one.final) for one in after.curves} == {
        (one.model, one.field, one.final) for one in before.curves
    }
    assert {json.loads(curve.field)[0] for curve in errors.curves} == {"x2", "y2", "z2", "target2"}
    assert all(curve.final <= -10 for curve in errors.curves)
    assert (after.other_metrics, errors.other_metrics) == (("mse",), ("accuracy",))


def test_a_zoo_without_runs_tells_nothing(embedded_store: Connection, tmp_path: Path) -> None:
    past = learn_past(
        embedded_store, take(embedded_store, tmp_path), CANDIDATES, target="target", metric="accuracy", proxies={}
    )
    assert past == Past((), {}, {})


def test_a_candidate_new_to_the_zoo_is_expected_to_be_average(embedded_store: Connection, tmp_path: Path) -> None:
    past_of(embedded_store, tmp_path)
    new = [*CANDIDATES, Candidate("new")]
    past = learn_past(
        embedded_store, take(embedded_store, tmp_path), new, target="target", metric="accuracy", proxies={}
    )
    assert math.isfinite(past.recalled["new"])
    assert past.recalled["c"] < past.recalled["new"] < past.recalled["a"]
    assert np.isfinite([curve.recalled for curve in past.curves]).all()
