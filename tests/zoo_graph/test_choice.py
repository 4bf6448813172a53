"""Plans of a zoo that holds finished runs, on the embedded store and a tiny checkpoint."""

from pathlib import Path

import pytest
from tiny import some_texts, tiny_bert

from selection.datasets import Dataset, from_rows
from selection.records import Candidate, Measurement, Plan, Policy, Progress, Recipe
from zoo_graph.choice import plan
from zoo_graph.ingest import record_measurements
from zoo_graph.records import Run
from zoo_graph.store import Connection

RECIPE = Recipe(learning_rate=1e-3, head_learning_rate=1e-2, batch_size=8, total_steps=6, warmup_steps=2, max_length=16)


@pytest.fixture(scope="module")
def films() -> Dataset:
    return from_rows("films", "text", *some_texts(40))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("checkpoints") / "one"
    tiny_bert(folder, layers=1)
    return Candidate("local/one", str(folder), "text")


def finished(model: str, dataset: str, score: float, metric: str) -> Measurement:
    curve = (score - 0.2, score - 0.1, score)
    return Measurement(model, dataset, metric, RECIPE, Progress(6, (1, 3, 6), curve, 8.0, 8.0), score, 100, 50)


def planned(store: Connection, folder: Path, films: Dataset, one: Candidate, metric: str, policy: Policy) -> Plan:
    """In a zoo of three models, that of `one` among them, that were fine-tuned on two datasets."""
    scores = {"local/one": 0.9, "acme/b": 0.8, "acme/c": 0.7}
    runs = [finished(model, name, score, metric) for model, score in scores.items() for name in ("x", "y")]
    record_measurements(store, runs, Run("r1", "measure", "2026-01-01T00:00:00+00:00"))
    return plan(store, folder, films, [one], recipe=RECIPE, policy=policy)


def test_a_plan_is_learnt_from_runs_by_its_metric_alone_and_says_when_there_are_none(
    embedded_store: Connection, tmp_path: Path, films: Dataset, one: Candidate
) -> None:
    guessed = planned(embedded_store, tmp_path, films, one, "macro_f1", "racing")
    assert guessed.trend is not None
    assert guessed.trend.n_runs == 0
    assert guessed.notes == (
        "how runs end is guessed: the zoo's finished runs with curves are by macro_f1, not accuracy",
    )
    learnt = planned(embedded_store, tmp_path, films, one, "accuracy", "racing")
    assert learnt.trend is not None
    assert (learnt.trend.n_runs, learnt.notes) == (6, ())


def test_only_the_candidates_runs_are_clustered(
    embedded_store: Connection, tmp_path: Path, films: Dataset, one: Candidate
) -> None:
    made = planned(embedded_store, tmp_path, films, one, "accuracy", "two_phase")
    assert made.clusters is not None
    assert set(made.clusters) == {"local/one"}
    assert made.clusters["local/one"][-1] == (pytest.approx((0.9, 0.9)),)
    assert made.trend is not None
    assert made.trend.n_runs == 6
