"""The rankers set side by side: each sees evidence only, and says nothing where it has nothing to say."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from selection.recall import Evidence, recall
from selection.records import Candidate
from zoo_graph.backtest.cases import Table, mean_z
from zoo_graph.backtest.rankers import (
    BASELINES,
    RANKERS,
    Given,
    metadata_features,
    metadata_ridge,
    n_parameters,
    ours,
    proxy_alone,
    with_proxies,
)

MakeTable = Callable[..., Table]


@pytest.fixture
def evidence(table: MakeTable) -> Evidence:
    return table().case("d0").evidence


@pytest.mark.parametrize("name", list(RANKERS))
def test_relabelling_the_models_relabels_the_scores(name: str, evidence: Evidence) -> None:
    shuffled = np.random.default_rng(3).permutation(8)
    moved = replace(
        evidence, candidates=tuple(evidence.candidates[m] for m in shuffled), scores=evidence.scores[shuffled]
    )
    plain, relabelled = RANKERS[name](evidence, 0), RANKERS[name](moved, 0)
    assert plain is not None
    assert relabelled is not None
    if plain.score is not None and relabelled.score is not None:
        np.testing.assert_allclose(relabelled.score, plain.score[shuffled])


def test_history_is_the_mean_z(evidence: Evidence) -> None:
    ranking = BASELINES["history"](evidence, 0)
    assert ranking is not None
    assert ranking.order is not None
    np.testing.assert_array_equal(ranking.score, mean_z(evidence.scores))
    assert ranking.order[0] == mean_z(evidence.scores).argmax()


def test_random_states_no_preference(evidence: Evidence) -> None:
    ranking = BASELINES["random"](evidence, 0)
    assert ranking is not None
    assert ranking.order is None


def test_larger_models_come_first_and_unknown_sizes_last(evidence: Evidence) -> None:
    sizes = (None, 5, 700, 30)
    known = Evidence(tuple(Candidate(f"m{m}", n_parameters=n) for m, n in enumerate(sizes)), (), np.empty((4, 0)))
    ranking = n_parameters(known, 0)
    assert ranking is not None
    assert ranking.order is not None
    assert list(ranking.order) == [2, 3, 1, 0]
    unknown = replace(known, candidates=tuple(Candidate(f"m{m}") for m in range(4)))
    assert n_parameters(unknown, 0) is None


def test_metadata_ridge_finds_what_family_and_size_tell() -> None:
    generator = np.random.default_rng(0)
    family = np.arange(40) % 2
    size = generator.integers(6, 10, 40)
    candidates = tuple(
        Candidate(f"acme/x{m}", n_parameters=int(10.0**s), family="good" if f else "bad")
        for m, (f, s) in enumerate(zip(family, size, strict=True))
    )
    scores = (2.0 * family + size)[:, None] + 0.01 * generator.standard_normal((40, 3))
    scores[:4] = np.nan  # models without results are told by their metadata
    ranking = metadata_ridge(Evidence(candidates, ("a", "b", "c"), scores), 0)
    assert ranking is not None
    assert ranking.score is not None
    assert np.corrcoef(ranking.score[:4], (2.0 * family + size)[:4])[0, 1] > 0.99


def test_metadata_ridge_is_silent_without_results_or_without_metadata() -> None:
    bare = tuple(Candidate(f"{'abcd'[m]}") for m in range(4))
    assert metadata_ridge(Evidence(bare, ("x",), np.full((4, 1), np.nan)), 0) is None
    assert metadata_ridge(Evidence(bare, ("x",), np.arange(4.0)[:, None]), 0) is None


def test_only_words_that_two_measured_models_share_are_features() -> None:
    names = ("acme/bert-base", "acme/bert-large", "other/gpt", "other/gpt")
    has = np.array([True, True, True, False])
    features = metadata_features([Candidate(name) for name in names], has)
    np.testing.assert_array_equal(features, np.array([[1, 1], [1, 1], [0, 0], [0, 0]], dtype=float))  # acme, bert


def test_a_proxy_alone_ranks_by_it_and_is_silent_where_not_computed(table: MakeTable) -> None:
    values = np.full((8, 5), np.nan)
    values[:3, 0] = [0.5, np.inf, 0.7]
    rankers = with_proxies(["logme"])
    known = table(proxies={"logme": values})
    ranking = rankers["logme"](known.case("d0").evidence, 0)
    assert ranking is not None
    assert ranking.order is not None
    assert list(ranking.order[:2]) == [2, 0]
    assert rankers["logme"](known.case("d1").evidence, 0) is None
    assert proxy_alone("leep", known.case("d0").evidence, 0) is None


def test_given_predictions_rank_their_target_only(table: MakeTable) -> None:
    given = Given({"d0": {"acme/m1": 2.0, "acme/m5": 3.0}})
    ranking = given(table().case("d0").evidence, 0)
    assert ranking is not None
    assert ranking.order is not None
    assert list(ranking.order[:2]) == [5, 1]
    assert given(table().case("d1").evidence, 0) is None


def test_ours_is_what_recall_tells_its_user(evidence: Evidence) -> None:
    ranking = ours(evidence, 0)
    assert ranking.score is not None
    assert ranking.low is not None
    assert ranking.tie is not None
    assert list(ranking.lists) == [1, 3, 5, 10]
    for k, listed in ranking.lists.items():
        assert [evidence.candidates[m].model for m in listed[:k]] == [pick.model for pick in recall(evidence, k)]
    for pick in recall(evidence, 8):
        m = evidence.candidates.index(pick.candidate)
        assert (ranking.score[m], ranking.low[m], ranking.tie[m]) == (pick.score, pick.low, pick.tie)
