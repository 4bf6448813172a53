"""2PS's clusters and the power law."""

import math
from itertools import pairwise

import numpy as np
import pytest

from selection.other_trends import clustered_final, learn_clusters, power_law_final
from selection.trends import Curve


def runs(finals: list[tuple[float, float]]) -> list[Curve]:
    return [Curve("a", f"d{place}", (0.5, 1.0), (half, final), final) for place, (half, final) in enumerate(finals)]


def test_clusters_are_of_scores_at_one_stage_and_predict_their_mean_end() -> None:
    clusters = learn_clusters(runs([(0.1, 0.3), (0.12, 0.5), (0.8, 0.9), (0.82, 0.7)]), (0.5,), n_clusters=2)
    assert clusters["a"][0] == (pytest.approx((0.11, 0.4)), pytest.approx((0.81, 0.8)))
    assert clustered_final(clusters, "a", 0, 0.2) == pytest.approx(0.4)
    assert clustered_final(clusters, "a", 0, 0.7) == pytest.approx(0.8)


def test_fewer_past_runs_than_clusters_are_a_cluster_each() -> None:
    assert len(learn_clusters(runs([(0.1, 0.2), (0.5, 0.6)]), (0.5,))["a"][0]) == 2


def test_a_model_without_past_has_no_trend() -> None:
    assert math.isnan(clustered_final({}, "new", 0, 0.5))


def test_clusters_have_the_least_sum_of_squares() -> None:
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random(9))
    found = learn_clusters(runs([(score, score) for score in scores]), (0.5,), n_clusters=3)["a"][0]

    def spread(low: int, high: int) -> float:
        return float(((scores[low:high] - scores[low:high].mean()) ** 2).sum())

    least = min((spread(0, i) + spread(i, j) + spread(j, 9), i, j) for i in range(1, 8) for j in range(i + 1, 9))
    ends = (0, *least[1:], 9)
    assert [centre for centre, _ in found] == pytest.approx([scores[a:b].mean() for a, b in pairwise(ends)])


def test_a_power_law_is_followed_to_its_end() -> None:
    shares = (0.1, 0.2, 0.4, 0.6)
    assert power_law_final(shares, [0.9 - 0.05 * share**-0.7 for share in shares]) == pytest.approx(0.85, abs=0.005)


def test_too_short_a_curve_ends_where_it_stands() -> None:
    assert power_law_final((0.1, 0.2), (0.3, 0.4)) == 0.4
    assert math.isnan(power_law_final((), ()))
