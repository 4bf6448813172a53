"""`Zoo`: the one object users hold. It owns a connection and two folders; every method hands its work to a room."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from selection.executors.executor import Site
from selection.executors.packing import Workers
from selection.records import PRICE, Candidate, Failure, Measurement, Outcome, Pick, Plan, Policy, Recall, Recipe
from zoo_graph.store import Connection, open_store

if TYPE_CHECKING:
    import networkx as nx

    from selection.datasets import Dataset
    from selection.planning import ProxyPolicy
    from selection.recall import Constraints
    from selection.recall.front import Cost
    from zoo_graph.backtest.backtest import Backtest
    from zoo_graph.ingest import Counts, ImportReport
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

    def graph(self) -> "nx.Graph":
        """The models that perform alike, for networkx: what `refresh` finds communities in, from the results as of now.

        Nodes are model ids; an edge's `weight` (larger is closer), `distance` and `overlap` (datasets that both were
        measured on) tell how close two models are.

        Raises:
            StoreError: the store failed.
        """
        from zoo_graph.communities import graph_view
        from zoo_graph.scores import score_matrix
        from zoo_graph.similarity import model_edges
        from zoo_graph.snapshot import take

        matrix = score_matrix(take(self.connection, self.folder))
        return graph_view(matrix, model_edges(matrix))

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
        models: str | Path | Iterable[str | Path] = (),
        proxies: bool | str | Iterable[str] = True,
        proxy_seconds: float | None = None,
        proxy_policy: "ProxyPolicy | None" = None,
        constraints: "Constraints | None" = None,
        hold_out: str | Collection[str] = (),
        max_length: int = 128,
        max_download: int | None = None,
        seed: int = 0,
        along: "Cost | None" = None,
        say: Callable[[str], None] | None = None,
        track: Any = None,
    ) -> Recall:
        """Ranks the zoo's models (and `models`: folders or hub ids) for a dataset, each pick with its reasons.

        A `Dataset` (see `selection.datasets.open_dataset`) is probed with every candidate whose weights are known,
        unless `proxies` is False (names of proxies: these only); the id of a dataset in the graph is answered from what
        the graph holds.
        With `proxy_seconds` the proxies take no more than that (but for the batch that is under way): on the models
        where they are expected to change the picks most (`proxy_policy` "gain"), on one of each community
        ("representatives"), or as they come ("all"); the notes say on whom.
        `along` "n_parameters" or "seconds" the picks are the Pareto front of expected score against that cost.
        `hold_out` names datasets whose results must not count; results on the dataset itself do. Models that cannot be
        opened here are left out, or come last where they have results; those of `models` are `Recall.failures`.

        Raises:
            UnknownNameError: a dataset id that the zoo does not hold.
            InputError, SelectionError: nothing to rank, a constraint that makes no sense, or the zoo knows another
                dataset of that name.
            StoreError: the store failed.
        """
        from zoo_graph.recommendation import recommend

        return recommend(
            self.connection,
            self.folder,
            dataset,
            k,
            models=models,
            proxies=proxies,
            proxy_seconds=proxy_seconds,
            proxy_policy=proxy_policy,
            constraints=constraints,
            hold_out=hold_out,
            max_length=max_length,
            max_download=max_download,
            seed=seed,
            along=along,
            checkpoints=self.checkpoints,
            say=say,
            track=track,
        )

    def plan(
        self,
        dataset: "Dataset",
        picks: Iterable[Pick] | Iterable[Candidate],
        *,
        recipe: Recipe | None = None,
        budget_seconds: float | None = None,
        workers: Workers | Site = 1,
        eval_points: int | None = None,
        policy: Policy = "racing",
        price: float = PRICE,
        track: Any = None,
    ) -> Plan:
        """Rungs, candidates and expected seconds of a selection, before any fine-tune.

        Picks whose features are not cached yet are probed first: that is what tells their speed. By the policy
        "racing" candidates are trained on while what their curves will tell of who is best is worth the steps, a full
        run at `price` (score: .005 is half a point), by what the zoo's finished runs tell of how runs end; see
        `selection.schedule.plan`.

        Raises:
            BudgetError: not even one full run fits the budget.
            InputError: no candidates, none that can be opened, or the zoo knows another dataset of that name.
        """
        from zoo_graph import choice

        return choice.plan(
            self.connection,
            self.folder,
            dataset,
            choice.candidates_in(picks),
            recipe=recipe,
            budget_seconds=budget_seconds,
            workers=workers,
            eval_points=eval_points,
            policy=policy,
            price=price,
            track=track,
        )

    def select(
        self,
        dataset: "Dataset",
        picks: Iterable[Pick] | Iterable[Candidate] = (),
        *,
        plan: Plan | None = None,
        folder: str | Path | None = None,
        workers: Workers | Site = 1,
        disk_bytes: int | None = None,
        deadline_seconds: float | None = None,
        record: bool = True,
        track: Any = None,
        **planning: Any,
    ) -> Outcome:
        """Races the picks by fine-tuning and returns the winner, whose checkpoint is a folder; `planning` as `plan`.

        The race lives in `folder` (default: under the zoo's, named for dataset and candidates): the same call goes on
        after kill -9. With `record` the outcome is written to the graph as new evidence.

        Raises:
            InputError: the folder holds another selection, or the zoo knows another dataset of that name.
            TrialError: every candidate failed.
            BudgetError, StoreError: as `plan`; the store failed (the outcome is kept: call again to record it).
        """
        from zoo_graph import choice

        if plan is not None:
            candidates = [trial.candidate for trial in plan.trials]
            recipe: Recipe | None = plan.trials[0].recipe
            policy: Policy | None = plan.policy
            price: float | None = plan.price
        else:
            candidates, recipe = choice.candidates_in(picks), planning.get("recipe")
            policy, price = planning.get("policy"), planning.get("price")
        named = self.selection_folder(
            dataset, candidates, recipe, policy or "racing", PRICE if price is None else price
        )
        where = named if folder is None else Path(folder)
        plan = (
            plan
            or choice.begun_plan(where, candidates, recipe, policy, price)
            or self.plan(dataset, candidates, workers=workers, **planning)
        )
        return choice.select(
            self.connection,
            dataset,
            plan,
            where,
            workers=workers,
            disk_bytes=disk_bytes,
            deadline_seconds=deadline_seconds,
            record=record,
            track=track,
        )

    def measure(
        self,
        datasets: Sequence["Dataset"],
        models: Iterable[str | Path] | Sequence[Candidate],
        *,
        folder: str | Path | None = None,
        recipe: "Recipe | Callable[[Dataset], Recipe] | None" = None,
        seeds: Sequence[int] = (0,),
        points: int = 8,
        workers: Workers | Site = 1,
        hours: float | None = None,
    ) -> Iterator[Measurement | Failure]:
        """Fine-tunes every model on every dataset; each result is in the graph when it is yielded. Resumable.

        `recipe` is one for all, or makes each dataset's own (default: three epochs of it).

        Raises:
            InputError: nothing to measure, the folder is in use, or the zoo knows another dataset of a name.
            StoreError: the store failed; the measurements are kept, and the same call records them.
        """
        from zoo_graph.measurements import measure

        return measure(
            self.connection,
            self.folder,
            datasets,
            models,
            journal=None if folder is None else Path(folder),
            recipe=recipe,
            seeds=seeds,
            points=points,
            workers=workers,
            hours=hours,
        )

    def backtest(self, targets: str | Collection[str] | None = None, **options: Any) -> "Backtest":
        """Leaves out each dataset (or each of `targets`) in turn and judges recall, history and others by its results.

        `lines()` of what it returns are tables for a terminal; they, JSON and pictures lie in `backtest/` in the zoo's
        folder, and the same call goes on there. For the options see `zoo_graph.backtest.backtest.backtest`.

        Raises:
            UnknownNameError: a dataset that cannot be judged, or an unknown ranker.
            InputError: fewer than three datasets to judge by.
            StoreError: the store failed.
        """
        from zoo_graph.backtest.backtest import backtest

        return backtest(self.connection, self.folder, targets=targets, **options)

    def candidates(self, names: Iterable[str]) -> tuple[list[Candidate], list[Failure]]:
        """Candidates by model id, or by a checkpoint folder or hub id that the zoo does not hold; and what is none.

        Raises:
            StoreError: the store failed.
        """
        from zoo_graph.recommendation import find_candidates

        return find_candidates(self.connection, self.folder, names, self.checkpoints)

    def dataset_ids(self) -> list[str]:
        """The ids of the graph's datasets."""
        from zoo_graph import queries

        return list(self.connection.read(queries.DATASET_IDS)[0]["ids"])

    def holds_dataset(self, name: str) -> bool:
        """Whether the graph holds a dataset of this id."""
        from zoo_graph import queries

        return bool(self.connection.read(queries.DATASET_EXISTS, id=name)[0]["n"])

    def selection_folder(
        self,
        dataset: "Dataset",
        candidates: Sequence[Candidate],
        recipe: Recipe | None,
        policy: Policy = "racing",
        price: float = PRICE,
    ) -> Path:
        """Where a selection without a folder of its own lives: named for dataset, candidates, recipe, policy and price.

        Raises:
            InputError: no candidates.
        """
        from zoo_graph import choice

        return choice.selection_folder(self.folder, dataset, candidates, recipe, policy, price)

    def close(self) -> None:
        """Lets go of the store; an embedded one ends some seconds after its last user."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _as_path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _server_folder(uri: str) -> Path:
    """Where features and selections of a server's zoo are kept on this machine."""
    import platformdirs

    name = hashlib.blake2b(uri.encode(), digest_size=6).hexdigest()
    folder = Path(platformdirs.user_cache_dir("zoo-graph")) / "servers" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
