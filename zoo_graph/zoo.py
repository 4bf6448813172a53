"""`Zoo`: the one object users hold. It owns a connection and two folders; every method hands its work to a room."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from selection.records import Candidate, Failure, Measurement, Outcome, Pick, Plan, Recall, Recipe
from zoo_graph.errors import InputError, UnknownNameError
from zoo_graph.store import Connection, open_store

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.features import FeatureCache
    from selection.probing import Probed
    from selection.recall import Constraints
    from zoo_graph.ingest import Counts, ImportReport
    from zoo_graph.records import Run, RunKind
    from zoo_graph.refresh import RefreshReport
    from zoo_graph.store.rows import Rows


class Zoo:
    """A zoo, opened. Use it as a context, or call `close`.

    `folder` keeps what is not in the graph: features and selections. Of an embedded zoo it is its own folder.
    """

    def __init__(self, connection: Connection, folder: Path, checkpoints: Path | None = None) -> None:
        self.connection = connection
        self.folder = folder
        self.checkpoints = checkpoints

    @classmethod
    def open(
        cls,
        where: str | Path = "zoo.db",
        *,
        user: str | None = None,
        password: str | None = None,
        create: bool = True,
        checkpoints: str | Path | None = None,
    ) -> "Zoo":
        """Opens the zoo in a folder (made if `create`), or on a Neo4j server at bolt:// or neo4j://.

        `checkpoints` is the folder that relative model sources are found in.

        Raises:
            InputError: no zoo there.
            StoreError: the store is locked, down, or refuses the password.
        """
        connection = open_store(where, user=user, password=password, create=create)
        return cls(connection, connection.folder or _server_folder(connection.uri), _as_path(checkpoints))

    def import_results(self, path: str | Path, **said: Any) -> "ImportReport":
        """Imports a table of results, models, datasets or proxies; see `zoo_graph.ingest.import_file`.

        Raises:
            ImportFileError: nothing of the file can be imported.
            InputError: a keyword that is not understood.
            StoreError: the store failed; the same call continues.
        """
        from zoo_graph.ingest import import_file

        return import_file(self.connection, path, **said)

    def forget(self, run: str) -> "Counts":
        """Takes a run's contribution back out; see `zoo_graph.ingest.forget`.

        Raises:
            UnknownNameError: there is no such run.
            StoreError: the store failed; the same call continues.
        """
        from zoo_graph.ingest import forget

        return forget(self.connection, run)

    def export(self, folder: str | Path) -> dict[str, int]:
        """Writes all that was imported or measured as CSV tables; returns rows by table.

        Raises:
            StoreError: the store failed.
        """
        from zoo_graph.export import export

        return export(self.connection, folder)

    def query(self, cypher: str, *, seconds: float = 10, max_rows: int | None = None, **parameters: Any) -> "Rows":
        """Rows of a reading Cypher statement.

        Raises:
            QueryRefusedError: it writes, or does not parse.
            QueryLimitError: it ran into its limit of time or memory.
            StoreError: the store failed.
        """
        return self.connection.query(cypher, parameters, seconds=seconds, max_rows=max_rows)

    def refresh(self, **options: Any) -> "RefreshReport":
        """Brings scores, similarities and communities up to date; see `zoo_graph.refresh.refresh`.

        Raises:
            RefreshBusyError: another refresh is at work.
            StoreError: the store failed; the next refresh continues.
        """
        from zoo_graph.refresh import refresh

        return refresh(self.connection, self.folder, **options)

    def status(self) -> dict[str, Any]:
        """Counts by kind, the graph's version, the newest runs and the bytes of cached features.

        Raises:
            StoreError: the store failed.
        """
        from zoo_graph import queries

        counts = {name: self.connection.read(text)[0]["n"] for name, text in queries.STATUS_COUNTS.items()}
        runs = self.connection.read(queries.STATUS_RUNS, limit=10)
        return {
            "zoo": self.connection.uri if not self.connection.embedded else str(self.folder),
            "version": self.connection.version(),
            "counts": counts,
            "runs": runs,
            "feature_cache_bytes": sum(p.stat().st_size for p in (self.folder / "features").glob("*.safetensors")),
        }

    def recommend(
        self,
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
        say: Callable[[str], None] | None = None,
        track: Any = None,
    ) -> Recall:
        """Ranks the zoo's models (and `models`: folders or hub ids) for a dataset, each pick with its reasons.

        A `Dataset` (see `selection.datasets.open_dataset`) is probed with every candidate whose weights are known,
        unless `proxies` is False; the id of a dataset in the graph is answered from what the graph holds.
        `hold_out` names datasets whose results must not count; results on the dataset itself do.

        Raises:
            UnknownNameError: a dataset id that the zoo does not hold.
            InputError, SelectionError: nothing to rank, or a constraint that makes no sense.
            StoreError: the store failed.
        """
        from selection.probing import local_candidates
        from selection.recall import Constraints, recall
        from zoo_graph.evidence import candidates_of, evidence
        from zoo_graph.snapshot import take

        snapshot = take(self.connection, self.folder)
        target = dataset if isinstance(dataset, str) else dataset.name
        if isinstance(dataset, str) and dataset not in snapshot.dataset_ids:
            raise UnknownNameError("dataset", dataset, snapshot.dataset_ids)
        given, failures = local_candidates(models)
        pool = {candidate.model: candidate for candidate in candidates_of(snapshot, self.checkpoints)}
        pool |= {candidate.model: _merged(candidate, pool.get(candidate.model)) for candidate in given}
        if not pool:
            raise InputError("the zoo holds no model and none was given: import results, or name models with --models")
        constraints = constraints or Constraints()
        notes = [f"{failure.model}: {failure.reason}" for failure in failures]
        scores: Mapping[str, Any] = {}
        if not isinstance(dataset, str):
            constraints = replace(constraints, modality=constraints.modality or dataset.modality)
            if proxies is not False:
                names = None if proxies is True else proxies
                probed = self._probe(
                    dataset, list(pool.values()), constraints, names, max_length, max_download, say, track
                )
                scores = probed.scores
                pool |= {name: replace(pool[name], n_parameters=n) for name, n in probed.n_parameters.items()}
                notes += _probe_notes(probed, len(pool))
        known = evidence(snapshot, list(pool.values()), target=target, proxies=scores, hold_out=hold_out)
        found = recall(known, k, constraints=constraints, seed=seed)
        return replace(found, notes=(*found.notes, *notes))

    def plan(
        self,
        dataset: "Dataset",
        picks: Sequence[Pick] | Sequence[Candidate],
        *,
        recipe: Recipe | None = None,
        budget_seconds: float | None = None,
        workers: int = 1,
        eval_points: int = 8,
        track: Any = None,
    ) -> Plan:
        """Rungs, candidates and expected seconds of a selection, before any fine-tune.

        Picks whose features are not cached yet are probed first: that is what tells their speed.

        Raises:
            BudgetError: not even one full run fits the budget.
            InputError: no candidate can be opened.
        """
        from selection.errors import InputError as SelectionInputError
        from selection.finetune import default_device, default_precision
        from selection.recipes import overhead_for, recipe_for, seconds_per_step
        from selection.schedule import plan

        recipe = recipe or recipe_for(dataset, precision=default_precision(default_device()))
        candidates = _candidates(picks)
        probed = self._probe(dataset, candidates, None, None, recipe.max_length, None, None, track)
        usable = [
            replace(candidate, n_parameters=probed.n_parameters.get(candidate.model, candidate.n_parameters))
            for candidate in candidates
            if candidate.model in probed.scores
        ]
        failed = tuple(f"{failure.model} is left out: {failure.reason}" for failure in probed.failures)
        if not usable:
            raise SelectionInputError("no candidate can be fine-tuned here: " + "; ".join(failed))
        found = plan(
            usable,
            recipe,
            seconds_per_step=seconds_per_step(usable, recipe, probed.row_seconds),
            overhead=overhead_for(dataset, recipe),
            eval_points=eval_points,
            workers=workers,
            budget_seconds=budget_seconds,
        )
        return replace(found, notes=(*found.notes, *failed))

    def select(
        self,
        dataset: "Dataset",
        picks: Sequence[Pick] | Sequence[Candidate] = (),
        *,
        plan: Plan | None = None,
        folder: str | Path | None = None,
        workers: int = 1,
        deadline_seconds: float | None = None,
        record: bool = True,
        track: Any = None,
        **planning: Any,
    ) -> Outcome:
        """Fine-tunes the picks by successive halving and returns the winner, whose checkpoint is a folder.

        The race lives in `folder` (default: under the zoo's, named for dataset and candidates): the same call goes on
        after kill -9. With `record` the outcome is written to the graph as new evidence.

        Raises:
            InputError: the folder holds another selection.
            TrialError: every candidate failed.
            BudgetError, StoreError: as `plan`; the store failed (the outcome is kept: call again to record it).
        """
        from selection.finetune import FineTuner, default_device
        from selection.journal import recorded_plan
        from selection.runner import select
        from zoo_graph.ingest import record_outcome

        if folder is None and plan is None:
            recipe = planning.get("recipe")
            folder = self.selection_folder(dataset, _candidates(picks), recipe)
        elif folder is None and plan is not None:
            trials = plan.trials
            folder = self.selection_folder(dataset, [trial.candidate for trial in trials], trials[0].recipe)
        where = Path(folder or "")
        known = recorded_plan(where) if where.exists() else None
        plan = plan or known or self.plan(dataset, picks, workers=workers, **planning)
        candidates = [trial.candidate for trial in plan.trials]
        probed = self._probe(dataset, candidates, None, None, plan.trials[0].recipe.max_length, None, None, None)
        outcome = select(
            dataset.name,
            plan,
            FineTuner(dataset, device=default_device()),
            where,
            dataset_digest=dataset.digest,
            probe_scores={candidate.model: probed.probe(candidate.model) for candidate in candidates},
            n_validation=int(dataset.validation.size),
            n_test=int(dataset.test.size),
            workers=workers,
            deadline_seconds=deadline_seconds,
            track=track,
        )
        if record:
            digest = hashlib.blake2b(f"{where.resolve()}|{dataset.digest}".encode(), digest_size=6).hexdigest()
            record_outcome(self.connection, outcome, _run("selection", digest, {"dataset": dataset.name}))
        return outcome

    def measure(
        self,
        datasets: Sequence["Dataset"],
        models: Iterable[str | Path] | Sequence[Candidate],
        *,
        folder: str | Path | None = None,
        recipe: Recipe | None = None,
        seeds: Sequence[int] = (0,),
        points: int = 8,
        workers: int = 1,
        hours: float | None = None,
    ) -> Iterator[Measurement | Failure]:
        """Fine-tunes every model on every dataset; each result is in the graph when it is yielded. Resumable.

        Raises:
            InputError: nothing to measure, or the folder is in use.
            StoreError: the store failed; the measurements are kept, and the same call records them.
        """
        from selection.finetune import default_device, default_precision
        from selection.measure import measure
        from selection.recipes import recipe_for
        from zoo_graph.ingest import ingest, record_measurements

        candidates, failures = _given(models)
        yield from failures
        names = sorted({dataset.name for dataset in datasets})
        run = _run("measure", hashlib.blake2b("|".join(names).encode(), digest_size=6).hexdigest(), {"datasets": names})
        ingest(self.connection, [*_model_records(candidates), *_dataset_records(datasets)], run)
        if not datasets or not candidates:
            raise InputError(
                f"got {len(datasets)} datasets and {len(candidates)} usable models; wanted at least one each"
            )
        device = default_device()
        longest = max(datasets, key=lambda dataset: dataset.train.size)
        recipe = recipe or recipe_for(longest, precision=default_precision(device))
        for found in measure(
            datasets,
            candidates,
            Path(folder) if folder is not None else self.folder / "measurements",
            recipe=recipe,
            seeds=seeds,
            points=points,
            workers=workers,
            hours=hours,
            cache=self.folder / "features",
            device=device,
        ):
            if isinstance(found, Measurement):
                record_measurements(self.connection, [found], run)
            yield found

    def candidates(self, names: Iterable[str]) -> list[Candidate]:
        """Candidates by model id, or by a checkpoint folder or hub id that the zoo does not hold.

        Raises:
            UnknownNameError: a name that is none of these.
        """
        from selection.hub import is_hub_id
        from selection.probing import local_candidates
        from zoo_graph.evidence import candidates_of
        from zoo_graph.snapshot import take

        known = {one.model: one for one in candidates_of(take(self.connection, self.folder), self.checkpoints)}
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

    def dataset_ids(self) -> list[str]:
        """The ids of the graph's datasets."""
        from zoo_graph import queries

        return list(self.connection.read(queries.DATASET_IDS)[0]["ids"])

    def holds_dataset(self, name: str) -> bool:
        """Whether the graph holds a dataset of this id."""
        from zoo_graph import queries

        return bool(self.connection.read(queries.DATASET_EXISTS, id=name)[0]["n"])

    def selection_folder(self, dataset: "Dataset", candidates: Sequence[Candidate], recipe: Recipe | None) -> Path:
        """Where a selection without a folder of its own lives: named for dataset, candidates and recipe.

        Raises:
            InputError: no candidates.
        """
        if not candidates:
            raise InputError("got no candidates to select from; wanted picks of recommend(), or a plan")
        text = "|".join((dataset.digest, str(recipe), *sorted(candidate.model for candidate in candidates)))
        return self.folder / "selections" / hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def close(self) -> None:
        """Lets go of the store; an embedded one ends some seconds after its last user."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cache(self) -> "FeatureCache":
        from selection.features import FeatureCache

        return FeatureCache(self.folder / "features")

    def _probe(
        self,
        dataset: "Dataset",
        candidates: Sequence[Candidate],
        constraints: "Constraints | None",
        names: Iterable[str] | None,
        max_length: int,
        max_download: int | None,
        say: Callable[[str], None] | None,
        track: Any,
    ) -> "Probed":
        from selection.finetune import default_device
        from selection.probing import probe
        from selection.recall.constraints import admit

        if constraints is not None:
            # Nothing is downloaded or run for a model that no pick can be; those without weights have their history.
            allowed = admit(tuple(candidates), constraints).kept
            candidates = [candidates[index] for index in allowed if candidates[index].source is not None]
        return probe(
            dataset,
            candidates,
            self._cache(),
            max_length=max_length,
            names=names,
            device=default_device(),
            max_bytes=max_download,
            say=say,
            track=track,
        )


def _as_path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _server_folder(uri: str) -> Path:
    """Where features and selections of a server's zoo are kept on this machine."""
    import platformdirs

    name = hashlib.blake2b(uri.encode(), digest_size=6).hexdigest()
    folder = Path(platformdirs.user_cache_dir("zoo-graph")) / "servers" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _merged(given: Candidate, known: Candidate | None) -> Candidate:
    if known is None:
        return given
    return replace(known, source=given.source, modality=given.modality or known.modality)


def _candidates(picks: Sequence[Pick] | Sequence[Candidate]) -> list[Candidate]:
    return [pick.candidate if isinstance(pick, Pick) else pick for pick in picks]


def _probe_notes(probed: "Probed", n_models: int) -> list[str]:
    notes = [f"{failure.model} could not be probed: {failure.reason}" for failure in probed.failures]
    if not probed.scores:
        notes.append("no proxy could be computed: no model's weights could be opened here")
    elif len(probed.scores) < n_models:
        notes.append(
            f"proxies were computed for {len(probed.scores)} of {n_models} models (the others' weights are not known)"
        )
    return notes


def _given(models: Iterable[Any]) -> tuple[list[Candidate], list[Failure]]:
    from selection.probing import local_candidates

    listed = list(models)
    ready = [model for model in listed if isinstance(model, Candidate)]
    opened, failures = local_candidates(model for model in listed if not isinstance(model, Candidate))
    return [*ready, *opened], failures


def _model_records(candidates: Sequence[Candidate]) -> list[Any]:
    from zoo_graph.records import Model

    return [
        Model(
            candidate.model,
            family=candidate.family,
            modality=candidate.modality,
            n_parameters=candidate.n_parameters,
            license=candidate.license,
            source=candidate.source,
        )
        for candidate in candidates
    ]


def _dataset_records(datasets: Sequence["Dataset"]) -> list[Any]:
    from zoo_graph.records import Dataset

    return [
        Dataset(
            dataset.name,
            task="classification",
            modality=dataset.modality,
            n_classes=dataset.n_classes,
            n_samples=int(dataset.labels.size),
        )
        for dataset in datasets
    ]


def _run(kind: "RunKind", digest: str, parameters: Mapping[str, Any]) -> "Run":
    from zoo_graph.records import Run

    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(f"{kind}-{digest}", kind, now, input_digest=digest, parameters=json.dumps(parameters, sort_keys=True))
