"""What a ranker gets to see: nothing of the target when cold, the stated results when warm."""

from collections.abc import Callable

import numpy as np
import pytest

from zoo_graph.backtest.cases import Case, Table, chosen, is_judgeable, mean_z, why_not_judged, with_evaluated
from zoo_graph.errors import UnknownNameError

MakeTable = Callable[..., Table]


def held(case: Case) -> list[np.ndarray]:
    """Every number that a ranker can read."""
    known = case.evidence
    return [known.scores, *known.proxies.values(), *known.past_proxies.values()]


def test_a_cold_case_does_not_depend_on_the_targets_results(table: MakeTable) -> None:
    plain = table()
    changed = plain.scores.copy()
    changed[:, 2] = np.nan
    ours, other = plain.case("d2"), table(scores=changed).case("d2")
    assert "d2" not in ours.evidence.datasets
    assert ours.evidence.measured is None
    for a, b in zip(held(ours), held(other), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(ours.truth, plain.scores[:, 2])


def test_the_targets_proxies_are_its_own_and_the_others_are_past(table: MakeTable) -> None:
    values = np.arange(40.0).reshape(8, 5)
    case = table(proxies={"logme": values}).case("d1")
    np.testing.assert_array_equal(case.evidence.proxies["logme"], values[:, 1])
    np.testing.assert_array_equal(case.evidence.past_proxies["logme"], values[:, [0, 2, 3, 4]])


def test_a_proxy_not_computed_on_the_target_is_only_past(table: MakeTable) -> None:
    values = np.arange(40.0).reshape(8, 5)
    values[:, 1] = np.nan
    case = table(proxies={"logme": values}).case("d1")
    assert (list(case.evidence.proxies), list(case.evidence.past_proxies)) == ([], ["logme"])


def test_likeness_has_the_target_last(table: MakeTable) -> None:
    values = np.arange(25.0).reshape(5, 5)
    alike = table(similarity={"language": values}).case("d1").evidence.similarity["language"]
    np.testing.assert_array_equal(alike, values[[0, 2, 3, 4, 1]][:, [0, 2, 3, 4, 1]])


def test_hidden_results_judge_but_are_not_known(table: MakeTable) -> None:
    full = table().scores
    hidden = np.full(full.shape, np.nan)
    case = table(scores=hidden, truth=full).case("d0")
    assert np.isnan(case.evidence.scores).all()
    np.testing.assert_array_equal(case.truth, full[:, 0])


def test_mean_z_by_hand() -> None:
    scores = np.array([[1.0, 5.0, 7.0], [3.0, np.nan, 7.0], [np.nan, 9.0, 7.0], [np.nan, np.nan, np.nan]])
    # columns standardise to -1, 1 and -1, 1; equal results tell nothing
    np.testing.assert_allclose(mean_z(scores), [-1.0, 1.0, 1.0, 0.0])


def test_warm_evaluates_historys_first_models(table: MakeTable) -> None:
    case = table().case("d0")
    first = np.argsort(-mean_z(case.evidence.scores))[:3]
    warm = with_evaluated(case, 3)
    assert warm.evidence.measured is not None
    assert set(np.flatnonzero(~np.isnan(warm.evidence.measured))) == set(first)
    np.testing.assert_array_equal(warm.evidence.measured[first], case.truth[first])
    assert with_evaluated(case, 0) is case


def test_a_model_that_cannot_be_evaluated_is_not(table: MakeTable) -> None:
    scores = table().scores.copy()
    scores[7, 0] = np.nan  # history's first has no result on d0
    warm = with_evaluated(table(scores=scores).case("d0"), 2)
    assert warm.evidence.measured is not None
    assert np.isnan(warm.evidence.measured[7])
    assert (~np.isnan(warm.evidence.measured)).sum() == 2


def test_more_evaluated_than_there_are_evaluates_all(table: MakeTable) -> None:
    scores = table().scores.copy()
    scores[:6, 0] = np.nan
    warm = with_evaluated(table(scores=scores).case("d0"), 5)
    assert warm.evidence.measured is not None
    assert (~np.isnan(warm.evidence.measured)).sum() == 2


def test_the_digest_moves_with_the_content_and_not_with_the_targets(table: MakeTable) -> None:
    plain = table()
    changed = plain.scores.copy()
    changed[0, 0] += 1e-9
    assert plain.digest == table(targets=("d1",)).digest
    others = [{"scores": changed}, {"truth": changed}, {"metric": "f1"}, {"proxies": {"a": changed}}]
    others += [{"proxies": {"b": changed}}, {"similarity": {"a": np.eye(5)}}, {"similarity": {"a": np.ones((5, 5))}}]
    assert len({plain.digest, *(table(**other).digest for other in others)}) == 8


def test_what_can_be_judged() -> None:
    assert is_judgeable(np.array([0.1, 0.2, np.nan]))
    assert not is_judgeable(np.array([0.1, 0.2, np.nan]), least=3)
    assert not is_judgeable(np.array([0.1, 0.3, 0.3]))
    assert not is_judgeable(np.array([np.nan]))
    assert why_not_judged(np.array([0.1, 0.2])) is None
    assert why_not_judged(np.array([0.1, 0.2]), least=3) == "comparable results of fewer than 3 models"
    assert why_not_judged(np.array([0.1, 0.3, 0.3])) == "half the models or more share the best result"


def test_targets_are_chosen_by_name_in_the_zoos_order() -> None:
    assert chosen(["a", "b", "c"], ["c", "a"]) == ("a", "c")
    assert chosen(["a"], None) == ("a",)
    with pytest.raises(UnknownNameError, match="'x'"):
        chosen(["a"], ["x"])
