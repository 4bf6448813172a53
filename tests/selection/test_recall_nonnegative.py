import numpy as np
import pytest
from scipy.optimize import nnls

from selection.recall.nonnegative import solve


def test_a_pull_is_divided_by_its_energy_and_the_ridge_and_a_negative_one_counts_nothing() -> None:
    gram, pull = np.diag([1.0, 3.0, 1.0]), np.array([2.0, 4.0, -1.0])
    np.testing.assert_allclose(solve(gram, pull, 0.0), [2.0, 4 / 3, 0.0])
    np.testing.assert_allclose(solve(gram, pull, 1.0), [1.0, 1.0, 0.0])


@pytest.mark.parametrize("seed", range(5))
def test_it_solves_the_stacked_system(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(40, 6)) + rng.normal(size=(40, 1))
    values = design @ rng.normal(size=6) + rng.normal(size=40)
    stacked = np.vstack([design, np.sqrt(0.7) * np.eye(6)])
    literal = nnls(stacked, np.concatenate([values, np.zeros(6)]))[0]
    found = solve(design.T @ design, design.T @ values, 0.7)
    assert (found == 0).any() == (literal == 0).any()
    np.testing.assert_allclose(found, literal, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_no_step_that_is_allowed_lowers_the_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(9, 5))
    gram, pull = root.T @ root, rng.normal(size=5)
    weights = solve(gram, pull, 0.3)
    slope = (gram + 0.3 * np.eye(5)) @ weights - pull
    assert (weights >= 0).all()
    np.testing.assert_allclose(slope[weights > 0], 0, atol=1e-9)
    assert (slope[weights == 0] >= -1e-9).all()


def test_of_a_constant_and_its_negative_only_the_one_needed_counts() -> None:
    gram = np.array([[4.0, -4.0], [-4.0, 4.0]])
    np.testing.assert_allclose(solve(gram, np.array([-2.0, 2.0]), 1.0), [0.0, 0.4])
