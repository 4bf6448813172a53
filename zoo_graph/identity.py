"""Whether a name stands for the same thing here and in the graph: a dataset by its labels, a local model by its folder.

Knows the graph's nodes and the package `selection`. Writes nothing.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.records import Candidate, Failure
from zoo_graph import queries
from zoo_graph.aliases import key_of
from zoo_graph.errors import InputError
from zoo_graph.ingest.edges import Label
from zoo_graph.ingest.plan import alias_id
from zoo_graph.records import Dataset as DatasetRecord
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.embedding import Embedding

_LOG = logging.getLogger(__name__)


def check_datasets(connection: Connection, datasets: Sequence["Dataset"]) -> None:
    """Refuses a dataset that has the name of another one, in the graph or among these.

    Where the graph knows no labels of it (it came from a table of results), the name is taken at its word.

    Raises:
        InputError: another dataset has that name.
    """
    known = _nodes(connection, "Dataset", [dataset.name for dataset in datasets])
    for dataset in datasets:
        held = known.get(dataset.name, {})
        if held.get("labels_digest") and dataset.labels_digest and held["labels_digest"] != dataset.labels_digest:
            raise _taken(dataset, "the zoo knows", held.get("n_classes"), held.get("n_samples"))
    first: dict[str, Dataset] = {}
    for dataset in datasets:
        other = first.setdefault(key_of(dataset.name), dataset)
        if other.labels_digest != dataset.labels_digest:
            raise _taken(dataset, "this call names", other.n_classes, int(other.labels.size))


def dataset_record(dataset: "Dataset") -> DatasetRecord:
    """What the graph keeps of a dataset: counts, digests and an embedding, none of its rows.

    A dataset that cannot be embedded is recorded without, and a warning is logged. Takes a tenth of a second for
    texts; of images 256 are opened.
    """
    found = _embedded(dataset)
    return DatasetRecord(
        dataset.name,
        task=dataset.task,
        modality=dataset.modality,
        n_classes=dataset.n_classes or None,
        n_samples=int(dataset.labels.size),
        labels_digest=dataset.labels_digest or None,
        embedding=() if found is None else found.vector,
        embedding_by=None if found is None else found.by,
    )


def _embedded(dataset: "Dataset") -> "Embedding | None":
    from selection.embedding import embed

    try:
        return embed(dataset)
    except Exception as error:  # whatever an image's decoder raises: what is wanted of the dataset is something else
        _LOG.warning("%s is not embedded (%s): it is compared by its name and counts only", dataset.name, error)
        return None


def given_candidates(connection: Connection, sources: Iterable[str | Path]) -> tuple[list[Candidate], list[Failure]]:
    """Candidates of folders and hub ids given by hand, and those that cannot be used, with reasons."""
    from selection.probing import local_candidates

    found, failures = local_candidates(sources)
    taken = taken_names(connection, found)
    return [one for one in found if one.model not in {failure.model for failure in taken}], [*failures, *taken]


def taken_names(connection: Connection, candidates: Iterable[Candidate]) -> list[Failure]:
    """A failure for each local model whose name the graph knows for another folder that still exists.

    Where that folder is gone, the model has moved.
    """
    local = {one.model: Path(one.source) for one in candidates if one.source and is_local(one)}
    known = _nodes(connection, "Model", list(local))
    failures = []
    for model, folder in local.items():
        old = Path(known.get(model, {}).get("source") or "")
        if old.is_absolute() and old.exists() and old.resolve() != folder.resolve():
            reason = (
                f"got {folder}, and the zoo knows {model} as {old}, which is still there: rename the folder, or link "
                "it under another name"
            )
            failures.append(Failure(model, "", 0, reason))
    return failures


def is_local(candidate: Candidate) -> bool:
    """Whether a candidate is named for a folder on this machine."""
    return candidate.model.startswith("local/")


def _taken(dataset: "Dataset", who: str, n_classes: int | None, n_samples: int | None) -> InputError:
    return InputError(
        f"got a dataset {dataset.name!r} of {dataset.n_classes} classes and {dataset.labels.size} rows; {who} another "
        f"dataset of that name, with {n_classes} classes and {n_samples} rows or other labels: give yours another name "
        "with --name, or rename the file"
    )


def known_ids(connection: Connection, label: Label, names: Sequence[str]) -> dict[str, str]:
    """The graph's ids of these names, as `ingest` understands them (case, aliases); unknown names are absent."""
    return {name: str(node["id"]) for name, node in _nodes(connection, label, names).items()}


def _nodes(connection: Connection, label: Label, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The properties of the nodes that `ingest` would take these names for."""
    ids: dict[str, str] = {}
    for statement, asked in (
        (queries.INGEST_FIND_BY_ID[label], {name: name for name in names}),
        (queries.INGEST_FIND_BY_KEY[label], {name: key_of(name) for name in names}),
        (queries.INGEST_FIND_BY_ALIAS[label], {name: alias_id(label, name) for name in names}),
    ):
        missing = {name: question for name, question in asked.items() if name not in ids}
        if missing:
            found = connection.read(statement, names=sorted(set(missing.values())), run="")[0]["found"]
            by_question = {question: node for question, node, _ in found}
            ids |= {name: by_question[question] for name, question in missing.items() if question in by_question}
    if not ids:
        return {}
    rows = connection.read(queries.INGEST_PROPERTIES[label], ids=sorted(set(ids.values())))[0]["found"]
    properties = {row["id"]: row for row in rows}
    return {name: properties[node] for name, node in ids.items() if node in properties}
