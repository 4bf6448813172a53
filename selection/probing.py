"""Proxy scores of many candidates on one dataset: one failing checkpoint never stops the others.

Knows datasets, backbones, features and proxies. Does not know history or the graph.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selection.datasets import Dataset
from selection.errors import CheckpointError, SelectionError
from selection.features import FeatureCache, Features
from selection.records import Candidate, Failure, ProxyScore

Track = Callable[[Sequence[Candidate]], Iterable[Candidate]]
PROBE = "ridge_probe"


@dataclass(frozen=True, slots=True)
class Probed:
    """Proxy scores by model, seconds of one row's forward pass by model, parameters by model, and who failed.

    `seconds` is what this call took; features that were cached cost next to nothing.
    """

    scores: Mapping[str, tuple[ProxyScore, ...]]
    row_seconds: Mapping[str, float]
    n_parameters: Mapping[str, int]
    failures: tuple[Failure, ...]
    seconds: float

    def probe(self, model: str) -> float | None:
        """The ridge probe's accuracy of a model, for rung 0; None where it is not known."""
        return next((s.score for s in self.scores.get(model, ()) if s.name == PROBE and s.score == s.score), None)


def probe(
    dataset: Dataset,
    candidates: Sequence[Candidate],
    cache: FeatureCache,
    *,
    max_length: int = 128,
    names: Iterable[str] | None = None,
    device: str = "cpu",
    max_bytes: int | None = None,
    say: Callable[[str], None] | None = None,
    track: Track | None = None,
) -> Probed:
    """Extracts each candidate's features of the train part and scores them; `names` limits the proxies.

    `max_bytes` bounds each download. Candidates without a source are failures with that reason.
    """
    start = time.perf_counter()
    rows, labels = dataset.part("train")
    listed = None if names is None else list(names)
    scores: dict[str, tuple[ProxyScore, ...]] = {}
    row_seconds: dict[str, float] = {}
    n_parameters: dict[str, int] = {}
    failures = []
    for candidate in track(candidates) if track else candidates:
        try:
            found, size = _features(candidate, dataset, rows, cache, max_length, device, max_bytes, say)
            scores[candidate.model] = _scored(found, labels, listed)
        except SelectionError as error:
            failures.append(Failure(candidate.model, dataset.name, 0, str(error)))
            continue
        row_seconds[candidate.model] = found.seconds / max(1, len(rows))
        if size is not None:
            n_parameters[candidate.model] = size
    return Probed(scores, row_seconds, n_parameters, tuple(failures), time.perf_counter() - start)


def _features(
    candidate: Candidate,
    dataset: Dataset,
    rows: Sequence[object],
    cache: FeatureCache,
    max_length: int,
    device: str,
    max_bytes: int | None,
    say: Callable[[str], None] | None,
) -> tuple[Features, int | None]:
    from selection import hub
    from selection.backbones import open_backbone
    from selection.features import extract

    if candidate.source is None:
        raise CheckpointError("the zoo does not know where its weights are: import a source (folder or hub id) for it")
    backbone = open_backbone(
        candidate.source,
        name=candidate.model,
        max_length=max_length,
        device=device,
        max_bytes=max_bytes or hub.DEFAULT_MAX_BYTES,
        say=say,
    )
    if backbone.modality != dataset.modality:
        raise CheckpointError(f"it reads {backbone.modality} and {dataset.name} holds {dataset.modality}")
    return extract(backbone, rows, cache=cache), backbone.n_parameters


def _scored(found: Features, labels: object, names: list[str] | None) -> tuple[ProxyScore, ...]:
    from selection.proxies import score_all

    return score_all(
        found.features,
        labels,  # type: ignore[arg-type]
        names=names,
        source_logits=found.logits,
        sample_digest=found.sample_digest,
    )


def local_candidates(sources: Iterable[str | Path]) -> tuple[list[Candidate], list[Failure]]:
    """Candidates of checkpoint folders and hub ids given by hand; a folder's model id is `local/<folder>`.

    A folder that is no checkpoint is a failure; so is another folder of the same name. One given twice counts once.
    """
    from selection.backbones import count_parameters, modality_of, read_config
    from selection.hub import is_hub_id

    found: dict[str, Candidate] = {}
    failures = []
    for source in sources:
        path = Path(source).expanduser()
        local = path.exists() or not is_hub_id(str(source))
        # As it is called, not what a link leads to: a link is how a folder gets another name.
        name = f"local/{Path(os.path.abspath(path)).name}" if local else str(source)
        where = str(path.resolve()) if local else str(source)
        if name in found and found[name].source == where:
            continue
        try:
            if name in found:
                raise CheckpointError(f"two models would be called {name}: {found[name].source} and {path}; rename one")
            if not local:
                found[name] = Candidate(name, where)
            elif path.is_dir():
                config = read_config(path)
                found[name] = Candidate(
                    name, where, modality_of(path), count_parameters(path), family=str(config["model_type"])
                )
            else:
                raise CheckpointError(f"no checkpoint folder at {path}, and it is no hub id like org/name")
        except CheckpointError as error:
            failures.append(Failure(name, "", 0, str(error)))
    return list(found.values()), failures
