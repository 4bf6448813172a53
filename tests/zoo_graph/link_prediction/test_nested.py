"""Nested folds: what is said for a target, and of the past its weight is learnt from, never saw its results."""

from dataclasses import replace

import numpy as np
import pytest

from zoo_graph.errors import InputError
from zoo_graph.link_prediction.graph import ZooGraph
from zoo_graph.link_prediction.nested import Nested, Plan, fit_pair, nested, parts, plan
from zoo_graph.link_prediction.training import Settings

KIN = np.array([0, 1, 2, 3, 4, 5, 6, 3, 8, 9, 10])  # d7 is of d3's kin


def told(laid: Plan) -> Nested:
    return nested(laid, {pair: fit_pair(laid, pair) for pair in laid.pairs})


@pytest.fixture(scope="module")
def zoo(planted) -> ZooGraph:
    graph: ZooGraph = planted(n_models=14, n_datasets=11)
    # Noise enough for a multiplier between 0 and 1: at either end it would not move with what it must not see.
    return graph.with_scores(graph.scores + 2 * np.random.default_rng(9).normal(size=graph.scores.shape))


@pytest.fixture(scope="module")
def hasty(quick) -> Settings:
    return replace(quick, steps=16, learning_rate=0.03)


@pytest.fixture(scope="module")
def first(zoo, hasty) -> Nested:
    return told(plan(zoo, KIN, folds=3, settings=hasty))


def scrambled(zoo: ZooGraph, *columns: int) -> ZooGraph:
    scores = zoo.scores.copy()
    scores[:, columns] = scores[::-1, columns] * 7
    return zoo.with_scores(scores)


@pytest.mark.parametrize("fold", range(3))
def test_the_scores_of_a_target_change_nothing_in_what_is_said_for_it(zoo, hasty, first, fold) -> None:
    laid = plan(zoo, KIN, folds=3, settings=hasty)
    target = int(laid.folds[fold][0])
    second = told(replace(laid, graph=scrambled(zoo, *np.flatnonzero(KIN[target] == KIN))))
    for one, other in zip(first.of(target), second.of(target), strict=True):
        assert np.array_equal(one, other)
    elsewhere = int(laid.folds[fold - 1][0])
    for one, other in zip(first.of(elsewhere), second.of(elsewhere), strict=True):
        assert not np.array_equal(one, other)


def test_targets_whose_past_is_the_same_are_hidden_together(planted) -> None:
    laid = plan(planted(n_models=4, n_datasets=90), np.r_[0, 0, 0, 0, 0, np.arange(5, 90)])
    sizes = [len(part) for part in parts(laid)]
    assert sum(sizes) == 90
    assert sorted(sizes)[-1] == 5  # a group of kin, however large
    assert sorted(sizes)[-2] == 4  # else one in twenty
    assert all(any(set(part) <= set(fold) for fold in laid.folds) for part in map(np.ndarray.tolist, parts(laid)))


def test_every_dataset_is_in_one_fold_and_kin_are_in_the_same(zoo, hasty) -> None:
    laid = plan(zoo, KIN, folds=4, settings=hasty)
    assert sorted(np.concatenate(laid.folds).tolist()) == list(range(11))
    assert sorted(len(fold) for fold in laid.folds) == [2, 3, 3, 3]
    assert [3 in fold for fold in laid.folds] == [7 in fold for fold in laid.folds]
    assert len(laid.pairs) == 6


def test_datasets_without_results_are_dealt_too_and_do_not_count(zoo, hasty) -> None:
    scores = zoo.scores.copy()
    scores[:, 6:] = np.nan
    laid = plan(zoo.with_scores(scores), folds=3, settings=hasty)
    assert [sum(fold < 6) for fold in laid.folds] == [2, 2, 2]
    assert sorted(np.concatenate(laid.folds).tolist()) == list(range(11))
    assert np.isfinite(told(laid).said).all()


def test_few_datasets_have_their_base_alone(planted, hasty) -> None:
    zoo = planted(n_models=8, n_datasets=4)
    laid = plan(zoo, settings=hasty)
    assert laid.pairs == ()
    found = nested(laid, {})
    again = nested(plan(scrambled(zoo, 2), settings=hasty), {})
    assert np.isfinite(found.said).all()
    assert np.isfinite(found.past).all()
    assert np.array_equal(found.of(2)[0], again.of(2)[0])
    assert np.array_equal(found.of(2)[1], again.of(2)[1])


def test_folds_and_kin_that_make_no_sense_are_refused(zoo) -> None:
    with pytest.raises(InputError, match="got 2 folds"):
        plan(zoo, folds=2)
    with pytest.raises(InputError, match="kin of 3 datasets"):
        plan(zoo, np.arange(3))
