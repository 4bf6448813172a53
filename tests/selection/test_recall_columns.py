import numpy as np

from selection.recall.columns import recentre, standardise

NAN = np.nan


def test_columns_are_standardised_over_the_models_measured_there():
    columns = standardise(np.array([[1.0, 5.0], [3.0, NAN], [NAN, 9.0]]))
    np.testing.assert_allclose(columns.z, [[-1, -1], [1, NAN], [NAN, 1]])
    np.testing.assert_allclose(columns.offset, [2, 7])
    np.testing.assert_allclose(columns.scale, [1, 2])


def test_columns_that_tell_nothing_become_nan():
    columns = standardise(np.array([[0.7, 0.5, NAN, 0.1], [0.7, NAN, NAN, 0.2]]))
    assert columns.usable.tolist() == [False, False, False, True]
    assert np.isnan(columns.z[:, :3]).all()


def test_equal_results_with_rounding_noise_do_not_become_a_ranking():
    assert not standardise(np.array([[0.1 + 0.2], [0.3]])).usable[0]


def test_a_dataset_only_strong_models_were_tried_on_counts_for_them():
    columns = standardise(np.array([[0.0], [2.0], [NAN]]))
    moved = recentre(columns, np.array([1.0, 1.4, -5.0]))
    np.testing.assert_allclose(moved.z[:2, 0], [0.2, 2.2])
    # An average model (z = 0) is below both: the score at z is unchanged for the models measured.
    np.testing.assert_allclose(moved.offset + moved.scale * moved.z[:2, 0], [0.0, 2.0])
