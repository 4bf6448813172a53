import numpy as np
import pytest

from zoo_graph.link_prediction.results import deal, history, read_results, target_groups

NAN = np.nan


def test_a_column_has_spread_one_and_says_nothing_without_differences() -> None:
    results = read_results(np.array([[1.0, 5.0, NAN, 0.5], [3.0, 5.0, 2.0, NAN], [5.0, 5.0, NAN, NAN]]))
    assert results.informative().tolist() == [0]
    assert results.z.std() == pytest.approx(1.0)
    assert results.model.tolist() == [0, 1, 2]


def test_a_dataset_that_only_strong_models_were_tried_on_is_not_harder() -> None:
    ability = np.linspace(-2, 2, 20)
    scores = np.tile(ability[:, None], (1, 12)) + np.random.default_rng(0).normal(scale=0.1, size=(20, 12))
    scores[:10, 11] = NAN
    last = read_results(scores)
    last = last.z[last.dataset == 11]
    assert last.mean() > 0.5


def test_what_is_hidden_leaves_no_trace() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(8, 6))
    changed = scores.copy()
    changed[:, 2] = generator.normal(size=8) * 9
    one, other = (read_results(given).hide(np.array([2])) for given in (scores, changed))
    assert np.array_equal(one.z, other.z)
    gone = scores.copy()
    gone[:, 2] = NAN
    assert np.array_equal(one.z, read_results(gone).z)


def test_history_is_the_mean_shrunk_as_if_by_three_average_results() -> None:
    results = read_results(np.array([[1.0, 2.0], [3.0, NAN], [5.0, 1.0]]))
    expected = results.z[results.model == 0].sum() / 5
    assert history(results)[0] == pytest.approx(expected)


def test_every_dataset_is_dealt_once_into_nearly_equal_folds() -> None:
    folds = deal(np.arange(3, 14), 4, 0)
    assert sorted(np.concatenate(folds).tolist()) == list(range(3, 14))
    assert {len(fold) for fold in folds} == {2, 3}
    assert len(deal(np.arange(2), 5, 0)) == 2
    assert deal(np.arange(0), 5, 0) == []


def test_targets_are_hidden_one_by_one_but_in_large_zoos() -> None:
    assert [len(group) for group in target_groups(np.arange(3), 80)] == [1, 1, 1]
    assert [len(group) for group in target_groups(np.arange(10), 200)] == [4, 4, 2]
