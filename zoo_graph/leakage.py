"""Which models have seen a dataset in training: their results there may be inflated.

Knows the snapshot's columns and how datasets are named. What is done about it is decided elsewhere.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator

from zoo_graph.aliases import key_of, plain_name
from zoo_graph.snapshot import Snapshot


def seen_by(
    snapshot: Snapshot, target: str, *, overlapping: Collection[str] = (), labels_digest: str | None = None
) -> dict[str, str]:
    """What a model was trained on that holds rows of `target`, itself or the model it derives from: model -> words.

    That is the target in any revision, `name` for `name:config` and the other way round, a dataset of the same content
    (`labels_digest` where the zoo does not hold the target), and what the user says holds part of it (`overlapping`).
    Models that nothing is known against are absent.
    """
    ids = snapshot.model_ids
    related = _related(snapshot, target, overlapping, labels_digest)
    found: dict[int, str] = {}
    pairs = zip(snapshot.pretrained_on["model"].to_pylist(), snapshot.pretrained_on["dataset"].to_pylist(), strict=True)
    for model, dataset in sorted(pairs, key=lambda pair: (pair[0], related.get(pair[1], (9, "")))):
        if dataset in related:
            found.setdefault(model, f"pretrained on {related[dataset][1]}")
    told = {ids[model]: words for model, words in found.items()}
    return told | {ids[model]: f"derived from {ids[base]}, {found[base]}" for model, base in _heirs(snapshot, found)}


def _related(
    snapshot: Snapshot, target: str, overlapping: Collection[str], labels_digest: str | None
) -> dict[int, tuple[int, str]]:
    """The datasets that hold rows of the target, by row number: how nearly, and in words."""
    datasets = snapshot.datasets.select(["id", "labels_digest", "features_digest"]).to_pylist()
    wanted, held = _parts(target), {key_of(name) for name in overlapping}
    digests = {labels_digest} | {row["labels_digest"] for row in datasets if row["id"] == target}
    samples = {row["features_digest"] for row in datasets if row["id"] == target}
    found = {}
    for place, row in enumerate(datasets):
        name, config = _parts(row["id"])
        if (name, config) == wanted:
            found[place] = 0, row["id"]
        elif name == wanted[0] and not config:
            found[place] = 1, f"{row['id']}, which contains {target}"
        elif name == wanted[0] and not wanted[1]:
            found[place] = 2, f"{row['id']}, a part of {target}"
        elif row["labels_digest"] in digests - {None} or row["features_digest"] in samples - {None}:
            found[place] = 3, f"{row['id']}, the same data as {target}"
        elif key_of(row["id"]) in held:
            found[place] = 4, f"{row['id']}, held out with {target}"
    return found


def _parts(dataset: str) -> tuple[str, str]:
    """Name and config of an id, its revision left out."""
    name, _, config = key_of(plain_name(dataset)).partition(":")
    return name, config


def _heirs(snapshot: Snapshot, seen: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yields every model not in `seen` that derives from one that is, over any number of steps, and that one."""
    children: dict[int, list[int]] = defaultdict(list)
    for model, base in zip(snapshot.lineage["model"].to_pylist(), snapshot.lineage["base"].to_pylist(), strict=True):
        children[base].append(model)
    reached = set(seen)
    front = [(base, base) for base in sorted(seen)]
    while front:
        front = [(child, root) for base, root in front for child in sorted(children[base]) if child not in reached]
        for child, root in front:
            if child not in reached:
                reached.add(child)
                yield child, root
