import numpy as np
import pytest
from scipy.stats import norm

from selection.recall.shapes import Shapes, standardise_proxy

NAN = np.nan
NORMAL = norm.ppf((np.arange(101) + 0.5) / 101)
# Five of six are alike, one failed.
FAILED = np.array([-2.0, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_a_proxy_is_standardised_over_the_models_it_was_computed_for():
    values = standardise_proxy(np.array([1.0, NAN, 3.0, -np.inf]), NORMAL)
    np.testing.assert_allclose(values, [-1, NAN, 1, NAN])


def test_only_the_order_of_a_proxy_counts():
    proxy = np.random.default_rng(0).normal(size=20)
    np.testing.assert_array_equal(standardise_proxy(proxy, NORMAL), standardise_proxy(np.exp(9 * proxy), NORMAL))


def test_equal_values_stay_equal():
    values = standardise_proxy(np.array([0.0] * 9 + [1.0]), NORMAL)
    assert len(set(values[:9])) == 1
    assert values[9] > values[0]


@pytest.mark.parametrize("told", [[1.0, NAN], [2.0, 2.0, 2.0], [NAN, NAN]])
def test_a_proxy_with_one_value_or_one_level_tells_nothing(told):
    assert np.isnan(standardise_proxy(np.array(told), NORMAL)).all()


def test_where_all_good_models_are_alike_the_best_proxy_promises_little_and_the_worst_warns_of_much():
    usual = Shapes.of(np.tile(FAILED[:, None], 20)).usual()
    values = standardise_proxy(np.array([0.0, 1, 2, 3, 4, 100]), usual)
    assert values.max() < 0.8
    assert values.min() < -2


def test_without_results_the_shape_is_normal():
    np.testing.assert_allclose(Shapes.of(np.empty((4, 0))).usual(), NORMAL)


def test_the_usual_shape_is_the_mean_over_past_datasets_and_a_normal_one():
    z = np.stack([FAILED, np.linspace(-1.5, 1.5, 6)], axis=1)
    # The median of the first column is .35, of the second and of a normal 0.
    assert Shapes.of(z).usual()[50] == pytest.approx(0.35 / 3)


def test_the_shape_for_a_past_dataset_is_learnt_without_it():
    z = np.stack([FAILED, np.linspace(-1.5, 1.5, 6), -FAILED], axis=1)
    np.testing.assert_allclose(Shapes.of(z).usual(1), Shapes.of(z[:, [0, 2]]).usual())


def test_a_dataset_with_four_results_has_no_shape():
    thin = np.array([[5.0], [6.0], [7.0], [9.0], [NAN]])
    np.testing.assert_allclose(Shapes.of(thin).usual(), NORMAL)
    np.testing.assert_allclose(Shapes.of(thin).usual(0), NORMAL)
