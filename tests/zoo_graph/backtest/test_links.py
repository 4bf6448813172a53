"""Link prediction in a backtest: trained once, resumable, and put on evidence by name."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from selection.recall import Evidence
from selection.records import Candidate
from zoo_graph.backtest.links import Links, kin_of, learn_links
from zoo_graph.link_evidence import NAME
from zoo_graph.link_prediction import nested
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.nested import fit_pair, plan
from zoo_graph.link_prediction.training import Settings

QUICK = Settings(steps=4, checkpoints=2, episodes=2, width=8)


@pytest.fixture
def graph(monkeypatch) -> ZooGraph:
    monkeypatch.setattr(nested, "FOLDS", 3)
    monkeypatch.setattr(nested, "is_history", lambda _: False)
    scores = np.arange(8)[:, None] / 8 + 0.3 * np.random.default_rng(0).normal(size=(8, 6))
    return ZooGraph(tuple(f"m{m}" for m in range(8)), tuple(f"d{d}" for d in range(6)), scores)


def learnt(graph: ZooGraph, folder: Path, **options: object) -> Links:
    return learn_links(graph, np.arange(6), folder, settings=QUICK, **options)  # type: ignore[arg-type]


def test_kin_are_joined_along_chains() -> None:
    assert kin_of("abcdef", [("a", "b"), ("d", "c"), ("b", "c"), ("e",)]).tolist() == [0, 0, 0, 0, 4, 5]


def test_training_goes_on_where_it_was_interrupted(graph, tmp_path: Path) -> None:
    whole = learnt(graph, tmp_path / "whole")
    told: list[tuple[int, int]] = []

    def stop_after_two(done: int, of: int) -> None:
        told.append((done, of))
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt(graph, tmp_path / "cut", track=stop_after_two)
    resumed = learnt(graph, tmp_path / "cut", track=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert np.array_equal(resumed.nested.said, whole.nested.said)
    assert np.array_equal(resumed.nested.past, whole.nested.past)


def test_what_was_learnt_is_read_again_and_what_changed_is_learnt_anew(graph, tmp_path: Path) -> None:
    told: list[int] = []
    first = learnt(graph, tmp_path)
    again = learnt(graph, tmp_path, track=lambda done, of: told.append(done))
    assert not told
    assert np.array_equal(first.nested.past, again.nested.past)
    other = learnt(graph.with_scores(graph.scores**2), tmp_path, track=lambda done, of: told.append(done))
    assert told == [1, 2, 3]
    assert not np.array_equal(first.nested.said, other.nested.said)
    assert len(list(tmp_path.iterdir())) == 1
    assert [path.name for path in next(tmp_path.iterdir()).iterdir()] == ["said.safetensors"]


def test_what_workers_are_given_survives_pickling(graph, tmp_path: Path) -> None:
    laid = pickle.loads(pickle.dumps(plan(graph, settings=QUICK)))
    links = pickle.loads(pickle.dumps(learnt(graph, tmp_path)))
    assert laid.pairs == ((0, 1), (0, 2), (1, 2))
    assert np.array_equal(
        nested.nested(laid, {pair: fit_pair(laid, pair) for pair in laid.pairs}).said, links.nested.said
    )


def test_evidence_holds_what_is_said_of_its_target_and_of_its_past(graph, tmp_path: Path) -> None:
    links = learnt(graph, tmp_path)
    candidates = (Candidate("m5"), Candidate("stranger"), Candidate("m0"))
    plain = Evidence(candidates, ("d4", "d1", "unknown"), np.zeros((3, 3)), target="d2")
    found = links.onto(plain, "d2")
    said, past = links.nested.of(2)
    np.testing.assert_array_equal(found.proxies[NAME], [said[5], np.nan, said[0]])
    np.testing.assert_array_equal(
        found.past_proxies[NAME], [[past[5, 4], past[5, 1], np.nan], [np.nan] * 3, [past[0, 4], past[0, 1], np.nan]]
    )


def test_what_is_only_history_is_no_evidence(graph, tmp_path: Path, monkeypatch) -> None:
    plain = Evidence((Candidate("m5"), Candidate("m0")), ("d4", "d1"), np.zeros((2, 2)), target="d2")
    monkeypatch.setattr(nested, "is_history", lambda _: True)
    assert learnt(graph, tmp_path).onto(plain, "d2") is plain
