"""Names and labels as numbers: tokens, hashed features of fixed width, and how alike two labelled datasets are."""

import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from zoo_graph.link_prediction.graph import Labels
from zoo_graph.snapshot import Floats

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+(?:\.\d+)?[A-Za-z]*")


def name_tokens(name: str) -> tuple[str, ...]:
    """Returns the distinct words of a name in small letters, sorted; numbers keep the letter that follows them.

    >>> name_tokens("BAAI/bge-small-en-v1.5")
    ('1.5', 'baai', 'bge', 'en', 'small', 'v')
    >>> name_tokens("AmazonReviewsClassification")
    ('amazon', 'classification', 'reviews')
    """
    return tuple(sorted({word.casefold() for word in _WORD.findall(name)}))


def hashed(labels: Labels, n_nodes: int, width: int) -> Floats:
    """Returns the labels of each node as a unit vector of signed hashes, (n_nodes, width); 0 for a node without any.

    The hash is of the text alone, so an unseen label of an unseen node has its place too, and no table is learnt.
    """
    features = np.zeros((n_nodes, width))
    for kind, nodes in labels.items():
        for row, texts in enumerate(nodes):
            for text in texts:
                code = zlib.crc32(f"{kind}={text}".encode())
                features[row, (code >> 1) % width] += 1.0 if code & 1 else -1.0
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(norm > 0, norm, 1.0))


def label_similarity(labels: Labels, n_nodes: int, *, most: int = 2_000) -> Floats:
    """Returns the cosine of the nodes' labels, rare ones counting more (tf-idf), (n_nodes, n_nodes).

    nan for a node without labels. Labels of one node only tell nothing, and of the others the `most` commonest count.
    """
    bags = [[f"{kind}={text}" for kind, nodes in labels.items() for text in nodes[row]] for row in range(n_nodes)]
    counts = Counter(text for bag in bags for text in set(bag))
    kept = sorted((text for text, n in counts.items() if n > 1), key=lambda text: (-counts[text], text))[:most]
    place = {text: column for column, text in enumerate(kept)}
    weight = np.zeros((n_nodes, len(kept)))
    for row, bag in enumerate(bags):
        for text in set(bag) & place.keys():
            weight[row, place[text]] = np.log(n_nodes / counts[text]) + 0.1
    norm = np.linalg.norm(weight, axis=1)
    unit = weight / np.where(norm > 0, norm, np.nan)[:, None]
    return np.asarray(unit @ unit.T)


def single(values: Sequence[str | None]) -> tuple[tuple[str, ...], ...]:
    """Returns at most one label a node, for a column of texts; None and "" are no label."""
    return tuple((value,) if value else () for value in values)
