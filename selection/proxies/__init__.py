"""Proxy scores: how well a checkpoint's features suit a dataset, without fine-tuning.

`score_all` computes any of them on shared statistics (`moments.Moments`); one file per score. Larger is better.
"""

import logging
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from selection.errors import InputError
from selection.proxies.gbc import gbc
from selection.proxies.hscore import hscore, regularized_hscore
from selection.proxies.inputs import checked_features, checked_source, softmax
from selection.proxies.knn import knn
from selection.proxies.lda import lda
from selection.proxies.leep import leep
from selection.proxies.logme import logme
from selection.proxies.moments import Moments, Task
from selection.proxies.nearest_centroid import nearest_centroid
from selection.proxies.nleep import nleep
from selection.proxies.parc import PROBE_ROWS, parc
from selection.proxies.ridge_probe import ridge_probe
from selection.proxies.sfda import sfda
from selection.proxies.transrate import transrate
from selection.records import ProxyScore

__all__ = ["PROXIES", "Moments", "score_all", "score_moments"]

logger = logging.getLogger(__name__)

Track = Callable[[tuple[str, ...]], Iterable[str]]

PROXIES: dict[str, Callable[[Moments], float]] = {
    "leep": leep,
    "nleep": nleep,
    "logme": logme,
    "hscore": hscore,
    "regularized_hscore": regularized_hscore,
    "parc": parc,
    "knn": knn,
    "ridge_probe": ridge_probe,
    "transrate": transrate,
    "sfda": sfda,
    "gbc": gbc,
    "lda": lda,
    "nearest_centroid": nearest_centroid,
}


def score_all(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    task: Task = "classification",
    names: Iterable[str] | None = None,
    source_logits: npt.ArrayLike | None = None,
    reduce_to: int | None = None,
    seed: int = 0,
    sample_digest: str = "",
    track: Track | None = None,
) -> tuple[ProxyScore, ...]:
    """Proxy scores of one model on one dataset, in the order of `names` (default: all of `PROXIES`).

    features (N, D) and labels (N,) of the same rows; source_logits (N, Cs) where the model has a classification head.
    With task="regression" the labels are numbers to predict: logme, knn and ridge_probe (both R^2) are defined there.
    `reduce_to` scores the first principal components, standardised, instead of the features (PARC always does its own).
    A score that is undefined here, or whose computation fails, is nan with its reason; the others are computed.
    `seconds` includes the shared statistics that a score was the first to need. Same input and seed, same scores.
    `track` is given the names and yields them; it may end the scoring by raising.

    Raises:
        InputError: a name that is no score; features, labels or logits that no score could use.
    """
    wanted = _checked_names(names)
    rows = checked_features(features)
    probabilities = None
    if source_logits is not None:
        probabilities = softmax(checked_source(source_logits, len(rows), "source_logits"))
    moments = Moments(rows, labels, task=task, source_probabilities=probabilities, reduce_to=reduce_to, seed=seed)
    return score_moments(moments, names=wanted, sample_digest=sample_digest, track=track)


def score_moments(
    moments: Moments,
    *,
    names: Iterable[str] | None = None,
    sample_digest: str = "",
    track: Track | None = None,
) -> tuple[ProxyScore, ...]:
    """As `score_all`, on statistics that are already there, as of `accumulator.Accumulator`.

    Raises:
        InputError: a name that is no score.
    """
    wanted = _checked_names(names)
    return tuple(_scored(name, moments, sample_digest) for name in (track(wanted) if track else wanted))


def _checked_names(names: Iterable[str] | None) -> tuple[str, ...]:
    wanted = tuple(PROXIES) if names is None else tuple(names)
    for name in wanted:
        if name not in PROXIES:
            close = get_close_matches(name, PROXIES, n=1)
            advice = f"did you mean {close[0]!r}?" if close else "choose from these"
            raise InputError(f"proxy score: got {name!r}, wanted one of {', '.join(PROXIES)}; {advice}")
    return wanted


def _scored(name: str, moments: Moments, sample_digest: str) -> ProxyScore:
    start = time.perf_counter()
    score, reason = _value(name, moments)
    n_samples = min(moments.n_rows, PROBE_ROWS) if name == "parc" else moments.n_rows
    return ProxyScore(name, score, time.perf_counter() - start, n_samples, sample_digest, reason)


def _value(name: str, moments: Moments) -> tuple[float, str | None]:
    """The score, or nan and why."""
    try:
        with np.errstate(invalid="ignore"):  # BLAS may flag finite data; the value is checked below
            score = PROXIES[name](moments)
    except InputError as error:
        return float("nan"), str(error)
    except (ArithmeticError, MemoryError, ValueError) as error:  # LinAlgError is a ValueError
        logger.warning("proxy score %s failed: %s", name, error)
        return float("nan"), f"{type(error).__name__}: {error}"
    if not np.isfinite(score):
        return float("nan"), f"got {score}, wanted a finite score; the features are too extreme for {name}"
    return float(score), None
