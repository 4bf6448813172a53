"""The backtest of a user's own zoo: which ranker would have found its best models, and does ours beat history there?"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selection.executors.executor import Site
from selection.executors.packing import Workers
from zoo_graph.aliases import each_of
from zoo_graph.backtest import report
from zoo_graph.backtest.cases import Source
from zoo_graph.backtest.links import LINKED
from zoo_graph.backtest.rankers import RANKERS, Ranker, with_proxies
from zoo_graph.backtest.records import Record
from zoo_graph.backtest.run import run
from zoo_graph.backtest.zoo_source import NAME, ZooSource
from zoo_graph.errors import UnknownNameError
from zoo_graph.ingest.session import code_version
from zoo_graph.snapshot import take
from zoo_graph.store.connection import Connection

GROUPS = (report.Group(NAME),)
FIRST = ("ours", "ours_links", "history")
# Beside history: what link prediction adds to the recall.
COMPARED = (("ours_links", "ours"),)


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a backtest found: every record, the files that show it, and which datasets were not judged."""

    records: tuple[Record, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The tables for a terminal, and whether ours beat history."""
        shown = report.lines(self.records, GROUPS, first=FIRST, compared=COMPARED)
        verdicts = (report.verdict(self.records, GROUPS[0], *pair) for pair in (("ours", "history"), *COMPARED))
        return [*shown, *self.notes, "", *(line for verdict in verdicts for line in verdict)]

    def rows(self) -> list[dict[str, Any]]:
        """`{regime, ranker, metric, mean, stderr, n, difference, difference_stderr, p, tie}`, a row each.

        Differences are from history, paired; None where there is none.
        """
        return report.rows(self.records, GROUPS[0])


def backtest(
    connection: Connection,
    folder: Path,
    *,
    targets: str | Collection[str] | None = None,
    rankers: Mapping[str, Ranker] | None = None,
    only: str | Collection[str] | None = None,
    evaluated: Sequence[int] = (0,),
    workers: Workers | Site = 1,
    hold_out: Mapping[str, str | Collection[str]] | None = None,
    links: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    track: Callable[[int, int], None] | None = None,
) -> Backtest:
    """Leaves out each target of the zoo in turn, asks every ranker for it, and judges them by the results there.

    `rankers` (None: `RANKERS` and each of the graph's proxies alone), of which `only` names the wanted ones; history is
    always among them. `evaluated`: for 0 a ranker knows nothing of the target, for n the results of history's first n
    models. `hold_out`: for a target, further datasets whose results must not count (its parts or supersets). `links`:
    two more, `link_prediction` alone and `ours_links`, recall with it as evidence, both from ten networks trained
    without the targets' folds (see `links.learn_links`; minutes). Journal, table, JSON and picture lie in `out`
    (default `backtest/` under `folder`, the zoo's own); the same call goes on there after an interruption, in training
    too, and asks anew when the zoo has changed. `track(done, of)` is told of progress.

    Raises:
        UnknownNameError: a target without results or not held, or an unknown ranker.
        InputError: fewer than three datasets to judge by, a target that cannot be judged (`ZooSource.targets`), no
            ranker, a negative number evaluated, or `out` is in use or damaged.
        StoreError: the store failed.
    """
    held = {target: each_of(names) for target, names in (hold_out or {}).items()}
    source = ZooSource(take(connection, folder), None if targets is None else each_of(targets), held)
    table = _table(source, rankers, None if only is None else each_of(only), links)
    where = folder / "backtest" if out is None else Path(out)
    tell = _Progress(len(source.targets) * len(evaluated) * len(table), track)
    code = code_version()

    def learnt() -> Source:
        return source.with_links(where / "links", workers, seed, code, tell.of_training)

    # Those that need no training come first: they stand if it fails.
    linked = {name: ranker for name, ranker in table.items() if name in LINKED} if links else {}
    plain = {name: ranker for name, ranker in table.items() if name not in linked}
    records: list[Record] = []
    for some, prepare in ((plain, None), (linked, learnt)):
        if some:
            asked = run(
                source,
                some,
                where,
                evaluated=evaluated,
                workers=workers,
                seed=seed,
                code=code,
                prepare=prepare,
            )
            records += map(tell.of_record, asked)
    head = {"zoo": connection.uri, "version": code_version(), "evidence": source.digest, "seed": seed}
    files = report.write(records, where, GROUPS, head, first=FIRST, compared=COMPARED)
    return Backtest(tuple(records), files, source.notes)


class _Progress:
    """Counts rankings, and networks as they are trained."""

    def __init__(self, rankings: int, track: Callable[[int, int], None] | None) -> None:
        self._records = self._networks = self._of_networks = 0
        self._rankings = rankings
        self._track = track

    def of_record(self, record: Record) -> Record:
        """Counts the record and gives it back."""
        self._records += 1
        self._tell()
        return record

    def of_training(self, networks: int, of: int) -> None:
        """So many of the networks are trained."""
        self._networks, self._of_networks = networks, of
        self._tell()

    def _tell(self) -> None:
        if self._track is not None:
            self._track(self._records + self._networks, self._rankings + self._of_networks)


def _table(
    source: ZooSource, rankers: Mapping[str, Ranker] | None, only: Collection[str] | None, links: bool
) -> dict[str, Ranker]:
    table = dict(rankers) if rankers is not None else with_proxies(source.proxies)
    table |= LINKED if links else {}
    for name in only or ():
        if name not in table:
            raise UnknownNameError("ranker", name, table)
    wanted = {name: ranker for name, ranker in table.items() if only is None or name in only}
    return {"history": RANKERS["history"], **wanted}
