"""What a ranking is judged by, against scipy, sklearn and sums done by hand."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr, weightedtau
from sklearn.metrics import ndcg_score

from zoo_graph.backtest.quality import METRICS, RANKS, Ranking, by_score, quality


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.random(n)
    return truth + generator.standard_normal(n), truth


@pytest.mark.parametrize("ties", [False, True])
def test_agreement_equals_scipy(ties: bool) -> None:
    score, truth = drawn(40)
    if ties:
        score, truth = np.round(score, 1), np.round(truth, 1)
    found = quality(by_score(score), truth)
    assert found["pearson"] == pytest.approx(pearsonr(score, truth).statistic)
    assert found["spearman"] == pytest.approx(spearmanr(score, truth).statistic)
    assert found["weighted_tau"] == pytest.approx(weightedtau(score, truth).statistic)


def test_ndcg_equals_sklearn_on_scaled_scores() -> None:
    score, truth = drawn(25)
    gains = (truth - truth.min()) / np.ptp(truth)
    assert quality(by_score(score), truth)["ndcg10"] == pytest.approx(ndcg_score([gains], [score], k=10))


def test_regret_by_hand() -> None:
    truth = np.array([0.9, 0.5, 0.7, 0.6, 0.1])  # best .9, median .6
    found = quality(Ranking(np.array([3, 2, 1, 0, 4])), truth)
    assert [found[f"regret{k}"] for k in RANKS] == pytest.approx([1.0, 2 / 3, 0.0, 0.0])
    assert [found[f"hit{k}"] for k in RANKS] == [0.0, 0.0, 1.0, 1.0]


def test_each_number_of_tries_is_judged_by_its_own_list() -> None:
    truth = np.array([0.9, 0.5, 0.7, 0.6, 0.1])
    order = np.array([3, 2, 1, 0, 4])
    found = quality(Ranking(order, lists={3: np.array([4, 3, 0, 1, 2]), 5: order[::-1]}), truth)
    plain = quality(Ranking(order), truth)
    assert [found[f"regret{k}"] for k in RANKS] == pytest.approx([1.0, 0.0, 0.0, 0.0])
    assert (found["hit1"], found["hit3"], plain["hit3"]) == (0.0, 1.0, 0.0)
    assert found["ndcg10"] == plain["ndcg10"]


def test_a_model_without_a_true_score_is_not_tried() -> None:
    truth = np.array([np.nan, 0.9, 0.5, 0.6])
    found = quality(by_score(np.array([9.0, 3.0, 2.0, 1.0])), truth)
    assert found["regret1"] == 0.0
    assert found["pearson"] == pytest.approx(pearsonr([3, 2, 1], [0.9, 0.5, 0.6]).statistic)


def test_models_a_ranker_says_nothing_of_come_last() -> None:
    truth = np.array([0.9, 0.5, 0.6, 0.1])
    found = quality(by_score(np.array([np.nan, 1.0, 2.0, 3.0])), truth)
    assert found["regret3"] == pytest.approx(0.3 / 0.35)
    assert found["hit5"] == 1.0


def test_any_of_two_equal_best_is_a_hit() -> None:
    assert quality(by_score(np.array([1.0, 2.0, 3.0])), np.array([0.8, 0.1, 0.8]))["hit1"] == 1.0


def test_what_was_shown_counts_as_tried_and_in_no_correlation() -> None:
    truth = np.array([0.7, 0.9, 0.5, 0.3, 0.1])
    shown = np.array([True, False, False, False, False])
    found = quality(Ranking(np.array([0, 2, 1, 3, 4]), np.array([99.0, 3.0, 4.0, 2.0, 1.0])), truth, shown)
    assert found["regret1"] == pytest.approx((0.9 - 0.7) / (0.9 - 0.5))  # the next pick, .5, is worse than the .7 shown
    assert found["regret3"] == 0.0
    assert found["pearson"] == pytest.approx(pearsonr([3, 4, 2, 1], truth[1:]).statistic)


def test_no_preference_is_judged_by_its_expectation_over_all_orders() -> None:
    _, truth = drawn(12)
    shown = np.arange(12) == int(np.argsort(truth)[6])
    generator = np.random.default_rng(1)
    orders = [generator.permutation(12) for _ in range(4000)]
    drawn_at_random = [quality(Ranking(order), truth, shown) for order in orders]
    exact = quality(Ranking(None), truth, shown)
    for name in ("ndcg10", *(f"hit{k}" for k in RANKS), *(f"regret{k}" for k in RANKS)):
        assert exact[name] == pytest.approx(np.mean([one[name] for one in drawn_at_random]), abs=0.03)
    assert exact["pearson"] == 0.0


def test_a_target_on_which_all_are_equal_has_no_regret_and_no_correlation() -> None:
    found = quality(by_score(np.array([1.0, 2.0, 3.0])), np.array([0.5, 0.5, 0.5]))
    assert np.isnan([found["regret1"], found["pearson"], found["ndcg10"]]).all()


def test_a_best_that_is_the_median_has_no_regret() -> None:
    assert np.isnan(quality(by_score(np.array([1.0, 2, 3])), np.array([0.5, 0.5, 0.1]))["regret1"])


def test_nothing_to_judge_is_nan_throughout() -> None:
    found = quality(by_score(np.array([1.0, 2.0])), np.array([np.nan, np.nan]))
    assert tuple(found) == METRICS
    assert np.isnan(list(found.values())).all()


def test_a_constant_score_states_no_preference() -> None:
    truth = np.array([0.1, 0.9])
    constant, none = quality(by_score(np.array([1.0, 1.0])), truth), quality(Ranking(None), truth)
    assert constant["regret1"] == none["regret1"] == pytest.approx(1.0)


def test_coverage_counts_judged_models_with_an_interval() -> None:
    truth = np.array([0.5, 0.6, 0.7, np.nan, 0.9])
    ranking = Ranking(
        np.arange(5), None, np.array([0.5, 0.7, 0.6, 0.0, np.nan]), np.array([0.6, 0.8, 0.7, 1.0, np.nan])
    )
    assert quality(ranking, truth)["coverage90"] == pytest.approx(2 / 3)


def test_ties_are_honest_where_the_first_of_two_wins_half_the_time() -> None:
    truth = np.array([0.9, 0.1, 0.5, 0.5, 0.7])
    tie = np.array([1, 1, 2, 2, -1])
    assert quality(Ranking(np.arange(5), tie=tie), truth)["tie_win_rate"] == pytest.approx((1 + 0.5) / 2)
    assert np.isnan(quality(Ranking(np.arange(5), tie=np.full(5, -1)), truth)["tie_win_rate"])


def test_order_and_score_may_differ() -> None:
    truth = np.array([0.1, 0.5, 0.9])
    found = quality(Ranking(np.array([2, 0, 1]), np.array([3.0, 2.0, 1.0])), truth)
    assert (found["regret1"], found["pearson"]) == (0.0, pytest.approx(-1.0))
