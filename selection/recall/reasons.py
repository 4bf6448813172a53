"""Says in plain sentences what a pick stands on, and what the user must know about the whole recall."""

from collections.abc import Sequence

import numpy as np

from selection.recall.choice import Choice
from selection.recall.evidence import Evidence, FloatArray
from selection.recall.lists import Policy
from selection.recall.posterior import Posterior
from selection.recall.shapes import MIN_MODELS
from selection.recall.stacking import MIN_DATASETS, PRIOR_CORRELATION

TINY_DATASETS, TINY_MODELS = 4, 5
_MOST_PROXIES = 4  # a line that people read
_UNKNOWN = "no results on other datasets yet"


def reasons_of(
    index: int, evidence: Evidence, posterior: Posterior, chance: float, picked: Sequence[int] = ()
) -> tuple[str, ...]:
    """The evidence on one candidate, strongest first. `chance` is its probability to be the best; `picked` are all."""
    lines = _seen(index, evidence) + _measured(index, evidence)
    lines += _history(index, evidence, posterior) + _ahead(index, evidence, posterior, picked)
    lines += _proxies(index, evidence, posterior)
    lines += _metadata(index, evidence, posterior)
    return (*lines, f"best of all admitted models with probability {said(chance)}")


def _seen(index: int, evidence: Evidence) -> list[str]:
    words = evidence.seen.get(evidence.candidates[index].model)
    return [] if words is None else [f"{words}: its score there may be inflated"]


def _measured(index: int, evidence: Evidence) -> list[str]:
    if evidence.measured is None or np.isnan(evidence.measured[index]):
        return []
    return [f"measured on your data: {evidence.metric} {evidence.measured[index]:.4g}"]


def _history(index: int, evidence: Evidence, posterior: Posterior) -> list[str]:
    z = posterior.history.columns.z[index]
    seen = np.flatnonzero(~np.isnan(z))
    if not len(seen):
        n_results = int((~np.isnan(evidence.scores[index])).sum())
        told = "alone there, or equal to all others"
        return [f"{_counted(n_results, 'result')} on other datasets, {told}"] if n_results else [_UNKNOWN]
    lines = [f"mean z {z[seen].mean():+.1f} over {_counted(len(seen), 'dataset')}"]
    columns = evidence.scores[:, seen]
    enough = (~np.isnan(columns)).sum(axis=0) >= 3
    alone = (columns >= np.nanmax(columns, axis=0)).sum(axis=0) == 1  # that many are best says nothing of one
    best = [evidence.datasets[d] for d in seen[enough & alone & (columns[index] >= np.nanmax(columns, axis=0))]]
    if best:
        more = f" and {len(best) - 2} more" if len(best) > 2 else ""
        lines.append(f"best on {', '.join(best[:2])}{more}")
    return lines


def _ahead(index: int, evidence: Evidence, posterior: Posterior, picked: Sequence[int]) -> list[str]:
    """The past datasets on which a later pick was the best of all picks, those most like the target first."""
    if index not in picked[1:]:
        return []
    others = evidence.scores[[other for other in picked if other != index]]
    best = np.where(np.isnan(others), -np.inf, others).max(axis=0)
    leads = (best > -np.inf) & (evidence.scores[index] > best)
    likely = posterior.relations.emphasised(posterior.history.strength or 0.0)
    found = [evidence.datasets[d] for d in np.argsort(-likely, kind="stable") if leads[d]]
    more = f" and {len(found) - 2} more" if len(found) > 2 else ""
    return [f"ahead of the other picks on {', '.join(found[:2])}{more}"] if found else []


def _proxies(index: int, evidence: Evidence, posterior: Posterior) -> list[str]:
    """One line: the place by each proxy that counts, the four weightiest; `notes_of` tells which do not."""
    learnt = posterior.trust.learnt
    found = []
    for name in sorted(evidence.proxies):
        values, weight = evidence.proxies[name], _weight(index, name, posterior)
        if np.isfinite(values[index]) and (weight > 0 or not learnt):
            known = values[np.isfinite(values)]
            place = f"{_ordinal(1 + int((known > values[index]).sum()))} of {len(known)}"
            found.append((-weight, f"{name} {place}" + (f" (weight {weight:.2f})" if learnt else "")))
    more = f" and {len(found) - _MOST_PROXIES} more" if len(found) > _MOST_PROXIES else ""
    told = ", ".join(text for _, text in sorted(found)[:_MOST_PROXIES])
    return [f"on your data: {told}{more}"] if found else []


def _weight(index: int, name: str, posterior: Posterior) -> float:
    trust = posterior.trust
    if trust.with_history is None or trust.without is None or name not in trust.names:
        return 0.0
    place, share = trust.names.index(name), float(posterior.history.ability.trust[index])
    return float(share * trust.with_history.weights[place] + (1 - share) * trust.without.weights[place])


def _metadata(index: int, evidence: Evidence, posterior: Posterior) -> list[str]:
    candidate, ability = evidence.candidates[index], posterior.history.ability
    lines = []
    counts = posterior.history.described or not ability.n_results[index]
    if candidate.family is not None and counts:
        kin = posterior.history.metadata.family == posterior.history.metadata.family[index]
        relatives = int((ability.n_results[kin] > 0).sum()) - int(ability.n_results[index] > 0)
        if relatives:
            known = _counted(relatives, "relative")
            lines.append(f"family {candidate.family}: {ability.prior[index]:+.1f} z expected from size and {known}")
    if candidate.n_parameters is not None:
        lines.append(f"n_parameters {candidate.n_parameters:,}")
    return lines


def notes_of(evidence: Evidence, posterior: Posterior, choice: Choice | None, n_picks: int) -> tuple[str, ...]:
    """Remarks on how much there was to go by, in the order of what weighs most."""
    listed = [] if choice is None else _list_notes(choice, n_picks)
    return (*_history_notes(evidence, posterior), *_proxy_notes(evidence, posterior), *listed)


def seen_notes(evidence: Evidence, picked: Sequence[str]) -> list[str]:
    """A remark if picks were trained on the target."""
    n_seen = sum(model in evidence.seen for model in picked)
    if not n_seen:
        return []
    were = f"{n_seen} of {_counted(len(picked), 'pick')} {'was' if n_seen == 1 else 'were'} trained on your data"
    return [f"{were}: pass --exclude-pretrained (exclude_pretrained=True) to leave such models out"]


_MADE_BY: dict[Policy, str] = {
    "upside": "by what is expected of a model and what it reaches at its best",
    "tail": "by what a model reaches at its best",
    "cover": "to hold a good model for each way your data may turn out",
}


def _list_notes(choice: Choice, n_picks: int) -> list[str]:
    if not choice.n_datasets:
        return []
    past, picks = _counted(choice.n_datasets, "past dataset"), _counted(n_picks, "pick")
    if choice.policy == "history":
        return [f"ranked by history alone: with {past} left out in turn, nothing else did better at {picks}"]
    made = f"picks are chosen {_MADE_BY[choice.policy]}: " if choice.policy in _MADE_BY else "ranked as expected: "
    saved = f"{100 * choice.gain:.0f} ± {100 * choice.deviation:.0f} %"
    return [f"{made}this should save {saved} of history's regret at {picks} ({past} left out in turn)"]


def _history_notes(evidence: Evidence, posterior: Posterior) -> list[str]:
    n_datasets = int(posterior.history.columns.usable.sum())
    n_models = int((posterior.history.ability.n_results > 0).sum())
    notes = []
    if not n_datasets:
        notes.append("the zoo has no usable results: ranked by proxies and metadata only, with wide intervals")
    elif n_datasets < TINY_DATASETS or n_models < TINY_MODELS:
        notes.append(
            f"tiny zoo ({_counted(n_models, 'model')} with results on {_counted(n_datasets, 'dataset')}): "
            "history weighs little and intervals are not calibrated well"
        )
    unusable = len(evidence.datasets) - n_datasets
    if unusable:
        notes.append(f"{_counted(unusable, 'source dataset')} left aside: fewer than two results that differ")
    other = 0 if evidence.in_metric is None else int((~evidence.in_metric).sum())
    if posterior.in_units and other and evidence.measured is None:
        notes.append(
            f"scores are {evidence.metric}, as on {len(evidence.datasets) - other} of {len(evidence.datasets)} past "
            "datasets; the others' tell who is better only"
        )
    if not posterior.in_units:
        notes.append(
            f"scores are z (0 average, 1 a standard deviation of models): no results to tell {evidence.metric} from"
        )
    return notes


def _proxy_notes(evidence: Evidence, posterior: Posterior) -> list[str]:
    computed = sorted(name for name, values in evidence.proxies.items() if np.isfinite(values).any())
    if not computed:
        return ["no proxy scores on your data: ranked by history and metadata only"] if _any_history(posterior) else []
    trust = posterior.trust
    if trust.with_history is None or trust.without is None:
        return [
            f"proxies have too little past to learn from (wanted {MIN_DATASETS} datasets of {MIN_MODELS} models each): "
            f"together they count as one estimate that correlates {PRIOR_CORRELATION} with results"
        ]
    pairs = zip(trust.names, np.maximum(trust.with_history.weights, trust.without.weights), strict=True)
    useless = [name for name, weight in pairs if weight <= 0]
    notes = [f"{name} has no past in the zoo and is not counted" for name in computed if name not in trust.names]
    if useless:
        notes.append(f"not counted, no help on {trust.n_datasets} past datasets: {', '.join(useless)}")
    return notes


def _any_history(posterior: Posterior) -> bool:
    return bool(posterior.history.columns.usable.any())


def said(probability: float) -> str:
    """A simulated probability in two digits, never as certainty."""
    return "over 0.99" if probability > 0.99 else "under 0.01" if probability < 0.01 else f"{probability:.2f}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def groups_of(draws: FloatArray, ranked: list[int], undecided: float) -> list[int]:
    """Tie groups (from 1) along the ranking: one ends where its first beats the next with more than `undecided`."""
    groups: list[int] = []
    leader = -1
    for index in ranked:
        if not groups or float((draws[:, leader] > draws[:, index]).mean()) > undecided:
            leader = index
            groups.append(groups[-1] + 1 if groups else 1)
        else:
            groups.append(groups[-1])
    return groups
