"""How alike datasets are by what is written of them: names, labels, distances that a user gives.

Knows texts and numbers, not results. `similarity` learns how far each of these tells who wins.
"""

import re
from collections.abc import Sequence

import numpy as np

from selection.errors import InputError
from selection.recall.evidence import FloatArray

_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)")
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> tuple[str, ...]:
    """The words of a name or a sentence, case folded: `FrenchSTS2` is french, sts, 2."""
    return tuple(word.casefold() for word in _WORD.findall(_CASE.sub(" ", text)))


def trigrams(text: str) -> tuple[str, ...]:
    """Three characters at a time of the words, which also finds kin that are written together."""
    spaced = f" {' '.join(word.casefold() for word in _WORD.findall(text))} "
    return tuple(spaced[start : start + 3] for start in range(len(spaced) - 2))


def label_similarity(labels: Sequence[Sequence[str]]) -> FloatArray:
    """Cosine (N, N) of the sets of labels, each weighted log((1 + N) / its datasets): what all share tells nothing.

    A dataset without labels is like none, itself too: its rows are nan.
    """
    known = {label: place for place, label in enumerate(sorted({label for row in labels for label in row}))}
    present = np.zeros((len(labels), max(1, len(known))))
    for row, of_row in enumerate(labels):
        present[row, [known[label] for label in of_row]] = 1.0
    weighted = present * np.log((1 + len(labels)) / np.maximum(1, present.sum(axis=0)))
    norm = np.linalg.norm(weighted, axis=1)
    unit = weighted / np.where(norm > 0, norm, 1.0)[:, None]
    cosine = unit @ unit.T
    cosine[norm == 0] = np.nan
    cosine[:, norm == 0] = np.nan
    return np.asarray(cosine)


def vector_similarity(vectors: Sequence[Sequence[float] | None]) -> FloatArray:
    """Cosine (N, N) of vectors about their mean; nan where there is none."""
    known = [row for row, vector in enumerate(vectors) if vector is not None]
    found = np.full((len(vectors), len(vectors)), np.nan)
    if len(known) < 2:
        return found
    stacked = np.array([vectors[row] for row in known], dtype=np.float64)
    centred = stacked - stacked.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    found[np.ix_(known, known)] = unit @ unit.T
    return found


def distance_similarity(distances: FloatArray) -> FloatArray:
    """exp(-(d / median d)^2) of distances (N, N) that a user gives; nan where not known.

    Raises:
        InputError: not square, or a distance below 0 or infinite.
    """
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise InputError(f"got distances of shape {distances.shape}; wanted (N, N): one row and column per dataset")
    if np.isinf(distances).any() or (distances < 0).any():
        raise InputError("got a distance that is negative or infinite; wanted 0 or more, or nan for not known")
    between = distances[~np.eye(len(distances), dtype=np.bool_)]
    between = between[(between > 0)]
    middle = float(np.median(between)) if len(between) else 1.0
    return np.asarray(np.exp(-((distances / middle) ** 2)))
