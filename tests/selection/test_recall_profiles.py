import numpy as np
import pytest

from selection.recall.profiles import profile

NAN = np.nan
COLUMN = np.array([0.0, 1.0, 2.0, 5.0])


def centred(*values: float) -> np.ndarray:
    return np.array(values) - np.mean(values)


def test_each_term_of_four_results() -> None:
    found = profile(COLUMN[:, None])
    z, ahead, behind, gain = found.terms[:, :, 0]
    np.testing.assert_allclose(z, (COLUMN - 2) / np.sqrt(3.5))
    np.testing.assert_allclose(ahead, centred(*-np.log([7 / 8, 5 / 8, 3 / 8, 1 / 8])))
    np.testing.assert_allclose(behind, centred(*np.array([1 / 8, 3 / 8, 5 / 8, 7 / 8]) ** 4))
    np.testing.assert_allclose(gain, centred(*np.exp(np.array([-1.5, -0.5, 0.5, 3.5]) / 3.5 - 1)))


def test_a_level_is_in_distances_from_the_median_to_the_95th_percentile() -> None:
    high = 2 + 0.85 * 3 - 1.5  # linear between the third and the fourth of four
    np.testing.assert_allclose(profile(COLUMN[:, None]).level[:, 0], np.array([-1.5, -0.5, 0.5, 3.5]) / high)


def test_levels_are_cut_at_three() -> None:
    column = np.concatenate([[-1000.0], np.arange(98.0), [1000.0]])
    level = profile(column[:, None]).level[:, 0]
    assert (level[0], level[-1]) == (-3, 3)
    assert np.abs(level[1:-1]).max() < 1.2


def test_equal_results_share_their_rank() -> None:
    found = profile(np.array([[1.0], [1.0], [0.0]]))
    np.testing.assert_allclose(found.terms[1, :, 0], centred(-np.log(1 / 3), -np.log(1 / 3), -np.log(2.5 / 3)))


def test_a_best_that_many_share_with_the_median_is_no_division_by_nothing() -> None:
    found = profile(np.array([[1.0], [1.0], [1.0], [0.0]]))
    assert np.isfinite(found.terms).all()
    np.testing.assert_array_equal(found.level[:, 0], [0, 0, 0, -3])


@pytest.mark.parametrize("column", [[0.1, 0.2, NAN, NAN], [0.5] * 4, [NAN] * 4, [1e6, 1e6, 1e6, 1e6 + 1e-6]])
def test_a_dataset_that_tells_nothing_is_not_seen(column: list[float]) -> None:
    found = profile(np.array([column, COLUMN]).T)
    assert found.seen.tolist() == [[False, True]] * 4
    assert not found.terms[:, :, 0].any()
    assert np.isnan(found.level[:, 0]).all()


def test_columns_are_centred_and_zero_where_not_seen() -> None:
    rng = np.random.default_rng(0)
    scores = np.where(rng.random((30, 7)) < 0.4, NAN, rng.normal(size=(30, 7)))
    found = profile(scores)
    np.testing.assert_array_equal(found.seen, ~np.isnan(scores))
    np.testing.assert_allclose(found.terms.sum(axis=1), 0, atol=1e-9)
    assert not found.terms[:, ~found.seen].any()
    np.testing.assert_array_equal(np.isnan(found.level), ~found.seen)


def test_a_datasets_unit_and_level_are_of_no_account() -> None:
    scores = np.random.default_rng(1).normal(size=(20, 5))
    ours, theirs = profile(scores), profile(scores * [1, 10, 100, 1e-3, 5] + [0, 7, -3, 0, 1])
    np.testing.assert_allclose(ours.terms, theirs.terms, atol=1e-9)
    np.testing.assert_allclose(ours.level, theirs.level, atol=1e-9)


def test_a_column_is_taken_for_itself() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(12, 4))
    changed = scores.copy()
    changed[:, 1] = rng.normal(size=12)
    ours, theirs = profile(scores), profile(changed)
    assert (ours.terms[:, :, 1] != theirs.terms[:, :, 1]).any()
    np.testing.assert_array_equal(np.delete(ours.terms, 1, axis=2), np.delete(theirs.terms, 1, axis=2))
    np.testing.assert_array_equal(np.delete(ours.level, 1, axis=1), np.delete(theirs.level, 1, axis=1))


def test_a_part_is_of_the_models_and_datasets_named_in_their_order() -> None:
    whole = profile(np.random.default_rng(3).normal(size=(6, 5)))
    rows, columns = np.array([4, 0]), np.array([3, 1, 2])
    part = whole.of(rows, columns)
    np.testing.assert_array_equal(part.terms, whole.terms[:, [[4], [0]], [3, 1, 2]])
    np.testing.assert_array_equal(part.level, whole.level[[[4], [0]], [3, 1, 2]])
    np.testing.assert_array_equal(part.seen, whole.seen[[[4], [0]], [3, 1, 2]])


def test_no_models_or_no_datasets_make_an_empty_profile() -> None:
    assert profile(np.empty((5, 0))).terms.shape == (4, 5, 0)
    assert profile(np.empty((0, 3))).seen.shape == (0, 3)
