"""The rankers that are set side by side: what must be beaten, and the product's own recall.

A ranker sees `Evidence` and a seed, and nothing else. None means that it has nothing to say on this target.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from selection.recall import Evidence, FloatArray
from selection.recall.ranking import rank
from selection.records import Candidate
from zoo_graph.backtest.cases import mean_z
from zoo_graph.backtest.quality import RANKS, Ranking, by_score

Ranker = Callable[[Evidence, int], Ranking | None]

_PENALTIES = tuple(10.0**power for power in range(-1, 5))
_MIN_MODELS = 2  # a token or family that only one model has says nothing of others


def at_random(evidence: Evidence, seed: int) -> Ranking:
    """No preference: judged by its exact expectation over all orders."""
    return Ranking(None)


def history(evidence: Evidence, seed: int) -> Ranking:
    """The mean z-score over the other datasets: what recall has to beat. Models without results count as average."""
    return by_score(mean_z(evidence.scores))


def n_parameters(evidence: Evidence, seed: int) -> Ranking | None:
    """The larger first, unknown sizes last; silent where no size is known."""
    sizes = np.array([np.log10(one.n_parameters) if one.n_parameters else np.nan for one in evidence.candidates])
    return by_score(sizes) if np.isfinite(sizes).any() else None


def metadata_ridge(evidence: Evidence, seed: int) -> Ranking | None:
    """Ridge of the models' mean z on log size, family and name tokens; the penalty by leave-one-model-out.

    Fitted on the models that have results on the source datasets; says nothing without at least three of them.
    """
    has = np.asarray((~np.isnan(evidence.scores)).any(axis=1))
    if has.sum() < 3:
        return None
    from sklearn.linear_model import RidgeCV

    features = metadata_features(evidence.candidates, has)
    if not features.shape[1]:
        return None
    fitted = RidgeCV(alphas=_PENALTIES).fit(features[has], mean_z(evidence.scores)[has])
    return by_score(np.asarray(fitted.predict(features), dtype=np.float64))


def metadata_features(candidates: Sequence[Candidate], has: np.ndarray) -> FloatArray:
    """(M, F): log10 size in spreads of those that have results (unknown: 0), whether it is known, families, tokens."""
    size = np.array([np.log10(one.n_parameters) if one.n_parameters else np.nan for one in candidates])
    known = ~np.isnan(size)
    columns = []
    if (known & has).any():
        middle, spread = size[known & has].mean(), max(0.3, float(size[known & has].std()))
        columns = [np.where(known, (size - middle) / spread, 0.0), known.astype(np.float64)]
    words = [{*tokens_of(one.model), *([f"family {one.family}"] if one.family else [])} for one in candidates]
    counts = Counter(word for row, counted in zip(words, has, strict=True) if counted for word in row)
    for word in sorted(word for word, n in counts.items() if n >= _MIN_MODELS):
        columns.append(np.array([float(word in row) for row in words]))
    return np.stack(columns, axis=1) if columns else np.empty((len(candidates), 0))


def tokens_of(name: str) -> list[str]:
    """The words and numbers of a model's id, in lower case.

    >>> tokens_of("acme/BERT-base-128d")
    ['acme', 'bert', 'base', '128', 'd']
    """
    return re.findall(r"[a-z]+|\d+", name.lower())


def proxy_alone(name: str, evidence: Evidence, seed: int) -> Ranking | None:
    """One proxy score on the target; silent where it was not computed."""
    values = evidence.proxies.get(name)
    if values is None or not np.isfinite(values).any():
        return None
    return by_score(np.where(np.isfinite(values), values, np.nan))


def ours(evidence: Evidence, seed: int) -> Ranking:
    """The product's recall: what it expects of all models, and the list it makes for each number of picks judged."""
    found = rank(evidence, RANKS, seed=seed)
    return Ranking(found.order, found.score, found.low, found.high, found.tie, found.lists)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A ranker that others ran: their predicted scores, target -> (model -> score); silent on other targets."""

    predicted: Mapping[str, Mapping[str, float]]

    def __call__(self, evidence: Evidence, seed: int) -> Ranking | None:
        """Ranks by the predictions for the target; models without one come last."""
        scores = self.predicted.get(evidence.target or "")
        if scores is None:
            return None
        return by_score(np.array([scores.get(one.model, np.nan) for one in evidence.candidates]))


BASELINES: Mapping[str, Ranker] = {
    "random": at_random,
    "history": history,
    "n_parameters": n_parameters,
    "metadata_ridge": metadata_ridge,
}
RANKERS: Mapping[str, Ranker] = {**BASELINES, "ours": ours}


def with_proxies(names: Iterable[str], rankers: Mapping[str, Ranker] = RANKERS) -> dict[str, Ranker]:
    """The rankers and each proxy alone, under its own name."""
    return {**rankers, **{name: partial(proxy_alone, name) for name in names}}
