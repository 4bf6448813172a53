import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.leep import empirical_log_likelihood, leep
from selection.proxies.moments import Moments


def literal(theta, labels):
    """Nguyen et al. 2020, equations 1 and 2, cell by cell."""
    n, n_source = theta.shape
    joint = np.zeros((labels.max() + 1, n_source))
    for i in range(n):
        for z in range(n_source):
            joint[labels[i], z] += theta[i, z] / n
    total = 0.0
    for i in range(n):
        likelihood = sum(joint[labels[i], z] / joint[:, z].sum() * theta[i, z] for z in range(n_source))
        total += np.log(likelihood)
    return total / n


def test_equals_the_formula_cell_by_cell(sample):
    moments = Moments(sample.features, sample.labels, source_probabilities=sample.probabilities)
    assert leep(moments) == pytest.approx(literal(sample.probabilities, sample.labels), abs=1e-12)


def test_a_source_head_that_names_the_class_scores_zero():
    moments = Moments([[0.0], [1.0], [2.0]], [4, 9, 4], source_probabilities=[[1.0, 0, 0], [0, 0, 1.0], [1.0, 0, 0]])
    assert leep(moments) == 0.0


def test_a_source_head_that_says_nothing_scores_minus_the_entropy_of_the_labels():
    moments = Moments([[0.0], [1.0], [2.0], [3.0]], [0, 1, 1, 1], source_probabilities=np.full((4, 3), 1 / 3))
    assert leep(moments) == pytest.approx(0.25 * np.log(0.25) + 0.75 * np.log(0.75), abs=1e-12)


def test_single_precision_probabilities_agree_with_double(sample):
    moments = Moments(sample.features, sample.labels)
    single = empirical_log_likelihood(moments, sample.probabilities.astype(np.float32))
    assert single == pytest.approx(empirical_log_likelihood(moments, sample.probabilities), abs=1e-6)


def test_order_of_rows_and_of_source_classes_does_not_matter(sample):
    generator = np.random.default_rng(0)
    rows, columns = generator.permutation(len(sample.labels)), generator.permutation(7)
    shuffled = sample.probabilities[rows][:, columns]
    moments = Moments(sample.features[rows], sample.labels[rows], source_probabilities=shuffled)
    assert leep(moments) == pytest.approx(literal(sample.probabilities, sample.labels), abs=1e-12)


@pytest.mark.parametrize("probabilities", [None, np.ones((3, 1))])
def test_is_undefined_without_a_source_head_of_two_classes(probabilities):
    with pytest.raises(InputError, match="source head"):
        leep(Moments([[0.0], [1.0], [2.0]], [0, 1, 1], source_probabilities=probabilities))
