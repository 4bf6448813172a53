"""Proxy scores of many candidates on one dataset: one failing checkpoint never stops the others.

Knows datasets, backbones, features, proxies and time. Does not know history or the graph: who is worth its seconds is
the caller's word (`planning`).
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.datasets import Dataset
from selection.errors import BudgetError, CheckpointError, InputError, SelectionError
from selection.features import FeatureCache, Features, checkpoint_signature, digest_of_rows
from selection.pace import Pace, Work, tokens_of
from selection.planning import Order, Turns
from selection.records import Candidate, Failure, ProxyScore

if TYPE_CHECKING:
    from selection.backbones import TransformersBackbone

Track = Callable[[Any], Iterable[Candidate]]
PROBE = "ridge_probe"


@dataclass(frozen=True, slots=True)
class Probed:
    """Proxy scores by model, seconds of one row's forward pass by model, parameters by model, and who failed.

    `seconds` is what this call took; features that were cached cost next to nothing. Of those that can be probed and
    were not, `cut_off` says who was begun and ended for want of time, `not_begun` who was not.
    """

    scores: Mapping[str, tuple[ProxyScore, ...]]
    row_seconds: Mapping[str, float]
    n_parameters: Mapping[str, int]
    failures: tuple[Failure, ...]
    seconds: float
    cut_off: tuple[Failure, ...] = ()
    not_begun: tuple[str, ...] = ()

    def probe(self, model: str) -> float | None:
        """The ridge probe's accuracy of a model, for rung 0; None where it is not known."""
        return next((s.score for s in self.scores.get(model, ()) if s.name == PROBE and s.score == s.score), None)


class _CutOffError(BudgetError):
    """A probe that was begun and has no time left."""


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
    budget_seconds: float | None = None,
    order: Order | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Probed:
    """Extracts each candidate's features of the dataset's `probe_part` and scores them; `names` limits the proxies.

    `max_bytes` bounds each download. Candidates without a source are failures with that reason. `order` says who is
    next (default: as given), each time anew from what the probes so far took. With `budget_seconds` a probe is only
    begun where its expected seconds fit, and is cut off before a batch of rows that does not: nothing of it is cached
    then. What cannot be interrupted is fetching and opening one checkpoint, one batch, or
    one proxy.

    Raises:
        InputError: a budget that is not positive.
    """
    if budget_seconds is not None and not budget_seconds > 0:
        raise InputError(f"got {budget_seconds} seconds for the proxies; wanted a positive number, or None for no end")
    start = clock()
    rows, labels = dataset.probe_part()
    session = _Session(
        dataset=dataset,
        rows=rows,
        labels=labels,
        cache=cache,
        names=None if names is None else list(names),
        max_length=max_length,
        device=device,
        max_bytes=max_bytes,
        say=say,
        clock=clock,
        end=None if budget_seconds is None else start + budget_seconds,
        pace=Pace(len(rows), tokens_of(rows, max_length), device),
    )
    works = _works(session, candidates) if budget_seconds is not None or order is not None else {}
    turns = Turns(candidates, order, lambda model: session.pace.expected_seconds(works[model]), session.left)
    for candidate in track(turns) if track else turns:
        session.probe(candidate, works.get(candidate.model, Work(candidate.n_parameters)))
    return Probed(
        session.scores,
        session.row_seconds,
        session.n_parameters,
        tuple(session.failures),
        clock() - start,
        tuple(session.cut_off),
        turns.not_begun,
    )


@dataclass(slots=True)
class _Session:
    """What the probes of one call share, and what they found."""

    dataset: Dataset
    rows: list[Any]
    labels: Any
    cache: FeatureCache
    names: list[str] | None
    max_length: int
    device: str
    max_bytes: int | None
    say: Callable[[str], None] | None
    clock: Callable[[], float]
    end: float | None
    pace: Pace
    scores: dict[str, tuple[ProxyScore, ...]] = field(default_factory=dict)
    row_seconds: dict[str, float] = field(default_factory=dict)
    n_parameters: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    cut_off: list[Failure] = field(default_factory=list)

    def left(self) -> float | None:
        """Seconds left; None: without end."""
        return None if self.end is None else self.end - self.clock()

    def probe(self, candidate: Candidate, work: Work) -> None:
        """Probes one candidate; whatever comes of it is noted, none raises."""
        begun = self.clock()
        try:
            found, size, embedding = self._features(candidate, work)
            self.scores[candidate.model] = self._scores(found)
        except _CutOffError as error:
            self.cut_off.append(Failure(candidate.model, self.dataset.name, 0, str(error)))
            return
        except SelectionError as error:
            self.failures.append(Failure(candidate.model, self.dataset.name, 0, str(error)))
            return
        self.row_seconds[candidate.model] = found.seconds / max(1, len(self.rows))
        if size is not None:
            self.n_parameters[candidate.model] = size
        forward = found.seconds if work.cached else embedding
        self.pace.learn(work, forward, self.clock() - begun - (0.0 if work.cached else embedding))

    def _features(self, candidate: Candidate, work: Work) -> tuple[Features, int | None, float]:
        """The features, the parameters, and the seconds it took to embed the rows or to find them in the cache."""
        from selection.features import extract

        backbone = open_for(
            self.dataset,
            candidate,
            max_length=self.max_length,
            device=self.device,
            max_bytes=self.max_bytes,
            say=self.say,
        )
        begun = self.clock()
        found = extract(backbone, self.rows, cache=self.cache, track=lambda batches, n: self._in_time(batches, work))
        embedding = self.clock() - begun
        folder = _local_folder(candidate.source)
        if folder is not None:
            self.cache.remember(_signature(folder, self.max_length, self.device), backbone.digest)
        return found, backbone.n_parameters, embedding

    def _scores(self, found: Features) -> tuple[ProxyScore, ...]:
        import threadpoolctl

        from selection.proxies import score_all

        with threadpoolctl.threadpool_limits(1):  # on matrices this small threads cost several times what they save
            return score_all(
                found.features,
                self.labels,
                task=self.dataset.task,
                names=self.names,
                source_logits=found.logits,
                sample_digest=found.sample_digest,
                track=self._scores_in_time,
            )

    def _scores_in_time(self, names: Sequence[str]) -> Iterator[str]:
        for done, name in enumerate(names):
            told = f"its features are cached, {done} of {len(names)} proxies were computed"
            self._check_time(self.pace.score_seconds() / len(names), told)
            yield name

    def _in_time(self, batches: Iterable[Any], work: Work) -> Iterator[Any]:
        """The batches while there is time; each is expected to take as long a row as those before it.

        They come longest rows first, so that is at least what it takes.
        """
        start, done = self.clock(), 0
        for batch in batches:
            a_row = (self.clock() - start) / done if done else self.pace.forward_seconds(work) / len(self.rows)
            told = f"{done} of {len(self.rows)} rows were embedded"
            self._check_time(a_row * len(batch), told)
            yield batch
            done += len(batch)

    def _check_time(self, needed: float, told: str) -> None:
        left = self.left()
        if left is not None and needed > left:
            raise _CutOffError(f"out of the proxies' time: {told}")


def _works(session: _Session, candidates: Iterable[Candidate]) -> dict[str, Work]:
    """What probing each candidate takes, from file names, sizes and the cache's index alone."""
    digest = digest_of_rows(session.rows)
    return {one.model: _work(one, session, digest) for one in candidates}


def _work(candidate: Candidate, session: _Session, sample_digest: str) -> Work:
    from selection.backbones import count_parameters

    folder = _local_folder(candidate.source)
    if folder is None:
        return Work(candidate.n_parameters, local=candidate.source is None)
    cached = is_cached(candidate, session.cache, session.max_length, session.device, sample_digest)
    return Work(candidate.n_parameters or count_parameters(folder), cached)


def open_for(
    dataset: Dataset,
    candidate: Candidate,
    *,
    max_length: int,
    device: str,
    max_bytes: int | None = None,
    say: Callable[[str], None] | None = None,
) -> "TransformersBackbone":
    """The candidate's backbone, to read this dataset in the precision that the device multiplies in.

    Raises:
        CheckpointError: it has no source, does not open, or reads another modality.
        BudgetError: the download is larger than `max_bytes`.
    """
    from selection import hub
    from selection.backbones import open_backbone
    from selection.hardware import default_precision

    if candidate.source is None:
        raise CheckpointError("the zoo does not know where its weights are: import a source (folder or hub id) for it")
    backbone = open_backbone(
        candidate.source,
        name=candidate.model,
        max_length=max_length,
        device=device,
        precision=default_precision(device),
        max_bytes=max_bytes or hub.DEFAULT_MAX_BYTES,
        say=say,
    )
    if backbone.modality != dataset.modality:
        raise CheckpointError(f"it reads {backbone.modality} and {dataset.name} holds {dataset.modality}")
    return backbone


def is_cached(candidate: Candidate, cache: FeatureCache, max_length: int, device: str, sample_digest: str) -> bool:
    """Whether the cache holds these rows' features of the candidate, as far as can be told without opening it."""
    folder = _local_folder(candidate.source)
    return folder is not None and cache.holds(_signature(folder, max_length, device), sample_digest)


def _signature(folder: Path, max_length: int, device: str) -> str:
    """Tells a local checkpoint apart, as it is read on the device."""
    from selection.hardware import default_precision

    return checkpoint_signature(folder, max_length, default_precision(device))


def _local_folder(source: str | None) -> Path | None:
    """Where a checkpoint's files are on this machine; None where they are not."""
    from selection import hub

    if source is None:
        return None
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    return hub.cached_folder(source) if not path.exists() and hub.is_hub_id(source) else None


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
