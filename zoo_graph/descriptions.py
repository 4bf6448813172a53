"""How alike datasets are by what is known of them without any result: names, tasks, tags, counts.

Knows records of datasets. How far each of these tells who wins is learnt elsewhere, from results.
"""

from collections.abc import Sequence

import numpy as np

from selection.recall import FloatArray
from selection.recall.descriptions import distance_similarity, label_similarity, trigrams, words
from zoo_graph.records import Dataset

_BARE = "tag"


def similarities(datasets: Sequence[Dataset]) -> dict[str, FloatArray]:
    """Likeness of N datasets: basis -> (N, N), larger is more alike, nan where not known of one of the two.

    Bases are the words and the trigrams of the name, `task`, `modality`, `n_classes` and `n_samples` (in logarithms),
    and the tags of each kind (`language` for `language:fra`, `tag` where none is said). What is known of fewer than two
    is left out.
    """
    names = [f"{one.id.partition('@')[0]} {one.name or ''}" for one in datasets]
    found = {
        "name": label_similarity([words(name) for name in names]),
        "trigrams": label_similarity([trigrams(name) for name in names]),
        "task": label_similarity([words(one.task or "") for one in datasets]),
        "modality": label_similarity([words(one.modality or "") for one in datasets]),
        "n_classes": _near([one.n_classes for one in datasets]),
        "n_samples": _near([one.n_samples for one in datasets]),
        **_tags(datasets),
    }
    return {basis: values for basis, values in found.items() if _tells(values)}


def _tags(datasets: Sequence[Dataset]) -> dict[str, FloatArray]:
    kinds: dict[str, list[list[str]]] = {}
    for row, one in enumerate(datasets):
        for tag in one.tags:
            kind, _, label = tag.rpartition(":")
            labels = kinds.setdefault(f"tags {kind or _BARE}", [[] for _ in datasets])
            labels[row].append(label.casefold())
    return {kind: label_similarity(labels) for kind, labels in sorted(kinds.items())}


def _near(counts: Sequence[int | None]) -> FloatArray:
    known = np.array([np.log(count) if count else np.nan for count in counts])
    return distance_similarity(np.abs(known[:, None] - known))


def _tells(values: FloatArray) -> bool:
    return bool(np.isfinite(values[~np.eye(len(values), dtype=np.bool_)]).any())
