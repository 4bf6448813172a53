"""recall(): the ranking itself; rank(): all of it at once, for judging it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from selection.errors import InputError
from selection.recall.boards import choose_lists
from selection.recall.choice import Choice
from selection.recall.constraints import Admission, Constraints, admit
from selection.recall.evidence import Evidence, FloatArray, IntArray
from selection.recall.front import Cost, costs, pareto_front
from selection.recall.posterior import Posterior, learn_posterior
from selection.recall.reasons import groups_of, notes_of, reasons_of, said, seen_notes
from selection.records import Pick, Recall

# Candidates that win against each other with a probability between 1 - this and this are tied.
_UNDECIDED = 0.6


def recall(
    evidence: Evidence,
    k: int,
    *,
    constraints: Constraints | None = None,
    seed: int = 0,
    level: float = 0.9,
    last: Mapping[str, str] | None = None,
    along: Cost | None = None,
) -> Recall:
    """Returns the `k` admitted candidates of which the best is expected to do best on the target.

    How the list is made (by expected result, by what models reach at their best, or to cover the ways the target may
    turn out) the zoo's own past decides, see `choice`: where nothing gained there, history ranks.

    `Pick.score` is the comparable score expected on the target in the unit of `evidence.metric`, `low` and
    `high` its interval at `level`, which covers a *new dataset's* result: on a dataset without any result the
    uncertainty of the dataset's own difficulty is most of it, is shared by all picks, and says nothing of who
    wins. Who wins is in `tie` and in the reasons, from the joint posterior on the z-scale. Without anything to
    tell units from, scores are z and `Pick.metric` says so. Scores are cut to [0, 1] where all known ones lie there.

    Candidates equal in expectation are ranked smaller first, then by name. A pick is tied with those expected after
    it that it beats with a probability of at most .6, as long as nobody between opened a new group; so all of a
    group are tied with its first, and the groups are numbered by expected result. `seed` is for the draws behind the
    probabilities (deterministic for a seed).
    Models that are excluded still count as evidence on the others. Those in `last` (model: reason) are ranked after
    all others, in groups of their own, with that reason first.

    With neither results nor proxies the ranking is by size, which is a fair baseline, and says so.

    `along` a cost ("n_parameters", "seconds") the picks are the Pareto front instead, best expected first: of each, no
    cheaper candidate is expected to do as well.

    Raises:
        InputError: k below 1; level outside (.5, 1); several candidates and nothing at all to rank by; or a cost that
            is not known of any candidate.
    """
    if k < 1:
        raise InputError(f"got k={k}; wanted at least 1 pick")
    if not 0.5 < level < 1:
        raise InputError(f"got level={level}; wanted a probability between .5 and 1, such as .9")
    admission = admit(evidence.candidates, constraints or Constraints(), evidence.seen)
    notes = [*admission.notes, *_size_only(evidence, admission)]
    if not admission.kept:
        notes.append(f"no model left of {len(evidence.candidates)}: name others, or loosen what excluded them")
        return Recall((), admission.excluded, tuple(notes))
    posterior = bounded(learn_posterior(evidence, level), evidence)
    if k > len(admission.kept):
        notes.append(f"asked for {k} picks, {len(admission.kept)} exist")
    listed = _list(evidence, posterior, admission, k, last or {}, along)
    if along:
        notes.append(f"the picks are the Pareto front of expected score against {along}, best expected first")
    picks, chance = _pick(evidence, posterior, admission, listed, seed, last or {})
    notes.extend(notes_of(evidence, posterior, listed.choice, len(picks)))
    notes.extend(seen_notes(evidence, [pick.model for pick in picks]))
    if len(picks) < len(admission.kept):
        notes.append(f"the picks hold the best of {len(admission.kept)} models with probability {said(chance)}")
    return Recall(picks, admission.excluded, tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What recall says of all M candidates, none excluded: for judging it.

    `order` (M,) holds indices, best expected first. `lists` holds for each number of picks asked for the order of which
    `recall` picks the first: as expected where anything was measured on the target. `score`, `low`, `high` and `tie`
    (M,) are in the order of the candidates, and what `recall` gives with all of them as picks.
    """

    order: IntArray
    lists: Mapping[int, IntArray]
    score: FloatArray
    low: FloatArray
    high: FloatArray
    tie: IntArray


def rank(evidence: Evidence, ks: Sequence[int], *, seed: int = 0, level: float = 0.9) -> Ranked:
    """Ranks all candidates as `recall` does, with the list for each number of picks in `ks`, from one posterior.

    Raises:
        InputError: several candidates and nothing at all to rank by.
    """
    _size_only(evidence, admit(evidence.candidates, Constraints()))
    posterior = bounded(learn_posterior(evidence, level), evidence)
    order = sorted(range(len(evidence.candidates)), key=lambda index: _order(index, evidence, posterior))
    fewer = [k for k in ks if k < len(order)]  # who takes all has nothing to choose
    chosen = choose_lists(evidence, posterior, order, fewer) if fewer and _is_cold(evidence) else {}
    ties = _ties(evidence, posterior, _draws(evidence, posterior, seed), order)
    return Ranked(
        order=np.array(order, dtype=np.int64),
        lists={k: chosen[k].order if k in chosen else np.array(order, dtype=np.int64) for k in ks},
        score=posterior.prediction.score,
        low=posterior.low,
        high=posterior.high,
        tie=np.array([ties[index] for index in range(len(order))], dtype=np.int64),
    )


def _is_cold(evidence: Evidence) -> bool:
    return evidence.measured is None or not np.isfinite(evidence.measured).any()


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """The candidates picked, in order (at most k); those from `n_first` on come last by request."""

    picked: list[int]
    n_first: int
    choice: Choice | None


def _list(
    evidence: Evidence,
    posterior: Posterior,
    admission: Admission,
    k: int,
    last: Mapping[str, str],
    along: Cost | None,
) -> _Listed:
    names = [candidate.model for candidate in evidence.candidates]
    ranked = sorted(admission.kept, key=lambda index: _order(index, evidence, posterior))
    first = [index for index in ranked if names[index] not in last]
    if along is not None:
        picked = pareto_front(first, costs(evidence, along))[:k]
        return _Listed(picked, len(picked), None)
    chosen = first and _is_cold(evidence) and k < len(first)  # who takes all has nothing to choose
    choice = choose_lists(evidence, posterior, first, [k])[k] if chosen else None
    picked = first[:k] if choice is None else choice.order[:k].tolist()
    return _Listed((picked + [index for index in ranked if names[index] in last])[:k], len(picked), choice)


def _size_only(evidence: Evidence, admission: Admission) -> list[str]:
    """Notes that only size ranks, if so; an error if not even that is known."""
    known = [evidence.scores, *evidence.proxies.values()]
    if evidence.measured is not None:
        known.append(evidence.measured)
    if any(np.isfinite(values).any() for values in known):
        return []
    if all(candidate.n_parameters is None for candidate in evidence.candidates) and len(admission.kept) > 1:
        raise InputError(
            f"got {len(evidence.candidates)} candidates without any result, proxy score or n_parameters; wanted "
            "something to rank by: import results, compute proxies on your data, or give n_parameters"
        )
    return ["neither results nor proxies: ranked by n_parameters alone; import results or let proxies be computed"]


def bounded(posterior: Posterior, evidence: Evidence) -> Posterior:
    """The posterior with scores cut to what a score can be: `evidence.bounds`, or [0, 1] where all that is known of the
    metric lies there, as fractions do. A z is not cut.

    What was measured on the target decides, where there is any: other datasets may have other units.
    """
    bounds = evidence.bounds or _seen_bounds(evidence)
    if bounds is None or not posterior.in_units:
        return posterior
    score = np.clip(posterior.prediction.score, *bounds)
    return replace(
        posterior,
        prediction=replace(posterior.prediction, score=score),
        low=np.clip(posterior.low, *bounds),
        high=np.clip(posterior.high, *bounds),
    )


def _seen_bounds(evidence: Evidence) -> tuple[float, float] | None:
    known = evidence.scores if evidence.in_metric is None else evidence.scores[:, evidence.in_metric]
    known = known if evidence.measured is None else evidence.measured
    known = known[np.isfinite(known)]
    return (0.0, 1.0) if len(known) and known.min() >= 0 and known.max() <= 1 else None


def _pick(
    evidence: Evidence,
    posterior: Posterior,
    admission: Admission,
    listed: _Listed,
    seed: int,
    last: Mapping[str, str],
) -> tuple[tuple[Pick, ...], float]:
    """The picks, and the probability that one of them is the best of all admitted."""
    names = [candidate.model for candidate in evidence.candidates]
    draws = _draws(evidence, posterior, seed)
    chances = _chances(draws, admission.kept)
    picked = listed.picked
    ties = _ties(evidence, posterior, draws, picked[: listed.n_first])
    offset = max(ties.values(), default=0)
    ties |= {i: offset + g for i, g in _ties(evidence, posterior, draws, picked[listed.n_first :]).items()}
    metric = evidence.metric if posterior.in_units else f"z of {evidence.metric}"
    picks = tuple(
        Pick(
            rank=rank,
            candidate=evidence.candidates[index],
            score=float(posterior.prediction.score[index]),
            low=float(posterior.low[index]),
            high=float(posterior.high[index]),
            metric=metric,
            tie=ties[index],
            reasons=(
                *([last[names[index]]] if names[index] in last else []),
                *reasons_of(index, evidence, posterior, float(chances[index]), picked),
            ),
        )
        for rank, index in enumerate(picked, start=1)
    )
    return picks, float(chances[picked].sum())


def _draws(evidence: Evidence, posterior: Posterior, seed: int) -> FloatArray:
    # By name, so that the order in which candidates came decides nothing.
    names = [candidate.model for candidate in evidence.candidates]
    return posterior.draws(seed, np.array(sorted(range(len(names)), key=names.__getitem__)))


def _ties(evidence: Evidence, posterior: Posterior, draws: FloatArray, picked: list[int]) -> dict[int, int]:
    """Each pick's group of those that cannot be told apart, numbered by expected result."""
    ranked = sorted(picked, key=lambda index: _order(index, evidence, posterior))
    return dict(zip(ranked, groups_of(draws, ranked, _UNDECIDED), strict=True))


def _order(index: int, evidence: Evidence, posterior: Posterior) -> tuple[float, float, str]:
    candidate = evidence.candidates[index]
    # Rounded, so that the order of summation never decides between equals.
    return -round(float(posterior.prediction.mean[index]), 9), candidate.n_parameters or np.inf, candidate.model


def _chances(draws: FloatArray, kept: tuple[int, ...]) -> FloatArray:
    """Share of draws (M,) that each admitted candidate is the best of."""
    winners = np.array(kept)[draws[:, list(kept)].argmax(axis=1)]
    return np.bincount(winners, minlength=draws.shape[1]) / len(draws)
