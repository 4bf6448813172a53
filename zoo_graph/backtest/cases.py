"""What is asked in a backtest: a target, what may be known of it, and the truth it is judged by.

Everything that decides what a ranker gets to see is here.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from selection.recall import Evidence, FloatArray
from selection.records import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One target of M models. `evidence` holds nothing measured on it; `truth` (M,) judges, nan where not measured.

    `told` (M,) is what evaluating a model shows (its validation result, say); nan where it cannot be evaluated.
    """

    evidence: Evidence
    truth: FloatArray
    told: FloatArray


class Source(Protocol):
    """Where cases come from. `digest` stands for all that its cases hold: equal digests, equal cases.

    A source is pickled to each worker once; `case` must give the same case every time.
    """

    @property
    def name(self) -> str:
        """What the results are reported under."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The datasets to leave out in turn."""

    @property
    def digest(self) -> str:
        """Stands for the content."""

    def case(self, target: str) -> Case:
        """The case of one of the targets."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A source of plain arrays: scores (M, D) and proxies name -> (M, D), nan where not measured.

    `truth` (M, D), where given, holds the results that targets are judged by: `scores` may hide some of them.
    `similarity` basis -> (D, D) tells how alike datasets are without any result, nan where not known.
    `metric` is the unit of all scores.
    """

    name: str
    candidates: tuple[Candidate, ...]
    datasets: tuple[str, ...]
    scores: FloatArray
    targets: tuple[str, ...]
    proxies: Mapping[str, FloatArray] = field(default_factory=dict)
    truth: FloatArray | None = None
    metric: str = "score"
    similarity: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """24 hex digits of everything in the table but its targets."""
        digest = hashlib.blake2b(digest_size=12)
        digest.update(repr((self.name, self.candidates, self.datasets, self.metric)).encode())
        truth = self.scores if self.truth is None else self.truth
        for kind, held in (("", {"scores": self.scores, "truth": truth}), ("p", self.proxies), ("s", self.similarity)):
            for name in sorted(held):
                digest.update(repr((kind, name)).encode())
                digest.update(np.ascontiguousarray(held[name], dtype=np.float64).tobytes())
        return digest.hexdigest()

    def case(self, target: str) -> Case:
        """The target's column as truth, the others as what is known."""
        d = self.datasets.index(target)
        others = [e for e in range(len(self.datasets)) if e != d]
        truth = (self.scores if self.truth is None else self.truth)[:, d]
        on_target = {name: values[:, d] for name, values in self.proxies.items() if np.isfinite(values[:, d]).any()}
        evidence = Evidence(
            candidates=self.candidates,
            datasets=tuple(self.datasets[e] for e in others),
            scores=self.scores[:, others],
            proxies=on_target,
            past_proxies={name: values[:, others] for name, values in self.proxies.items()},
            metric=self.metric,
            target=target,
            similarity={name: values[np.ix_([*others, d], [*others, d])] for name, values in self.similarity.items()},
        )
        return Case(evidence, truth, truth)


def mean_z(scores: FloatArray) -> FloatArray:
    """The plain history: each model's mean of z-scores over the datasets it has results on; 0 without any.

    z is standardised per dataset over the models measured there; a dataset whose results do not differ tells nothing.
    """
    seen = ~np.isnan(scores)
    n = seen.sum(axis=0)
    filled = np.where(seen, scores, 0.0)
    mean = filled.sum(axis=0) / np.maximum(n, 1)
    centred = np.where(seen, scores - mean, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / np.maximum(n, 1))
    tells = spread > 1e-9 * np.maximum(1e-3, np.abs(mean))
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=tells)
    return np.asarray(z.sum(axis=1) / np.maximum((seen & tells).sum(axis=1), 1))


def with_evaluated(case: Case, n_evaluated: int) -> Case:
    """The case after history's first `n_evaluated` models were evaluated on the target, whoever ranks afterwards.

    So all rankers start from the same results, and their differences are paired. 0 gives the case itself (cold).
    """
    if not n_evaluated:
        return case
    history = np.where(np.isfinite(case.told), mean_z(case.evidence.scores), -np.inf)
    first = np.argsort(-history, kind="stable")[:n_evaluated]
    measured = np.full(len(case.told), np.nan)
    measured[first] = case.told[first]
    return replace(case, evidence=replace(case.evidence, measured=measured))


def is_judgeable(truth: FloatArray, least: int = 2) -> bool:
    """Whether a target can be judged: at least `least` results, and the best above the median."""
    return why_not_judged(truth, least) is None


def why_not_judged(truth: FloatArray, least: int = 2) -> str | None:
    """Why a target cannot be judged, None where it can; a regret is in units of best less median."""
    seen = truth[~np.isnan(truth)]
    if len(seen) < least:
        return f"comparable results of fewer than {least} models"
    return None if seen.max() > np.median(seen) else "half the models or more share the best result"


def chosen(known: Collection[str], wanted: Collection[str] | None) -> tuple[str, ...]:
    """The wanted names in the order of the known ones; all where None is wanted.

    Raises:
        UnknownNameError: a name that is not known.
    """
    from zoo_graph.errors import UnknownNameError

    for name in wanted or ():
        if name not in known:
            raise UnknownNameError("target", name, known)
    return tuple(name for name in known if wanted is None or name in wanted)
