"""How alike datasets are by what is known of them without any result: names, tasks, tags, counts, embeddings.

Knows records of datasets. How far each of these tells who wins is learnt elsewhere, from results.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from selection.recall import FloatArray
from selection.recall.descriptions import distance_similarity, label_similarity, trigrams, vector_similarity, words
from zoo_graph.records import Dataset

_BARE = "tag"


def similarities(datasets: Sequence[Dataset], distance: FloatArray | None = None) -> dict[str, FloatArray]:
    """Likeness of N datasets: basis -> (N, N), larger is more alike, nan where not known of one of the two.

    Bases are the words and the trigrams of the name, `task`, `modality`, `n_classes` and `n_samples` (in logarithms),
    the tags of each kind (`language` for `language:fra`, `tag` where none is said), the embeddings of each encoder, and
    `distance` (N, N), given by the user. What is known of fewer than two is left out.
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
        **{f"embedding {by}": alike for by, alike in embedding_similarities(datasets).items()},
    }
    if distance is not None:
        found["distance"] = distance_similarity(distance)
    return {basis: values for basis, values in found.items() if _tells(values)}


def embeddings(datasets: Sequence[Dataset]) -> dict[str, FloatArray]:
    """The embeddings of N datasets: encoder -> (N, width), nan rows where there is none by it.

    The width is that of most; embeddings of another width are none.
    """
    widths: dict[str, Counter[int]] = {}
    for one in datasets:
        if one.embedding and one.embedding_by:
            widths.setdefault(one.embedding_by, Counter())[len(one.embedding)] += 1
    found = {}
    for by, counts in sorted(widths.items()):
        width = max(counts, key=lambda width, counts=counts: (counts[width], width))  # type: ignore[misc]
        found[by] = np.full((len(datasets), width), np.nan)
        for row, one in enumerate(datasets):
            if one.embedding_by == by and len(one.embedding) == width:
                found[by][row] = one.embedding
    return found


def _tags(datasets: Sequence[Dataset]) -> dict[str, FloatArray]:
    kinds: dict[str, list[list[str]]] = {}
    for row, one in enumerate(datasets):
        for tag in one.tags:
            kind, _, label = tag.rpartition(":")
            labels = kinds.setdefault(f"tags {kind or _BARE}", [[] for _ in datasets])
            labels[row].append(label.casefold())
    return {kind: label_similarity(labels) for kind, labels in sorted(kinds.items())}


def embedding_similarities(datasets: Sequence[Dataset]) -> dict[str, FloatArray]:
    """How alike the embeddings of N datasets are: encoder -> (N, N), the cosine about their mean, nan elsewhere."""
    return {
        by: vector_similarity([None if np.isnan(vector).any() else vector.tolist() for vector in vectors])
        for by, vectors in embeddings(datasets).items()
    }


def _near(counts: Sequence[int | None]) -> FloatArray:
    known = np.array([np.log(count) if count else np.nan for count in counts])
    return distance_similarity(np.abs(known[:, None] - known))


def _tells(values: FloatArray) -> bool:
    return bool(np.isfinite(values[~np.eye(len(values), dtype=np.bool_)]).any())
