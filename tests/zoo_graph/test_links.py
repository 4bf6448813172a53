"""Link prediction as a job of refresh, and as evidence of recall."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selection.records import Candidate
from zoo_graph.derived import Changes
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.ingest import ingest
from zoo_graph.link_evidence import FOLDER, NAME, graph_digest, link_graph, with_link_prediction
from zoo_graph.link_prediction import predictor, signal
from zoo_graph.link_prediction.training import Settings
from zoo_graph.records import Dataset, Model, Run
from zoo_graph.refresh import JOBS, refresh
from zoo_graph.snapshot import take
from zoo_graph.store import Connection

QUICK = Settings(folds=3, steps=12, checkpoints=2, episodes=2, width=8)
PREDICTED = (
    "MATCH (a:Model)-[r:PREDICTED]->(b:Dataset) "
    "RETURN collect([a.id, b.id, r.score, r.low, r.high, r.by, r.run]) AS rows"
)


@pytest.fixture
def sparse(store: Connection, fill, two_families, monkeypatch) -> Connection:
    """Two families, and some pairs not measured; networks are trained for a moment only."""
    monkeypatch.setattr(signal, "SETTINGS", QUICK)
    kept = {
        model: {dataset: score for d, (dataset, score) in enumerate(sorted(scores.items())) if (m + d) % 4}
        for m, (model, scores) in enumerate(sorted(two_families.items()))
    }
    fill(store, kept)
    return store


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks trained for a moment are counted as if they had learnt something."""
    monkeypatch.setattr(predictor, "is_history", lambda _: False)


def test_refresh_writes_predictions_of_what_was_not_measured_only_when_asked(
    sparse: Connection, tmp_path: Path
) -> None:
    refresh(sparse, tmp_path)
    assert sparse.read(PREDICTED)[0]["rows"] == []
    (report,) = refresh(sparse, tmp_path, only=["link prediction"]).jobs
    rows = sparse.read(PREDICTED)[0]["rows"]
    measured = {
        tuple(pair)
        for pair in sparse.read("MATCH (a:Model)-[:MEASURED]->(b:Dataset) RETURN collect([a.id, b.id]) AS r")[0]["r"]
    }
    assert rows
    assert not measured & {(row[0], row[1]) for row in rows}
    assert all(row[3] <= row[2] <= row[4] and row[6] == report.run for row in rows)
    version = sparse.version()
    (again,) = refresh(sparse, tmp_path, only=["link prediction"]).jobs
    assert again.changes is None
    assert sparse.version() == version


def test_link_prediction_behind_the_results_is_told_of_and_its_word_on_what_was_measured_since_is_taken_back(
    sparse: Connection, fill, tmp_path: Path
) -> None:
    refresh(sparse, tmp_path, links=True, seed=3)
    assert [job.job for job in refresh(sparse, tmp_path).jobs] == list(JOBS)
    before = {(row[0], row[1]): row for row in sparse.read(PREDICTED)[0]["rows"]}
    (pair, *others) = sorted(before)
    fill(sparse, {pair[0]: {pair[1]: 0.77}})
    told = refresh(sparse, tmp_path).jobs[-1]
    assert told.changes == Changes(len(others), 0, 1)
    assert "link prediction: " in told.line()
    assert "older than the results" in told.line()
    assert "zoo refresh --links" in told.line()
    left = {(row[0], row[1]): row for row in sparse.read(PREDICTED)[0]["rows"]}
    assert left == {other: before[other] for other in others}
    version = sparse.version()
    again = refresh(sparse, tmp_path).jobs[-1]
    assert again.changes == Changes(len(others), 0, 0)
    assert sparse.version() == version
    only_one = refresh(sparse, tmp_path, only=["communities"]).jobs
    assert [job.job for job in only_one] == ["communities"]
    assert refresh(sparse, tmp_path, links=True).jobs[-1].changes is not None
    assert [job.job for job in refresh(sparse, tmp_path).jobs] == list(JOBS)


@pytest.mark.parametrize("said", [[], [Model("a/b")], [Dataset("d")], [Model("a/b"), Dataset("d")]])
def test_link_prediction_on_a_zoo_without_results_says_what_it_takes(
    embedded_store: Connection, tmp_path: Path, said: list[Model | Dataset]
) -> None:
    ingest(embedded_store, said, Run.begun("import", "0", {}))
    (report,) = refresh(embedded_store, tmp_path, only=["link prediction"]).jobs
    assert report.changes == Changes()
    assert report.notes == ("no network was trained: that takes results on 5 datasets, which differ",)


@pytest.mark.usefixtures("believed")
def test_a_recall_weighs_what_the_refresh_left_for_known_and_new_datasets(sparse: Connection, tmp_path: Path) -> None:
    refresh(sparse, tmp_path, only=["link prediction"])
    folder = sparse.folder or tmp_path
    snapshot = take(sparse, tmp_path)
    pool = [*candidates_of(snapshot), Candidate("stranger")]
    for target, about in (("d0", None), ("new", Dataset("new", task="classification", n_classes=3))):
        plain = evidence(snapshot, pool, target=target, proxies={}, about=about)
        known = with_link_prediction(plain, folder, snapshot, target, about)
        assert np.isnan(known.proxies[NAME][-1])
        assert np.isfinite(known.proxies[NAME][:-1]).all()
        assert known.past_proxies[NAME].shape == plain.scores.shape
        assert np.isfinite(known.past_proxies[NAME][:-1]).all()


def test_a_predictor_that_says_nothing_but_history_has_no_say(
    sparse: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(sparse, tmp_path, only=["link prediction"])
    folder = sparse.folder or tmp_path
    left = signal.load(folder / FOLDER)
    assert left is not None
    snapshot = take(sparse, tmp_path)
    plain = evidence(snapshot, candidates_of(snapshot), target="new", proxies={})
    for kind, multiplier, counts in (("history", 0.0, False), ("history", 0.5, True), ("mixed", 0.0, True)):
        base = replace(left.predictor.base, kind=kind)
        told = replace(left, predictor=replace(left.predictor, base=base, multiplier=multiplier))
        monkeypatch.setattr(signal, "load", lambda _, told=told: told)
        assert (NAME in with_link_prediction(plain, folder, snapshot, "new").proxies) is counts


@pytest.mark.usefixtures("believed")
def test_a_predictor_that_saw_what_is_held_out_has_no_say(sparse: Connection, tmp_path: Path) -> None:
    refresh(sparse, tmp_path, only=["link prediction"])
    folder = sparse.folder or tmp_path
    snapshot = take(sparse, tmp_path)
    plain = evidence(snapshot, candidates_of(snapshot), target="new", proxies={}, hold_out=["d1"])
    assert with_link_prediction(plain, folder, snapshot, "new", hold_out=["d1"]) is plain
    refresh(sparse, tmp_path, only=["link prediction"], exclude_datasets=["d1"])
    left = signal.load(folder / FOLDER)
    assert left is not None
    assert left.excluded == ("d1",)
    assert NAME in with_link_prediction(plain, folder, snapshot, "new", hold_out=["d1"]).proxies


def test_embeddings_are_numbers_of_datasets_and_make_them_alike(embedded_store: Connection, tmp_path: Path) -> None:
    held = [Dataset(f"d{n}", embedding=(1.0, float(n)), embedding_by="e") for n in range(3)]
    ingest(embedded_store, [*held[:2], Dataset("d2")], Run.begun("import", "0", {}))
    before = graph_digest(link_graph(take(embedded_store, tmp_path)))
    ingest(embedded_store, [held[2]], Run.begun("import", "1", {}))
    snapshot = take(embedded_store, tmp_path)
    graph = link_graph(snapshot)
    np.testing.assert_array_equal(graph.dataset_numbers["embedding e"], [[1, 0], [1, 1], [1, 2]])
    assert graph.similarity["embedding e"].shape == (3, 3)
    assert graph_digest(graph) != before
    grown = link_graph(snapshot, new=Dataset("new", embedding=(1.0, 2.5), embedding_by="e"))
    np.testing.assert_array_equal(grown.dataset_numbers["embedding e"][-1], [1, 2.5])
    assert grown.similarity["embedding e"][-1, 2] > 0 > grown.similarity["embedding e"][-1, 0]
    for other in (Dataset("new", embedding=(1.0,), embedding_by="e"), Dataset("new", embedding=(1.0, 7.0))):
        assert np.isnan(link_graph(snapshot, new=other).dataset_numbers["embedding e"][-1]).all()


def test_a_zoo_never_predicted_for_is_left_as_it_is(sparse: Connection, tmp_path: Path) -> None:
    snapshot = take(sparse, tmp_path)
    plain = evidence(snapshot, candidates_of(snapshot), target="d0", proxies={})
    assert with_link_prediction(plain, tmp_path / "nothing", snapshot, "d0") is plain


def test_predictions_stay_within_what_the_metric_can_be(sparse: Connection, tmp_path: Path, monkeypatch) -> None:
    refresh(sparse, tmp_path)
    monkeypatch.setattr("zoo_graph.link_prediction.prediction.Prediction.in_units", lambda self, _: wild(self))
    refresh(sparse, tmp_path, only=["link prediction"])
    rows = sparse.read(PREDICTED)[0]["rows"]
    assert rows
    assert all(0.0 <= value <= 1.0 for row in rows for value in row[2:5])


def wild(said):
    return replace(said, mean=said.mean * 0 + 1.6, low=said.low * 0 - 2.0, high=said.high * 0 + 3.0)
