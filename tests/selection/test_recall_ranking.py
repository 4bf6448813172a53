"""Who is ranked before whom, who is tied, and what a score may be."""

from dataclasses import replace
from string import ascii_lowercase

import numpy as np
import pytest

from selection.errors import InputError
from selection.recall import Constraints, Evidence, recall
from selection.recall.boards import choose_lists
from selection.recall.posterior import learn_posterior
from selection.recall.ranking import bounded, rank
from selection.recall.reasons import groups_of
from selection.records import Candidate, Recall

NAN = np.nan


def zoo(scores: np.ndarray, measured: np.ndarray | None = None, names: str = "abcdefgh") -> Evidence:
    candidates = tuple(Candidate(name) for name in names[: len(scores)])
    return Evidence(candidates, tuple(f"d{d}" for d in range(scores.shape[1])), scores, measured=measured)


def order(result: Recall) -> str:
    return "".join(pick.model for pick in result.picks)


def close(seed: int) -> np.ndarray:
    """Eight models, each a little better than the one before it, on six datasets."""
    return 0.5 + 0.01 * np.arange(8)[:, None] + 0.03 * np.random.default_rng(seed).normal(size=(8, 6))


def test_models_at_the_ceiling_are_still_ranked_by_what_is_believed_of_them() -> None:
    level = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    scores = 0.05 * np.arange(6)[:, None] + level + 0.002 * np.random.default_rng(0).normal(size=(6, 8))
    scores = np.clip(scores, 0, 1)
    easy = np.array([0.95, *[NAN] * 5])  # of the worst
    result = recall(zoo(scores, easy), 6)
    assert [pick.score for pick in result.picks[:2]] == [1.0, 1.0]
    assert order(result) == "fedcba"
    assert all(0 <= pick.low <= pick.high <= 1 for pick in result.picks)


def test_a_result_on_the_target_outside_of_fractions_leaves_scores_uncut() -> None:
    result = recall(zoo(close(0), np.array([-0.4, *[NAN] * 7])), 8)
    assert min(pick.low for pick in result.picks) < 0


def test_a_loss_below_zero_is_not_cut() -> None:
    evidence = zoo(close(0) - 1)
    posterior = learn_posterior(evidence, 0.9)
    assert bounded(posterior, evidence) is posterior


@pytest.mark.parametrize("seed", range(4))
def test_a_tie_is_a_chance_of_six_in_ten_at_most(seed: int) -> None:
    evidence = zoo(close(seed))
    result = recall(evidence, 8, seed=1)
    posterior = learn_posterior(evidence, 0.9)
    ranked = np.argsort(-posterior.prediction.mean).tolist()
    draws = posterior.draws(1, np.arange(8))
    beats = (draws[:, ranked[0], None] > draws[:, ranked]).mean(axis=0)
    ties = {ord(pick.model) - ord("a"): pick.tie for pick in result.picks}
    first = [ties[index] == 1 for index in ranked]
    assert first[1:] == (np.minimum.accumulate(beats[1:] <= 0.6)).tolist()
    assert [ties[index] for index in ranked] == groups_of(draws, ranked, 0.6)


def kinds(seed: int) -> Evidence:
    """24 models of three kinds on 16 datasets, each of which one kind does well on."""
    rng = np.random.default_rng(seed)
    at_home = np.arange(24)[:, None] % 3 == np.arange(16) % 3
    return zoo(0.5 + 0.2 * at_home * rng.random((24, 1)) + 0.03 * rng.normal(size=(24, 16)), names=ascii_lowercase)


def test_ranking_all_makes_for_each_number_of_picks_the_list_that_recall_makes() -> None:
    evidence = kinds(3)
    found = rank(evidence, (1, 3, 5, 10))
    assert (found.lists[5] != found.order).any()  # else this would show little
    for k, listed in found.lists.items():
        assert sorted(listed) == list(range(24))
        assert order(recall(evidence, k)) == "".join(ascii_lowercase[m] for m in listed[:k])
    for pick in recall(evidence, 24):
        m = ascii_lowercase.index(pick.model)
        assert (found.score[m], found.low[m], found.high[m], found.tie[m]) == (
            pick.score, pick.low, pick.high, pick.tie,
        )  # fmt: skip


def test_with_a_result_on_the_target_every_list_is_as_expected() -> None:
    cold = kinds(3)
    found = rank(replace(cold, measured=np.where(np.arange(24) == 4, 0.7, NAN)), (3, 5))
    assert all((listed == found.order).all() for listed in found.lists.values())
    assert order(recall(replace(cold, measured=np.where(np.arange(24) == 4, 0.7, NAN)), 24)) == "".join(
        ascii_lowercase[m] for m in found.order
    )


def test_nothing_to_rank_by_is_refused_by_both() -> None:
    nothing = zoo(np.full((3, 2), NAN))
    for ask in (lambda: recall(nothing, 1), lambda: rank(nothing, (1,))):
        with pytest.raises(InputError, match="something to rank by"):
            ask()


def specialists(measured: np.ndarray | None = None, **more: object) -> Evidence:
    """Models a to c each win on a third of 18 datasets, d to f are second everywhere, g and up are poor."""
    rng = np.random.default_rng(0)
    kind = np.arange(18) % 3
    scores = 0.2 * rng.normal(size=(20, 18))
    for m in range(3):
        scores[m] += np.where(kind == m, 3.0, -1.0)
    scores[3:6] += 1.0
    candidates = tuple(Candidate("abcdefghijklmnopqrst"[m], n_parameters=m + 1) for m in range(20))
    return Evidence(candidates, tuple(f"d{d:02d}" for d in range(18)), scores, measured=measured, **more)


def expected(evidence: Evidence, level: float = 0.9) -> str:
    mean = learn_posterior(evidence, level).prediction.mean
    return "".join(evidence.candidates[index].model for index in np.argsort(-mean, kind="stable"))


def test_on_a_cold_target_the_picks_are_the_list_that_the_zoos_past_chose() -> None:
    evidence = specialists()
    posterior = learn_posterior(evidence, 0.9)
    names = [candidate.model for candidate in evidence.candidates]
    chosen = choose_lists(evidence, posterior, [names.index(model) for model in expected(evidence)], [5])[5]
    assert chosen.policy == "cover"
    found = order(recall(evidence, 5))
    assert found == "".join(names[index] for index in chosen.order[:5])
    assert set(found) >= set("abc")
    assert set(expected(evidence)[:4]) == set("def" + expected(evidence)[3])


def test_picks_that_cover_have_ties_numbered_by_what_is_expected() -> None:
    result = recall(specialists(), 5)
    by_score = sorted(result.picks, key=lambda pick: -pick.score)
    assert [pick.rank for pick in result.picks] == [1, 2, 3, 4, 5]
    assert [pick.model for pick in by_score] != [pick.model for pick in result.picks]
    assert [pick.tie for pick in by_score] == sorted(pick.tie for pick in result.picks)
    assert by_score[0].tie == 1


def test_with_a_result_on_the_target_the_picks_are_as_expected_and_no_list_is_told_of() -> None:
    for value in (0.0, 3.0):
        evidence = specialists(np.where(np.arange(20) == 1, value, NAN))
        result = recall(evidence, 5)
        assert order(result) == expected(evidence)[:5]
        assert not any("history's regret" in note or "history alone" in note for note in result.notes)


def test_results_on_the_target_of_nobody_leave_it_cold() -> None:
    cold, nobody = specialists(), specialists(np.full(20, NAN))
    assert recall(cold, 5) == recall(nobody, 5)


def test_lists_are_made_among_the_admitted_only() -> None:
    evidence = specialists()
    plain = order(recall(evidence, 5))
    barred = plain[1]
    result = recall(evidence, 5, constraints=Constraints(exclude=(barred,)))
    assert barred not in order(result)
    assert len(set(order(result))) == 5
    assert "a" in plain
    assert order(recall(evidence, 20, constraints=Constraints(max_parameters=1))) == "a"
    small = recall(evidence, 9, constraints=Constraints(max_parameters=6))
    assert sorted(order(small)) == list("abcdef")


def test_models_that_come_last_are_not_among_those_that_cover() -> None:
    evidence = specialists()
    plain = order(recall(evidence, 5))
    last = {plain[0]: "torn", plain[1]: "too large"}
    result = recall(evidence, 20, last=last)
    assert sorted(order(result)) == list("abcdefghijklmnopqrst")
    assert set(order(result)[-2:]) == set(plain[:2])
    for pick in result.picks[-2:]:
        assert pick.reasons[0] == last[pick.model]
        assert pick.tie > max(other.tie for other in result.picks[:-2])
    without = recall(evidence, 5, constraints=Constraints(exclude=tuple(plain[:2])))
    assert order(recall(evidence, 5, last=last)) == order(without)


def test_where_all_come_last_they_do_so_as_expected() -> None:
    evidence = specialists()
    result = recall(evidence, 20, last=dict.fromkeys("abcdefghijklmnopqrst", "torn"))
    assert order(result) == expected(evidence)
    assert result.picks[0].tie == 1
    assert not any("history's regret" in note for note in result.notes)


def test_datasets_in_another_order_give_the_same_picks() -> None:
    evidence = specialists()
    shuffled = np.random.default_rng(0).permutation(18)
    moved = Evidence(evidence.candidates, tuple(evidence.datasets[d] for d in shuffled), evidence.scores[:, shuffled])
    for k in (1, 3, 5, 20):
        assert order(recall(evidence, k)) == order(recall(moved, k))


def test_more_candidates_than_lists_are_made_of_are_all_ranked() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1500, 1)) + 0.3 * rng.normal(size=(1500, 5))
    candidates = tuple(Candidate(f"m{m:04d}") for m in range(1500))
    evidence = Evidence(candidates, tuple("vwxyz"), scores)
    mean = learn_posterior(evidence, 0.9).prediction.mean
    found = [pick.model for pick in recall(evidence, 1500).picks]
    assert len(set(found)) == 1500
    assert found[1000:] == [f"m{index:04d}" for index in np.argsort(-mean, kind="stable")[1000:]]


def evidence_of(scores: list[list[float]], **more: object) -> Evidence:
    models, datasets = len(scores), len(scores[0])
    return Evidence(
        tuple(Candidate(letter) for letter in ascii_lowercase[:models]),
        tuple(f"d{d}" for d in range(datasets)),
        np.array(scores, dtype=np.float64),
        **more,  # type: ignore[arg-type]
    )


def test_a_z_is_not_cut_to_fractions() -> None:
    one = [[0.5], *[[np.nan]] * 5]
    told = recall(evidence_of(one, proxies={"logme": np.arange(6.0)}), k=6)
    assert {pick.metric for pick in told} == {"z of score"}
    assert min(pick.score for pick in told) < 0
    assert min(pick.low for pick in told) < -1


def test_scores_are_cut_to_what_the_metric_can_be() -> None:
    scores = [[0.9, 0.95, -0.2], [0.5, 0.4, -0.6], [0.99, 0.9, 0.1]]
    told = recall(evidence_of(scores, bounds=(-1.0, 1.0)), k=3)
    assert max(pick.high for pick in told) <= 1.0
    assert max(pick.high for pick in recall(evidence_of(scores), k=3)) > 1.0


def test_who_picks_all_gets_them_as_expected() -> None:
    rng = np.random.default_rng(3)
    told = evidence_of((0.5 + 0.1 * rng.standard_normal((12, 30))).tolist())
    scores = [pick.score for pick in recall(told, k=12)]
    assert scores == sorted(scores, reverse=True)


def test_being_best_together_with_others_is_no_reason() -> None:
    scores = [[1.0, 0.9, 0.5], [1.0, 0.8, 0.4], [0.2, 0.7, 0.3]]
    first = recall(evidence_of(scores), k=3).picks[0]
    assert "best on d1, d2" in first.reasons


def test_results_that_tell_nothing_are_not_passed_over_in_silence() -> None:
    equal = evidence_of([[0.5, 0.5]] * 3, proxies={"logme": np.arange(3.0)})
    assert "2 results on other datasets, alone there, or equal to all others" in recall(equal, k=1).picks[0].reasons


def test_scores_of_a_metric_that_only_some_datasets_have_are_said_to_be() -> None:
    scores = [[0.9, 0.95, -12.0, 0.8], [0.5, 0.4, -16.0, 0.7], [0.7, 0.6, -10.0, 0.75]]
    told = recall(evidence_of(scores, in_metric=np.array([True, True, False, True]), metric="accuracy"), k=3)
    assert all(0 <= pick.low <= pick.score <= pick.high <= 1 for pick in told)
    assert any("scores are accuracy, as on 3 of 4 past datasets" in note for note in told.notes)
