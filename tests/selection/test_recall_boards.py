from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from selection.recall import Evidence, boards
from selection.recall.boards import choose_lists
from selection.recall.choice import Choice, Replay, choose
from selection.recall.lists import Board, make_lists
from selection.recall.posterior import learn_posterior
from selection.records import Candidate

NAN = np.nan


def zoo(scores: np.ndarray, **more: object) -> Evidence:
    candidates = tuple(Candidate(f"m{m:04d}") for m in range(len(scores)))
    return Evidence(candidates, tuple(f"d{d:02d}" for d in range(scores.shape[1])), scores, **more)


def plain_scores(seed: int, models: int = 20, datasets: int = 8, hidden: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(models, 1)) + rng.normal(size=(models, datasets))
    return np.where(rng.random(scores.shape) < hidden, NAN, scores)


def two_kinds(seed: int, datasets: int = 14, models: int = 24) -> Evidence:
    """Models are good at either kind of datasets; the target is of the first, and it is said which is which."""
    rng = np.random.default_rng(seed)
    kind = np.arange(datasets) % 2
    scores = rng.normal(size=(models, 2))[:, kind] + 0.3 * rng.normal(size=(models, datasets))
    kinds = np.append(kind, 0)
    return zoo(scores, similarity={"kind": (kinds[:, None] == kinds).astype(float)})


def ranked_of(evidence: Evidence) -> list[int]:
    mean = learn_posterior(evidence, 0.9).prediction.mean
    names = np.array([candidate.model for candidate in evidence.candidates])
    return np.lexsort((names, -np.round(mean, 9))).tolist()


def lists_of(evidence: Evidence, ks: Sequence[int], seed: int = 0) -> dict[int, Choice]:
    return choose_lists(evidence, learn_posterior(evidence, 0.9), ranked_of(evidence), ks, seed)


def named(evidence: Evidence, choice: Choice) -> list[str]:
    return [evidence.candidates[index].model for index in choice.order]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Board, Sequence[Replay]]]:
    """The target's board and the replays of every choice made."""
    calls: list[tuple[Board, Sequence[Replay]]] = []

    def watched(board: Board, past: Sequence[Replay], ks: Sequence[int], seed: int) -> dict[int, Choice]:
        calls.append((board, past))
        return choose(board, past, ks, seed)

    monkeypatch.setattr(boards, "choose", watched)
    return calls


def boards_by_dataset(evidence: Evidence, seen: list[tuple[Board, Sequence[Replay]]]) -> dict[int, Board]:
    """The board of each past dataset, of models in their own order, known by the scores it is judged by."""
    order = list(range(len(evidence.candidates)))
    choose_lists(evidence, learn_posterior(evidence, 0.9), order, [3])
    columns = evidence.scores.T
    found = {}
    for replay in seen[-1][1]:
        place = next(d for d, column in enumerate(columns) if np.array_equal(column, replay.scores, equal_nan=True))
        found[place] = replay.board
    return found


@pytest.mark.parametrize("seed", range(3))
def test_models_in_another_order_get_the_same_lists(seed: int) -> None:
    evidence = replace(two_kinds(seed), scores=np.where(plain_scores(9, 24, 14) > 1.2, NAN, two_kinds(seed).scores))
    order = np.random.default_rng(seed).permutation(24)
    moved = replace(evidence, candidates=tuple(evidence.candidates[m] for m in order), scores=evidence.scores[order])
    ours, theirs = lists_of(evidence, [1, 3, 5, 10]), lists_of(moved, [1, 3, 5, 10])
    for k in ours:
        assert named(evidence, ours[k]) == named(moved, theirs[k])
        assert (ours[k].policy, ours[k].n_datasets) == (theirs[k].policy, theirs[k].n_datasets)
        assert ours[k].gain == pytest.approx(theirs[k].gain)


@pytest.mark.parametrize("seed", range(3))
def test_datasets_in_another_order_give_the_same_boards_and_lists(
    seed: int, seen: list[tuple[Board, Sequence[Replay]]]
) -> None:
    evidence = two_kinds(seed)
    order = np.random.default_rng(seed).permutation(14)
    whole = np.append(order, 14)
    moved = replace(
        evidence,
        datasets=tuple(evidence.datasets[d] for d in order),
        scores=evidence.scores[:, order],
        similarity={"kind": evidence.similarity["kind"][np.ix_(whole, whole)]},
    )
    ours, theirs = lists_of(evidence, [1, 3, 5, 10]), lists_of(moved, [1, 3, 5, 10])
    for k in ours:
        assert named(evidence, ours[k]) == named(moved, theirs[k])
        assert (ours[k].policy, ours[k].gain) == (theirs[k].policy, pytest.approx(theirs[k].gain))
    # The noise of possible targets is drawn in the order of a board's datasets.
    np.testing.assert_array_equal(seen[0][0].profiles.level, seen[1][0].profiles.level)
    np.testing.assert_allclose(seen[0][0].weights, seen[1][0].weights)
    for one, other in zip(seen[0][1], seen[1][1], strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_past_dataset_is_replayed_with_its_own_scores_and_without_weight(
    seen: list[tuple[Board, Sequence[Replay]]],
) -> None:
    evidence = zoo(plain_scores(0))
    found = boards_by_dataset(evidence, seen)
    assert sorted(found) == list(range(8))
    for d, board in found.items():
        assert np.flatnonzero(board.weights == 0).tolist() == np.flatnonzero(board.chances == 0).tolist() == [d]
    assert (seen[-1][0].weights > 0).all()


def test_results_on_a_dataset_do_not_reach_the_board_it_is_left_out_of(
    seen: list[tuple[Board, Sequence[Replay]]],
) -> None:
    evidence = zoo(plain_scores(1))
    changed = evidence.scores.copy()
    changed[:, 3] = plain_scores(2)[:, 3]
    ours = boards_by_dataset(evidence, seen)
    theirs = boards_by_dataset(replace(evidence, scores=changed), seen)
    np.testing.assert_allclose(ours[3].weights, theirs[3].weights)
    np.testing.assert_allclose(ours[3].chances, theirs[3].chances)
    # How far abilities are shrunk is learnt from all datasets at once; whom they put before whom is not.
    assert np.corrcoef(ours[3].ability.mean, theirs[3].ability.mean)[0, 1] == pytest.approx(1, abs=1e-9)
    assert np.corrcoef(ours[3].expected, theirs[3].expected)[0, 1] == pytest.approx(1, abs=1e-9)
    assert np.corrcoef(ours[0].ability.mean, theirs[0].ability.mean)[0, 1] < 0.99


def test_a_left_out_datasets_profile_says_nothing_on_its_own_board(seen: list[tuple[Board, Sequence[Replay]]]) -> None:
    board = boards_by_dataset(zoo(plain_scores(1)), seen)[3]
    terms, level = board.profiles.terms.copy(), board.profiles.level.copy()
    terms[:, :, 3], level[:, 3] = terms[:, ::-1, 3], level[::-1, 3]
    changed = replace(board, profiles=replace(board.profiles, terms=terms, level=level))
    for policy, order in make_lists(board).items():
        np.testing.assert_array_equal(order, make_lists(changed)[policy])


def test_possible_targets_prefer_datasets_like_it_at_least_fourfold(
    seen: list[tuple[Board, Sequence[Replay]]],
) -> None:
    evidence = two_kinds(0)
    posterior = learn_posterior(evidence, 0.9)
    choose_lists(evidence, posterior, ranked_of(evidence), [3])
    relations, kind = posterior.relations, np.arange(14) % 2
    strength = posterior.history.strength
    assert strength == 8
    np.testing.assert_allclose(seen[-1][0].weights, relations.emphasised(8))
    np.testing.assert_allclose(seen[-1][0].chances, relations.emphasised(8) ** 2)
    assert seen[-1][0].weights[kind == 0].min() > 10 * seen[-1][0].weights[kind == 1].max()
    weak = replace(posterior, history=replace(posterior.history, strength=None))
    choose_lists(evidence, weak, ranked_of(evidence), [3])
    np.testing.assert_allclose(seen[-1][0].weights, relations.emphasised(0))
    np.testing.assert_allclose(seen[-1][0].chances, relations.emphasised(4) ** 2)


def test_past_datasets_have_the_weights_of_what_is_like_them(seen: list[tuple[Board, Sequence[Replay]]]) -> None:
    evidence = two_kinds(1)
    kind = np.arange(14) % 2
    for d, board in boards_by_dataset(evidence, seen).items():
        kin = (kind == kind[d]) & (np.arange(14) != d)
        assert board.weights[kin].min() > 5 * board.weights[kind != kind[d]].max()


def test_what_other_evidence_moved_is_what_is_expected_beyond_history(
    seen: list[tuple[Board, Sequence[Replay]]],
) -> None:
    rng = np.random.default_rng(0)
    special = rng.normal(size=(20, 8))
    scores = plain_scores(0) + 2 * special
    evidence = zoo(scores, proxies={"p": rng.normal(size=20)}, past_proxies={"p": special})
    found = boards_by_dataset(evidence, seen)
    posterior = learn_posterior(evidence, 0.9)
    target = seen[-1][0]
    np.testing.assert_allclose(target.moved, posterior.prediction.mean - posterior.history.ability.mean)
    np.testing.assert_allclose(target.ability.mean, posterior.plain.ability.mean)
    assert np.abs(target.moved).max() > 0.5
    for d, board in found.items():
        np.testing.assert_allclose(board.expected, posterior.beliefs[d].mean)
        np.testing.assert_allclose(board.moved, board.expected - posterior.history.left_out[d].mean)
        np.testing.assert_allclose(board.ability.mean, posterior.plain.left_out[d].mean)


def test_without_other_evidence_nothing_is_moved(seen: list[tuple[Board, Sequence[Replay]]]) -> None:
    for board in boards_by_dataset(two_kinds(2), seen).values():
        np.testing.assert_allclose(board.moved, 0, atol=1e-12)


def test_only_the_candidates_given_are_listed_as_indices_of_all() -> None:
    evidence = two_kinds(3)
    ranked = [index for index in ranked_of(evidence) if index % 3]
    for choice in choose_lists(evidence, learn_posterior(evidence, 0.9), ranked, [1, 4]).values():
        assert sorted(choice.order.tolist()) == sorted(ranked)


def test_a_list_of_few_begins_a_list_of_more_made_the_same_way() -> None:
    found = lists_of(two_kinds(4), list(range(1, 11)))
    by_policy: dict[str, list[list[int]]] = {}
    for choice in found.values():
        by_policy.setdefault(choice.policy, []).append(choice.order.tolist())
    assert any(len(orders) > 1 for orders in by_policy.values())
    for orders in by_policy.values():
        assert all(one == other for one, other in pairwise(orders))


def test_models_beyond_a_thousand_follow_as_they_were_expected(seen: list[tuple[Board, Sequence[Replay]]]) -> None:
    evidence = zoo(plain_scores(0, 1500, 5))
    ranked = ranked_of(evidence)
    for choice in choose_lists(evidence, learn_posterior(evidence, 0.9), ranked, [1, 5]).values():
        assert sorted(choice.order[:1000].tolist()) == sorted(ranked[:1000])
        assert choice.order[1000:].tolist() == ranked[1000:]
    assert all(len(board.expected) == 1000 for board in (seen[0][0], *(replay.board for replay in seen[0][1])))


def test_of_many_past_datasets_as_many_are_judged_on_as_time_allows_and_a_seed_says_which(
    seen: list[tuple[Board, Sequence[Replay]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = zoo(plain_scores(0, 6, 130))
    posterior = learn_posterior(evidence, 0.9)
    picked = []
    for seed in (0, 0, 1):
        choose_lists(evidence, posterior, list(range(6)), [2], seed)
        picked.append({replay.scores.tobytes() for replay in seen[-1][1]})
    assert [len(replays) for replays in picked] == [120, 120, 120]
    assert picked[0] == picked[1] != picked[2]
    monkeypatch.setattr(boards, "_CELLS", 6 * 130 * 50)
    choose_lists(evidence, posterior, list(range(6)), [2])
    monkeypatch.setattr(boards, "_CELLS", 1)
    choose_lists(evidence, posterior, list(range(6)), [2])
    assert [len(replays) for _, replays in seen[-2:]] == [50, 40]


def test_datasets_that_tell_nothing_are_not_replayed(seen: list[tuple[Board, Sequence[Replay]]]) -> None:
    scores = plain_scores(0)
    scores[:, 2], scores[:, 5] = 0.5, NAN
    found = boards_by_dataset(zoo(scores), seen)
    assert sorted(found) == [0, 1, 3, 4, 6, 7]
    assert not any(board.weights[[2, 5]].any() for board in found.values())


SMALLEST = {
    "one model": np.empty((1, 0)),
    "no dataset": np.empty((5, 0)),
    "one result": np.array([[0.5]]),
    "one model, six datasets": plain_scores(0, 1, 6),
    "two models": plain_scores(0, 2, 6),
    "one dataset": plain_scores(0, 5, 1),
    "two datasets": plain_scores(0, 5, 2),
    "all equal": np.full((5, 6), 0.5),
    "no result": np.full((5, 6), NAN),
    "few results": plain_scores(0, 6, 6, 0.8),
    "half without": np.where(np.arange(8)[:, None] < 4, NAN, plain_scores(0, 8, 6)),
}


@pytest.mark.parametrize("scores", SMALLEST.values(), ids=SMALLEST)
def test_the_smallest_zoos_have_lists_of_all_their_models(scores: np.ndarray) -> None:
    evidence = zoo(scores)
    for choice in lists_of(evidence, [1, 3]).values():
        assert sorted(choice.order.tolist()) == list(range(len(scores)))
        assert np.isfinite([choice.gain, choice.deviation]).all()
        assert choice.n_datasets <= scores.shape[1]


def test_models_without_any_result_can_be_listed_alone() -> None:
    evidence = zoo(np.where(np.arange(8)[:, None] < 4, NAN, plain_scores(0, 8, 6)))
    found = choose_lists(evidence, learn_posterior(evidence, 0.9), [2, 0, 3, 1], [2])[2]
    assert found.order.tolist() == [2, 0, 3, 1]
    assert (found.policy, found.n_datasets) == ("history", 0)
