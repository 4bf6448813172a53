"""Ranks models for a dataset: from the graph's history and, where weights are at hand, proxy scores.

Knows the snapshot, evidence, and the package `selection`. Does not fine-tune.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.records import Candidate, Recall
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.evidence import candidates_of, evidence
from zoo_graph.snapshot import take
from zoo_graph.store import Connection

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.probing import Probed
    from selection.recall import Constraints


def recommend(
    connection: Connection,
    folder: Path,
    dataset: "Dataset | str",
    k: int = 10,
    *,
    models: Iterable[str | Path] = (),
    proxies: bool | Iterable[str] = True,
    constraints: "Constraints | None" = None,
    hold_out: Collection[str] = (),
    max_length: int = 128,
    max_download: int | None = None,
    seed: int = 0,
    checkpoints: Path | None = None,
    say: Callable[[str], None] | None = None,
    track: Any = None,
) -> Recall:
    """What `Zoo.recommend` promises, on a connection and the zoo's folder."""
    from selection.probing import local_candidates
    from selection.recall import Constraints, recall

    snapshot = take(connection, folder)
    target = dataset if isinstance(dataset, str) else dataset.name
    if isinstance(dataset, str) and dataset not in snapshot.dataset_ids:
        raise UnknownNameError("dataset", dataset, snapshot.dataset_ids)
    given, failures = local_candidates(models)
    pool = {candidate.model: candidate for candidate in candidates_of(snapshot, checkpoints)}
    pool |= {candidate.model: _merged(candidate, pool.get(candidate.model)) for candidate in given}
    if not pool:
        raise InputError("the zoo holds no model and none was given: import results, or name models with --models")
    constraints = constraints or Constraints()
    notes = [f"{failure.model}: {failure.reason}" for failure in failures]
    scores: Mapping[str, Any] = {}
    if not isinstance(dataset, str):
        constraints = replace(constraints, modality=constraints.modality or dataset.modality)
        if proxies is not False:
            probed = probe_candidates(
                folder,
                dataset,
                _worth_probing(list(pool.values()), constraints),
                names=None if proxies is True else proxies,
                max_length=max_length,
                max_download=max_download,
                say=say,
                track=track,
            )
            scores = probed.scores
            pool |= {name: replace(pool[name], n_parameters=n) for name, n in probed.n_parameters.items()}
            notes += _probe_notes(probed, len(pool))
    known = evidence(snapshot, list(pool.values()), target=target, proxies=scores, hold_out=hold_out)
    found = recall(known, k, constraints=constraints, seed=seed)
    return replace(found, notes=(*found.notes, *notes))


def probe_candidates(
    folder: Path,
    dataset: "Dataset",
    candidates: Sequence[Candidate],
    *,
    names: Iterable[str] | None = None,
    max_length: int = 128,
    max_download: int | None = None,
    say: Callable[[str], None] | None = None,
    track: Any = None,
) -> "Probed":
    """Proxy scores on this machine's device, with the zoo's cache of features; see `selection.probing.probe`."""
    from selection.features import FeatureCache
    from selection.finetune import default_device
    from selection.probing import probe

    return probe(
        dataset,
        candidates,
        FeatureCache(folder / "features"),
        max_length=max_length,
        names=names,
        device=default_device(),
        max_bytes=max_download,
        say=say,
        track=track,
    )


def find_candidates(
    connection: Connection, folder: Path, names: Iterable[str], checkpoints: Path | None = None
) -> list[Candidate]:
    """Candidates by model id, or by a checkpoint folder or hub id that the zoo does not hold.

    Raises:
        UnknownNameError: a name that is none of these.
        InputError: a folder that is no checkpoint.
    """
    from selection.hub import is_hub_id
    from selection.probing import local_candidates

    known = {one.model: one for one in candidates_of(take(connection, folder), checkpoints)}
    found = []
    for name in names:
        if name in known:
            found.append(known[name])
        elif Path(name).is_dir() or (is_hub_id(name) and not known):
            opened, failures = local_candidates([name])
            if failures:
                raise InputError(failures[0].reason)
            found += opened
        else:
            raise UnknownNameError("model", name, known)
    return found


def _worth_probing(candidates: Sequence[Candidate], constraints: "Constraints") -> list[Candidate]:
    """Nothing is downloaded or run for a model that no pick can be; those without weights have their history."""
    from selection.recall.constraints import admit

    allowed = admit(tuple(candidates), constraints).kept
    return [candidates[index] for index in allowed if candidates[index].source is not None]


def _merged(given: Candidate, known: Candidate | None) -> Candidate:
    if known is None:
        return given
    return replace(known, source=given.source, modality=given.modality or known.modality)


def _probe_notes(probed: "Probed", n_models: int) -> list[str]:
    notes = [f"{failure.model} could not be probed: {failure.reason}" for failure in probed.failures]
    if not probed.scores:
        notes.append("no proxy could be computed: no model's weights could be opened here")
    elif len(probed.scores) < n_models:
        notes.append(
            f"proxies were computed for {len(probed.scores)} of {n_models} models (the others' weights are not known)"
        )
    return notes
