"""recall(): the ranking itself."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from selection.errors import InputError
from selection.recall.constraints import Admission, Constraints, admit
from selection.recall.evidence import Evidence, FloatArray
from selection.recall.posterior import Posterior, learn_posterior
from selection.recall.reasons import groups_of, notes_of, reasons_of, said
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
) -> Recall:
    """Ranks the admitted candidates by their expected result on the target and returns the best `k`.

    `Pick.score` is the comparable score expected on the target in the unit of `evidence.metric`, `low` and
    `high` its interval at `level`, which covers a *new dataset's* result: on a dataset without any result the
    uncertainty of the dataset's own difficulty is most of it, is shared by all picks, and says nothing of who
    wins. Who wins is in `tie` and in the reasons, from the joint posterior on the z-scale. Without anything to
    tell units from, scores are z and `Pick.metric` says so. Scores are cut to [0, 1] where all known ones lie there.

    Candidates equal in expectation are ranked smaller first, then by name. A pick is tied with those after it
    that it beats with a probability of at most .6, as long as nobody between opened a new group; so all of a
    group are tied with its first. `seed` is for the draws behind the probabilities (deterministic for a seed).
    Models that are excluded still count as evidence on the others. Those in `last` (model: reason) are ranked after
    all others, in groups of their own, with that reason first.

    With neither results nor proxies the ranking is by size, which is a fair baseline, and says so.

    Raises:
        InputError: k below 1; level outside (.5, 1); or several candidates and nothing at all to rank by.
    """
    if k < 1:
        raise InputError(f"got k={k}; wanted at least 1 pick")
    if not 0.5 < level < 1:
        raise InputError(f"got level={level}; wanted a probability between .5 and 1, such as .9")
    admission = admit(evidence.candidates, constraints or Constraints())
    notes = [*admission.notes, *_size_only(evidence, admission)]
    if not admission.kept:
        notes.append(f"no model left of {len(evidence.candidates)}: name others, or loosen what excluded them")
        return Recall((), admission.excluded, tuple(notes))
    posterior = bounded(learn_posterior(evidence, level), evidence)
    if k > len(admission.kept):
        notes.append(f"asked for {k} picks, {len(admission.kept)} exist")
    picks, chance = _pick(evidence, posterior, admission, k, seed, last or {})
    notes.extend(notes_of(evidence, posterior))
    if len(picks) < len(admission.kept):
        notes.append(f"the picks hold the best of {len(admission.kept)} models with probability {said(chance)}")
    return Recall(picks, admission.excluded, tuple(notes))


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
    """The posterior with scores cut to [0, 1] where everything known lies there, as fractions do.

    What was measured on the target decides, where there is any: other datasets may have other units.
    """
    known = evidence.scores if evidence.measured is None else evidence.measured
    known = known[np.isfinite(known)]
    if not len(known) or known.min() < 0 or known.max() > 1:
        return posterior
    score = np.clip(posterior.prediction.score, 0, 1)
    return replace(
        posterior,
        prediction=replace(posterior.prediction, score=score),
        low=np.clip(posterior.low, 0, 1),
        high=np.clip(posterior.high, 0, 1),
    )


def _pick(
    evidence: Evidence, posterior: Posterior, admission: Admission, k: int, seed: int, last: Mapping[str, str]
) -> tuple[tuple[Pick, ...], float]:
    """The picks, and the probability that one of them is the best of all admitted."""
    names = [candidate.model for candidate in evidence.candidates]
    draws = posterior.draws(seed, np.array(sorted(range(len(names)), key=names.__getitem__)))
    chances = _chances(draws, admission.kept)
    ranked = sorted(admission.kept, key=lambda index: (names[index] in last, _order(index, evidence, posterior)))[:k]
    n_first = sum(names[index] not in last for index in ranked)
    groups = groups_of(draws, ranked[:n_first], _UNDECIDED)
    offset = max(groups, default=0)
    groups += [offset + group for group in groups_of(draws, ranked[n_first:], _UNDECIDED)]
    metric = evidence.metric if posterior.in_units else f"z of {evidence.metric}"
    picks = tuple(
        Pick(
            rank=rank,
            candidate=evidence.candidates[index],
            score=float(posterior.prediction.score[index]),
            low=float(posterior.low[index]),
            high=float(posterior.high[index]),
            metric=metric,
            tie=tie,
            reasons=(
                *([last[names[index]]] if names[index] in last else []),
                *reasons_of(index, evidence, posterior, float(chances[index])),
            ),
        )
        for rank, (index, tie) in enumerate(zip(ranked, groups, strict=True), start=1)
    )
    return picks, float(chances[ranked].sum())


def _order(index: int, evidence: Evidence, posterior: Posterior) -> tuple[float, float, str]:
    candidate = evidence.candidates[index]
    # Rounded, so that the order of summation never decides between equals.
    return -round(float(posterior.prediction.mean[index]), 9), candidate.n_parameters or np.inf, candidate.model


def _chances(draws: FloatArray, kept: tuple[int, ...]) -> FloatArray:
    """Share of draws (M,) that each admitted candidate is the best of."""
    winners = np.array(kept)[draws[:, list(kept)].argmax(axis=1)]
    return np.bincount(winners, minlength=draws.shape[1]) / len(draws)
