import math

import numpy as np
import pytest

from selection.errors import InputError
from selection.proxies.capacity import with_capacity


def test_equals_the_z_score_plus_layers_over_fifty():
    scores = {"a": 1.0, "b": 3.0, "c": 8.0}
    layers = {"a": 50, "b": 12, "c": 6, "not asked": 0}
    z = (np.array([1.0, 3.0, 8.0]) - 4.0) / np.sqrt(26 / 3)
    assert list(with_capacity(scores, layers).values()) == pytest.approx([z[0] + 1.0, z[1] + 0.24, z[2] + 0.12])


def test_the_scale_of_the_score_does_not_matter():
    layers = {"a": 6, "b": 12, "c": 24}
    plain = with_capacity({"a": 1.0, "b": 2.0, "c": 4.0}, layers)
    assert with_capacity({"a": 110.0, "b": 120.0, "c": 140.0}, layers) == pytest.approx(plain)


@pytest.mark.parametrize("score", [0.0, 0.1, -7.3])
def test_of_equal_scores_the_deepest_is_best(score):
    assert with_capacity({"a": score, "b": score, "c": score}, {"a": 5, "b": 50, "c": 10}) == {
        "a": 0.1,
        "b": 1.0,
        "c": 0.2,
    }


def test_an_undefined_score_stays_undefined_and_leaves_the_others_alone():
    both = with_capacity({"a": 1.0, "b": 2.0, "c": math.nan}, {"a": 6, "b": 6, "c": 6})
    assert math.isnan(both.pop("c"))
    assert both == pytest.approx(with_capacity({"a": 1.0, "b": 2.0}, {"a": 6, "b": 6}))
    assert math.isnan(with_capacity({"a": math.nan}, {"a": 6})["a"])
    assert with_capacity({}, {}) == {}


@pytest.mark.parametrize("layers", [{}, {"a": 0}])
def test_a_candidate_without_layers_is_refused(layers):
    with pytest.raises(InputError, match="n_layers"):
        with_capacity({"a": 1.0}, layers)
