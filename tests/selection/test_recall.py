import re
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection.errors import InputError
from selection.recall import Constraints, Evidence, recall
from selection.recall.choice import Choice
from selection.recall.posterior import learn_posterior
from selection.recall.reasons import groups_of, notes_of, reasons_of
from selection.records import Candidate

NAN = np.nan


def evidence(models=14, datasets=10, seed=0, **more):
    rng = np.random.default_rng(seed)
    scores = 0.7 + 0.05 * (rng.normal(size=(models, 1)) + 0.5 * rng.normal(size=(models, datasets)))
    names = tuple(
        Candidate(f"model-{m:02d}", n_parameters=10**7 * (m + 1), license="mit" if m % 2 else None, family="ab"[m % 2])
        for m in range(models)
    )
    return Evidence(names, tuple(f"d{d}" for d in range(datasets)), scores, metric="accuracy", **more)


def names(result):
    return [pick.model for pick in result.picks]


def test_the_best_on_average_comes_first_with_its_evidence():
    scores = np.array([[0.5, 0.6, 0.7], [0.7, 0.8, 0.9], [0.6, 0.7, 0.8]])
    candidates = (Candidate("low"), Candidate("high", n_parameters=22_700_000), Candidate("middle"))
    result = recall(Evidence(candidates, ("x", "y", "z"), scores, metric="accuracy"), 2)
    assert names(result) == ["high", "middle"]
    first = result.picks[0]
    assert (first.rank, first.metric, first.tie) == (1, "accuracy", 1)
    assert first.low <= first.score <= first.high
    assert first.reasons[:3] == ("mean z +1.2 over 3 datasets", "best on x, y and 1 more", "n_parameters 22,700,000")
    assert any(note.startswith("tiny zoo (3 models with results on 3 datasets)") for note in result.notes)


def test_scores_are_in_the_metrics_unit_and_stay_within_fractions():
    result = recall(evidence(), 14)
    assert 0.7 < result.picks[0].score < 0.85
    assert all(0 <= pick.low < pick.high <= 1 for pick in result.picks)
    scores = [pick.score for pick in result.picks]
    assert scores[0] == max(scores)
    assert [pick.tie for pick in sorted(result.picks, key=lambda pick: -pick.score)] == sorted(
        p.tie for p in result.picks
    )


def test_the_same_seed_gives_the_same_answer_and_another_seed_the_same_order():
    assert recall(evidence(), 5, seed=1) == recall(evidence(), 5, seed=1)
    assert names(recall(evidence(), 5, seed=1)) == names(recall(evidence(), 5, seed=2))


@given(order=st.permutations(range(8)))
@settings(max_examples=15, deadline=None)
def test_candidates_in_another_order_get_the_same_picks(order):
    rng = np.random.default_rng(0)
    given_evidence = evidence(
        models=8,
        datasets=6,
        proxies={"knn": rng.normal(size=8)},
        past_proxies={"knn": rng.normal(size=(8, 6))},
        measured=np.array([0.7, NAN, NAN, 0.6, NAN, NAN, NAN, NAN]),
    )
    moved = replace(
        given_evidence,
        candidates=tuple(given_evidence.candidates[m] for m in order),
        scores=given_evidence.scores[order],
        proxies={"knn": given_evidence.proxies["knn"][order]},
        past_proxies={"knn": given_evidence.past_proxies["knn"][order]},
        measured=given_evidence.measured[order],
    )
    ours, theirs = recall(given_evidence, 8), recall(moved, 8)
    assert names(ours) == names(theirs)
    assert [pick.tie for pick in ours.picks] == [pick.tie for pick in theirs.picks]
    np.testing.assert_allclose([pick.score for pick in ours.picks], [pick.score for pick in theirs.picks])


def test_an_easier_or_finer_graded_dataset_does_not_change_the_ranking():
    plain = evidence()
    moved = replace(plain, scores=plain.scores * np.linspace(1, 9, 10) + np.arange(10))
    assert names(recall(plain, 14)) == names(recall(moved, 14))


@given(st.integers(0, 13), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_a_better_result_never_lowers_a_models_rank(model, dataset):
    plain = evidence()
    better = plain.scores.copy()
    better[model, dataset] += 0.05
    name = plain.candidates[model].model
    before = names(recall(plain, 14)).index(name)
    assert names(recall(replace(plain, scores=better), 14)).index(name) <= before


def test_a_dataset_without_any_spread_is_left_aside_and_said():
    plain = evidence()
    flat = np.column_stack([plain.scores, np.full(14, 0.5)])
    result = recall(replace(plain, scores=flat, datasets=(*plain.datasets, "flat")), 14)
    assert names(result) == names(recall(plain, 14))
    assert "1 source dataset left aside: fewer than two results that differ" in result.notes


def test_an_empty_zoo_is_ranked_by_proxies_with_wide_intervals_and_says_so():
    candidates = (Candidate("a"), Candidate("b"), Candidate("c"))
    knn = np.array([0.6, 0.9, NAN])
    empty = Evidence(candidates, (), np.empty((3, 0)), {"knn": knn}, metric="accuracy")
    result = recall(empty, 3)
    assert names(result) == ["b", "c", "a"]
    assert result.picks[0].metric == "z of accuracy"
    assert result.picks[0].high - result.picks[0].low > 2 * NormalDist().inv_cdf(0.95) * 0.9
    assert result.picks[0].reasons[:2] == ("no results on other datasets yet", "on your data: knn 1st of 2")
    assert result.notes[0].startswith("the zoo has no usable results")
    assert any("too little past to learn from" in note for note in result.notes)


def test_with_nothing_but_sizes_the_larger_comes_first_and_it_is_said():
    candidates = (Candidate("small", n_parameters=10**6), Candidate("large", n_parameters=10**9), Candidate("unknown"))
    result = recall(Evidence(candidates, (), np.empty((3, 0))), 3)
    assert names(result) == ["large", "unknown", "small"]
    assert result.notes[0].startswith("neither results nor proxies: ranked by n_parameters alone")


def test_with_nothing_at_all_it_says_what_to_do():
    nothing = Evidence((Candidate("a"), Candidate("b")), ("d",), np.full((2, 1), NAN))
    with pytest.raises(InputError, match="import results, compute proxies on your data, or give n_parameters"):
        recall(nothing, 1)


def test_a_single_candidate_needs_no_evidence():
    assert names(recall(Evidence((Candidate("only"),), (), np.empty((1, 0))), 1)) == ["only"]


def test_a_model_without_results_is_ranked_with_more_doubt():
    plain = evidence()
    scores = plain.scores.copy()
    scores[3] = NAN
    result = recall(replace(plain, scores=scores), 14)
    new = next(pick for pick in result.picks if pick.model == "model-03")
    widths = [pick.high - pick.low for pick in result.picks if pick is not new]
    assert new.high - new.low > np.median(widths)
    assert new.reasons[0] == "no results on other datasets yet"
    assert any(reason.startswith("family b:") and "6 relatives" in reason for reason in new.reasons)


def test_a_result_on_the_target_overrides_a_models_history():
    plain = evidence()
    cold = names(recall(plain, 14))
    middle, last = int(cold[6][-2:]), int(cold[-1][-2:])
    measured = np.full(14, NAN)
    measured[middle], measured[last] = 0.85, 0.60
    result = recall(replace(plain, measured=measured), 14)
    assert names(result)[0] == cold[6]
    assert result.picks[0].reasons[0] == "measured on your data: accuracy 0.85"
    assert result.picks[0].score == pytest.approx(0.85, abs=0.02)
    assert result.picks[0].high - result.picks[0].low < 0.05
    assert names(result)[-1] == cold[-1]


def test_results_on_the_target_alone_give_units_to_an_empty_zoo():
    candidates = tuple(Candidate(name) for name in "abc")
    only = Evidence(candidates, (), np.empty((3, 0)), measured=np.array([0.6, 0.8, NAN]), metric="accuracy")
    result = recall(only, 3)
    assert names(result) == ["b", "c", "a"]
    assert result.picks[0].metric == "accuracy"
    assert result.picks[0].score == pytest.approx(0.8, abs=0.03)


def test_useless_proxies_leave_the_ranking_to_history_and_are_named():
    rng = np.random.default_rng(3)
    past = evidence()
    with_proxy = replace(
        past, proxies={"noise": rng.normal(size=14)}, past_proxies={"noise": -past.scores + rng.normal(size=(14, 10))}
    )
    result = recall(with_proxy, 14)
    assert names(result) == names(recall(past, 14))
    assert "not counted, no help on 10 past datasets: noise" in result.notes
    assert not any("noise" in reason for reason in result.picks[0].reasons)


def test_a_proxy_without_past_is_not_counted_beside_one_that_has_proved_itself():
    rng = np.random.default_rng(1)
    special = rng.normal(size=(30, 9))
    plain = evidence(models=30, datasets=9)
    scores = plain.scores + 0.1 * special
    proven = replace(plain, scores=scores, proxies={"good": special[:, 0]}, past_proxies={"good": special})
    both = replace(proven, proxies={"good": special[:, 0], "new": rng.normal(size=30)})
    assert names(recall(proven, 30)) == names(recall(both, 30))
    assert names(recall(proven, 30)) != names(recall(replace(plain, scores=scores), 30))
    assert "new has no past in the zoo and is not counted" in recall(both, 1).notes


def test_minus_infinity_of_a_proxy_counts_as_not_computed():
    plain = evidence()
    knn = np.linspace(0, 1, 14)
    with_nan, with_inf = knn.copy(), knn.copy()
    with_nan[0], with_inf[0] = NAN, -np.inf
    ours, theirs = (recall(replace(plain, proxies={"knn": values}), 14) for values in (with_nan, with_inf))
    assert ours == theirs


def test_constraints_keep_models_out_of_the_picks_but_not_out_of_the_evidence():
    result = recall(evidence(), 14, constraints=Constraints(max_parameters=50_000_000, licenses=("MIT",)))
    assert sorted(names(result)) == ["model-01", "model-03"]
    assert len(result.excluded) == 12
    assert "3 of 14 models excluded: licence unknown; pass --allow-unknown (allow_unknown=True) to keep them" in (
        result.notes
    )
    assert "asked for 14 picks, 2 exist" in result.notes
    assert result.picks[0].reasons[0].endswith("over 10 datasets")


def test_nothing_left_is_an_empty_answer_that_says_why():
    result = recall(evidence(), 3, constraints=Constraints(modality="text"))
    assert result.picks == ()
    assert len(result.excluded) == 14
    assert result.notes[-1] == "no model left of 14: name others, or loosen what excluded them"


def test_equal_models_are_tied_smaller_first():
    scores = np.tile([[0.5], [0.5], [0.1]], 8)
    candidates = (Candidate("big", n_parameters=200), Candidate("light", n_parameters=199), Candidate("bad"))
    result = recall(Evidence(candidates, tuple("stuvwxyz"), scores), 3)
    assert names(result) == ["light", "big", "bad"]
    assert result.picks[0].tie == result.picks[1].tie == 1
    assert result.picks[2].tie == 2


def test_a_group_ends_where_its_first_clearly_beats_the_next():
    # Over the five draws 0 beats 1 in three (.6, tied), and 2 in four; 2 and 3 tie.
    draws = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 1, 0]], dtype=float)
    draws[3, 2] = -1
    assert groups_of(draws, [0, 1, 2, 3], 0.6) == [1, 1, 2, 2]
    assert groups_of(draws, [0, 1, 2, 3], 0.5) == [1, 2, 2, 2]


def test_the_chance_that_the_picks_hold_the_best_grows_to_certainty():
    def chance(k):
        found = [note for note in recall(evidence(), k).notes if "hold the best of 14 models" in note]
        return float(found[0].rsplit(" ", 1)[1]) + found[0].count("over")

    assert 0 < chance(1) < chance(5) <= chance(13)
    assert not any("hold the best" in note for note in recall(evidence(), 14).notes)


@pytest.mark.parametrize(("k", "level"), [(0, 0.9), (-1, 0.9), (1, 0.5), (1, 1.0)])
def test_impossible_requests_are_refused(k, level):
    with pytest.raises(InputError, match="wanted"):
        recall(evidence(), k, level=level)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": ()}, "no candidates"),
        ({"datasets": ("d",)}, "got scores of shape"),
        ({"datasets": ("d",) * 10}, "source dataset 'd' twice"),
        ({"candidates": (Candidate("m"),) * 14}, "candidate 'm' twice"),
        ({"target": "d3"}, "target 'd3' among the source datasets"),
        ({"scores": np.full((14, 10), np.inf)}, "infinite scores"),
        ({"proxies": {"knn": np.zeros(3)}}, r"proxies\['knn'\] of shape"),
        ({"past_proxies": {"knn": np.zeros(14)}}, r"past_proxies\['knn'\] of shape"),
        ({"measured": np.zeros(3)}, "measured of shape"),
        ({"similarity": {"name": np.zeros((10, 10))}}, r"similarity\['name'\] of shape \(10, 10\); wanted \(11, 11\)"),
        ({"similarity": {"name": np.full((11, 11), np.inf)}}, r"infinite similarity\['name'\]"),
        ({"measured": np.full(14, np.inf)}, "infinite measured"),
    ],
)
def test_evidence_that_does_not_fit_together_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(evidence(), **change)


def test_two_models_on_one_dataset_already_make_a_ranking():
    candidates = (Candidate("a"), Candidate("b"))
    result = recall(Evidence(candidates, ("x",), np.array([[0.5], [0.6]])), 2)
    assert names(result) == ["b", "a"]
    assert result.picks[0].high - result.picks[0].low > 0.1


@given(st.integers(1, 6), st.integers(0, 5), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_any_pattern_of_missing_values_gives_finite_ordered_picks(models, datasets, hidden, seed):
    rng = np.random.default_rng(seed)

    def some(*shape):
        return np.where(rng.random(shape) < hidden, NAN, rng.normal(size=shape))

    candidates = tuple(Candidate(f"m{m}", n_parameters=m + 1) for m in range(models))
    sparse = Evidence(
        candidates,
        tuple(f"d{d}" for d in range(datasets)),
        some(models, datasets),
        {"p": some(models), "q": some(models)},
        {"p": some(models, datasets)},
        some(models),
    )
    result = recall(sparse, models)
    assert len(result.picks) == models
    assert all(np.isfinite([pick.low, pick.score, pick.high]).all() for pick in result.picks)
    assert all(pick.low <= pick.score <= pick.high for pick in result.picks)
    assert [pick.tie for pick in result.picks] == sorted(pick.tie for pick in result.picks)


def test_models_that_come_last_do_so_with_their_reason_and_in_groups_of_their_own():
    best, *_ = names(recall(evidence(), 14))
    result = recall(evidence(), 14, last={best: "could not be opened here: torn"})
    assert names(result)[-1] == best
    assert result.picks[-1].reasons[0] == "could not be opened here: torn"
    assert result.picks[-1].tie == result.picks[-2].tie + 1
    assert best not in names(recall(evidence(), 13, last={best: "torn"}))


def kinds(**more):
    """Models 0 and 2 win on seven datasets of one kind, 1 on five of another; the target is of the second."""
    rng = np.random.default_rng(0)
    kind = np.array([0] * 7 + [1] * 5 + [1])
    scores = 0.05 * rng.normal(size=(14, 12))
    scores[:3] += np.array([[3.0, 0.0], [0.0, 3.0], [2.8, -0.5]])[:, kind[:-1]]
    names = tuple(Candidate(f"model-{m:02d}") for m in range(14))
    alike = {"kind": (kind[:, None] == kind).astype(float)}
    return Evidence(names, tuple(f"d{d:02d}" for d in range(12)), scores, **{"similarity": alike} | more)


def made(result):
    return [note for note in result.notes if "history's regret" in note or "history alone" in note]


def ahead(reasons):
    return [
        reason.removeprefix("ahead of the other picks on ") for reason in reasons if reason.startswith("ahead of the")
    ]


def test_a_list_that_covers_says_so_and_what_it_should_save():
    zoo = kinds(similarity={})
    zoo.scores[2, 7:] = 0.5
    result = recall(zoo, 2)
    assert "model-01" in names(result)
    (note,) = made(result)
    begin = "picks are chosen to hold a good model for each way your data may turn out: this should save "
    assert note.startswith(begin)
    assert note.endswith(" % of history's regret at 2 picks (12 past datasets left out in turn)")
    gain, deviation = note.removeprefix(begin).split(" %")[0].split(" ± ")
    assert int(gain) > 30 > int(deviation) > 0


def choice(policy, n_datasets=12):
    return Choice(np.arange(3), policy, 0.126, 0.074, n_datasets)


@pytest.mark.parametrize(
    ("policy", "note"),
    [
        (
            "history",
            "ranked by history alone: with 12 past datasets left out in turn, nothing else did better at 3 picks",
        ),
        ("expected", "ranked as expected: this should save 13 ± 7 % of history's regret at 3 picks"),
        (
            "upside",
            "picks are chosen by what is expected of a model and what it reaches at its best: this should save 13",
        ),
        ("tail", "picks are chosen by what a model reaches at its best: this should save 13 ± 7 %"),
        (
            "cover",
            "picks are chosen to hold a good model for each way your data may turn out: this should save 13 ± 7 %",
        ),
    ],
)
def test_each_way_of_making_the_list_is_named(policy, note):
    evidence = kinds()
    posterior = learn_posterior(evidence, 0.9)
    plain = notes_of(evidence, posterior, None, 3)
    *others, found = notes_of(evidence, posterior, choice(policy), 3)
    assert found.startswith(note)
    assert tuple(others) == plain == notes_of(evidence, posterior, choice(policy, n_datasets=0), 3)


def test_one_pick_and_one_dataset_are_said_so():
    evidence = kinds()
    (*_, found) = notes_of(evidence, learn_posterior(evidence, 0.9), choice("expected", n_datasets=1), 1)
    assert found.endswith("at 1 pick (1 past dataset left out in turn)")


def test_where_no_past_dataset_could_judge_nothing_is_promised():
    assert made(recall(Evidence((Candidate("a"),), ("x", "y"), np.array([[0.5, 0.6]])), 1)) == []
    nothing = Evidence((Candidate("a"), Candidate("b")), (), np.empty((2, 0)), {"p": np.arange(2.0)})
    assert made(recall(nothing, 1)) == []


def test_datasets_like_the_target_decide_who_is_first():
    assert names(recall(kinds(), 1)) == ["model-01"]
    assert names(recall(kinds(similarity={}), 1)) == ["model-00"]


def test_a_similarity_that_is_nowhere_known_is_none():
    unknown = recall(kinds(similarity={"kind": np.full((13, 13), NAN)}), 4)
    assert unknown == recall(kinds(similarity={}), 4)


def test_later_picks_say_where_they_are_ahead_of_the_others():
    first, second = recall(kinds(similarity={}), 2).picks
    assert (first.model, second.model) == ("model-00", "model-01")
    assert ahead(first.reasons) == []
    (found,) = ahead(second.reasons)
    named, more = found.split(" and ")
    assert set(named.split(", ")) < {"d07", "d08", "d09", "d10", "d11"}
    assert more == "3 more"
    assert second.reasons.index(f"ahead of the other picks on {found}") == 2


def test_of_datasets_that_a_pick_is_ahead_on_the_likest_are_named():
    evidence = kinds()
    posterior = learn_posterior(evidence, 0.9)
    (found,) = ahead(reasons_of(0, evidence, posterior, 0.5, [2, 0]))
    named, more = found.split(" and ")
    assert set(named.split(", ")) < {"d07", "d08", "d09", "d10", "d11"}
    assert more == "10 more"
    (unlike,) = ahead(reasons_of(0, evidence, posterior, 0.5, [1, 0]))
    assert set(unlike.split(" and ")[0].split(", ")) < {"d00", "d01", "d02", "d03", "d04", "d05", "d06"}
    assert ahead(reasons_of(0, evidence, posterior, 0.5, [0, 2])) == []
    assert ahead(reasons_of(0, evidence, posterior, 0.5)) == []


def test_a_pick_is_not_ahead_where_all_are_equal_or_nobody_else_was_measured():
    plain = kinds(similarity={})
    flat, alone = np.full((14, 1), 0.5), np.where(np.arange(14) == 1, 9.0, NAN)[:, None]
    wider = replace(plain, scores=np.hstack([plain.scores, flat, alone]), datasets=(*plain.datasets, "flat", "alone"))
    posterior = learn_posterior(wider, 0.9)
    assert "flat" not in str(recall(wider, 14).picks)
    (found,) = ahead(reasons_of(1, wider, posterior, 0.5, [0, 1]))
    assert found.endswith(" and 3 more")
    assert ahead(reasons_of(2, wider, posterior, 0.5, [0, 1, 2])) == []


@pytest.mark.parametrize(("models", "datasets"), [(1, 6), (2, 3), (2, 6), (3, 2), (5, 1), (6, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_zoos_are_ranked_without_any_result_on_the_target(models, datasets, seed):
    rng = np.random.default_rng(seed)
    candidates = tuple(Candidate(f"m{m}", n_parameters=m + 1) for m in range(models))
    small = Evidence(candidates, tuple(f"d{d}" for d in range(datasets)), rng.normal(size=(models, datasets)))
    for k in range(1, models + 1):
        result = recall(small, k)
        assert len(set(names(result))) == k
        assert all(np.isfinite([pick.low, pick.score, pick.high]).all() for pick in result.picks)


@given(st.integers(1, 7), st.integers(0, 6), st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_any_pattern_of_missing_values_gives_picks_on_a_cold_target(models, datasets, hidden, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(models, datasets))
    similarity = rng.normal(size=(datasets + 1, datasets + 1))
    sparse = Evidence(
        tuple(Candidate(f"m{m}", n_parameters=m + 1) for m in range(models)),
        tuple(f"d{d}" for d in range(datasets)),
        np.where(rng.random(scores.shape) < hidden, NAN, scores),
        similarity={"any": np.where(rng.random(similarity.shape) < hidden, NAN, similarity)},
    )
    barred = Constraints(exclude=("m0",) if models > 1 else ())
    result = recall(sparse, models, constraints=barred)
    assert sorted(names(result)) == [f"m{m}" for m in range(min(1, models - 1), models)]
    assert all(pick.low <= pick.score <= pick.high for pick in result.picks)


@given(order=st.permutations(range(12)))
@settings(max_examples=5, deadline=None)
def test_datasets_in_another_order_give_the_same_picks_and_the_same_notes(order):
    plain = kinds()
    whole = [*order, 12]
    moved = replace(
        plain,
        datasets=tuple(plain.datasets[d] for d in order),
        scores=plain.scores[:, order],
        similarity={"kind": plain.similarity["kind"][np.ix_(whole, whole)]},
    )
    for k in (1, 4):
        ours, theirs = recall(plain, k), recall(moved, k)
        assert names(ours) == names(theirs)
        assert ours.notes == theirs.notes


def test_a_pick_names_the_four_proxies_that_count_most():
    rng = np.random.default_rng(0)
    known = evidence()
    past = {f"p{n}": known.scores + 0.02 * rng.normal(size=known.scores.shape) for n in range(6)}
    now = {name: values[:, 0] for name, values in past.items()}
    found = recall(replace(known, proxies=now, past_proxies=past), 1)
    line = next(reason for reason in found.picks[0].reasons if reason.startswith("on your data: "))
    weights = [float(text) for text in re.findall(r"weight ([\d.]+)", line)]
    assert len(weights) == 4
    assert weights == sorted(weights, reverse=True)
    assert line.endswith(" and 2 more")
