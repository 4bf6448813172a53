"""Recall with link prediction in it and without, beside the signals alone, where all is measured and in sparse zoos.

    python benchmarks/fusion.py --data ../shared/data [--json OUT] [--matrix NAME ...] [--hide 0 95 single]
        [--draws 1] [--keep FOLDER] [--folder FOLDER] [--workers 1]

`--hide 95` hides that share of all results at random, `single` leaves 30 % of the models one result; the truth judges
all the same; `--draws` hides so many times anew and averages each target over the draws. Rankers: `history`, plain mean
z; `shrunk`, mean z times n / (n + 3); `gnn` and `mixed`, the graph network and the linear mixed model alone; `recall`
without either; `recall_gnn`, `recall_mixed`, `recall_both` with them as evidence. No network, variance, multiplier or
past prediction that ranks a target has seen a result on it: see `zoo_graph.link_prediction.nested`; the mixed model
passes through the same parts. `--keep` holds what the networks said (training takes most of the time), `--folder` what
was judged. Prints tables and with --json writes `{measure, value, unit, n, stderr}` after one record of the machine;
`<ranker>/<metric>_minus_<other>` are paired differences and `..._p` their p of a sign-flip test.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
if __name__ == "__main__" and any(os.environ.get(name) != "1" for name in THREADS):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)  # BLAS reads it when it is loaded

import numpy as np  # noqa: E402
from link_prediction import SMALL, graph_of, hide, widened  # noqa: E402
from matrices import Matrix, matrices  # noqa: E402
from matrix import similarities  # noqa: E402

from selection.recall import Evidence  # noqa: E402
from zoo_graph.backtest import report  # noqa: E402
from zoo_graph.backtest.cases import Case, Table  # noqa: E402
from zoo_graph.backtest.quality import Ranking, by_score  # noqa: E402
from zoo_graph.backtest.rankers import Ranker, history, ours, proxy_alone  # noqa: E402
from zoo_graph.backtest.records import Record  # noqa: E402
from zoo_graph.backtest.report import Group  # noqa: E402
from zoo_graph.backtest.run import run  # noqa: E402
from zoo_graph.backtest.summary import Results, results  # noqa: E402
from zoo_graph.link_prediction import mixed  # noqa: E402
from zoo_graph.link_prediction import results as visible  # noqa: E402
from zoo_graph.link_prediction.nested import Nested, Plan, fit_pair, nested, parts, plan  # noqa: E402

HIDDEN = ("0", "95", "single")
SIGNALS = ("gnn", "mixed")
FIRST = ("history", "shrunk", "mixed", "gnn", "recall", "recall_mixed", "recall_gnn", "recall_both")
SHOWN = ("regret1", "regret3", "regret5", "regret10", "pearson", "weighted_tau")
AGAINST = ("history", "mixed", "recall", "recall_mixed")
FOLDS = 5


# -- what the signals say


def signals(matrix: Matrix, shown: np.ndarray, place: Path | None) -> tuple[dict[str, Nested], dict[str, float]]:
    """What each signal says, kept at `place`, and the seconds that took."""
    if place is not None and place.exists():
        held = np.load(place)
        kept = {name: Nested(*(held[f"{name}_{part}"] for part in Nested.__slots__)) for name in SIGNALS}
        return kept, {}
    graph = graph_of(matrix)
    graph = graph.with_scores(widened(shown, len(graph.datasets)))
    found, seconds = {}, {}
    for name, say in (("gnn", by_networks), ("mixed", by_mixed_model)):
        start = time.perf_counter()
        every = say(plan(graph, folds=FOLDS))
        n = len(matrix.datasets)  # further datasets of the graph have no results
        found[name] = Nested(every.said[:, :n], every.past[:, :, :n], every.part[:n], every.beyond[:n])
        seconds[name] = time.perf_counter() - start
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        parts = {f"{name}_{part}": getattr(one, part) for name, one in found.items() for part in Nested.__slots__}
        np.savez_compressed(place, **parts)
    return found, seconds


def by_networks(laid: Plan) -> Nested:
    return nested(laid, {pair: fit_pair(laid, pair) for pair in laid.pairs})


def by_mixed_model(laid: Plan) -> Nested:
    """The mixed model without the same results; variances are learnt once for all past datasets of a target's part."""
    graph, every = laid.graph, visible.read_results(laid.graph.scores)
    design = mixed.design_of(graph)
    part = np.concatenate([np.full(len(columns), n) for n, columns in enumerate(parts(laid))])
    part = part[np.argsort(np.concatenate(list(parts(laid))))]
    found = Nested(
        np.zeros(graph.scores.shape),
        np.zeros((part.max() + 1, *graph.scores.shape), dtype=np.float32),
        part,
        np.ones(len(part), dtype=np.bool_),
    )
    for n in range(part.max() + 1):
        known = every.hide(np.flatnonzero(part == n))
        variances = mixed.learn_variances(known, design)
        for d in range(len(graph.datasets)):
            found.past[n][:, d] = mixed.fit_effects(known.hide(np.array([d])), design, variances).mean
    for d in range(len(graph.datasets)):
        known = every.hide(np.array([d]))
        found.said[:, d] = mixed.fit_effects(known, design, mixed.learn_variances(known, design)).mean
    return found


# -- rankers


@dataclass(frozen=True)
class Signalled:
    """A table whose cases carry what the signals say: as proxies under their names, where it is more than history, and
    under `<name> alone` in any case."""

    table: Table
    said: Mapping[str, Nested]

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def targets(self) -> tuple[str, ...]:
        return self.table.targets

    @cached_property
    def digest(self) -> str:
        return replace(self.table, proxies=self.table.proxies | {n: one.said for n, one in self.said.items()}).digest

    def case(self, target: str) -> Case:
        plain = self.table.case(target)
        column = self.table.datasets.index(target)
        others = [self.table.datasets.index(name) for name in plain.evidence.datasets]
        proxies, past = dict(plain.evidence.proxies), dict(plain.evidence.past_proxies)
        for name, one in self.said.items():
            proxies[f"{name} alone"], before = one.of(column)
            if one.beyond[column]:
                proxies[name], past[name] = proxies[f"{name} alone"], before[:, others]
        return replace(plain, evidence=replace(plain.evidence, proxies=proxies, past_proxies=past))


def recall_with(names: Sequence[str], evidence: Evidence, seed: int) -> Ranking:
    """Recall on the evidence without the signals that are not named."""
    left = {f"{name} alone" for name in SIGNALS} | {name for name in SIGNALS if name not in names}
    proxies, past = (
        {name: values for name, values in held.items() if name not in left}
        for held in (evidence.proxies, evidence.past_proxies)
    )
    return ours(replace(evidence, proxies=proxies, past_proxies=past), seed)


def shrunk(evidence: Evidence, seed: int) -> Ranking:
    return by_score(visible.history(visible.read_results(evidence.scores)))


RANKERS: Mapping[str, Ranker] = {
    "history": history,
    "shrunk": shrunk,
    "mixed": partial(proxy_alone, "mixed alone"),
    "gnn": partial(proxy_alone, "gnn alone"),
    "recall": partial(recall_with, ()),
    "recall_mixed": partial(recall_with, ("mixed",)),
    "recall_gnn": partial(recall_with, ("gnn",)),
    "recall_both": partial(recall_with, SIGNALS),
}


# -- telling


def averaged(draws: Sequence[Record]) -> Iterator[Record]:
    """One record for each matrix, target and ranker: the mean of each measure over the draws."""
    apart: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for one in draws:
        if one.state == "failed":
            raise SystemExit(f"{one.ranker} failed on {one.target} of {one.matrix}: {one.reason}")
        apart[one.matrix, one.target, one.ranker].append(one)
    for alike in apart.values():
        metrics = {name: float(np.mean([one.metrics[name] for one in alike])) for name in alike[0].metrics}
        yield replace(alike[0], metrics=metrics)


def against(found: Results, group: Group, other: str) -> Iterator[str]:
    """A line for each ranker: change of regret in percent, of agreement as it is; p of a sign-flip test."""
    yield f"{group.name}, less {other}"
    for ranker in (name for name in FIRST if name != other and name in found.rankers):
        cells = []
        for metric in SHOWN:
            paired = found.paired(ranker, metric, group.matrices, group.over, other)
            change = (
                f"{paired.relative:+.0%}"
                if metric.startswith("regret") and np.isfinite(paired.relative)
                else f"{paired.difference.value:+.3f}"
            )
            cells.append(f"{change} {'tie' if paired.is_tie else f'p {paired.p:.3f}'}")
        yield f"{ranker:14}" + "".join(f"{cell:>16}" for cell in cells)


def told(records: Sequence[Record], groups: Sequence[Group], how: str) -> Iterator[str]:
    found = results(records)["cold"]
    for group in groups:
        means = {name: [found.mean(name, metric, group.matrices, group.over) for metric in SHOWN] for name in FIRST}
        yield f"{group.name}, {how}, {means['history'][0].n} {group.over}: " + ", ".join(SHOWN)
        for name, row in means.items():
            yield f"{name:14}" + "".join(f"{f'{one.value:.3f} ± {one.stderr:.3f}':>16}" for one in row)
        for other in AGAINST:
            yield from against(found, group, other)
        yield ""


def measures(records: Sequence[Record], groups: Sequence[Group], how: str) -> Iterator[dict[str, object]]:
    for other in AGAINST:
        for one in report.measures(records, groups, other):
            if other == AGAINST[0] or "_minus_" in str(one["measure"]):
                yield one | {"measure": str(one["measure"]).replace("/cold/", f"/{how}/")}


def setting(how: str) -> str:
    return {"0": "cold", "single": "cold_single30"}.get(how, f"cold_hidden{how}")


def judged(options: argparse.Namespace, how: str) -> Iterator[Record]:
    """Every record of one setting, draw by draw."""
    for matrix in matrices(options.data, options.matrix):
        for draw in range(1 if how == "0" else options.draws):
            start = time.perf_counter()
            shown = hide(matrix.scores, how, draw)
            name = f"{matrix.name}-{setting(how)}-{draw}"
            said, seconds = signals(matrix, shown, options.keep and options.keep / f"{name}.npz")
            known = Table(
                matrix.name,
                matrix.candidates,
                matrix.datasets,
                shown,
                matrix.targets,
                matrix.proxies,
                truth=matrix.scores,
                similarity=similarities(matrix),
            )
            yield from run(
                Signalled(known, said),
                RANKERS,
                options.folder and options.folder / name,
                workers=options.workers,
                code=options.code,
            )
            spent = ", ".join(f"{signal} {value:.0f} s" for signal, value in seconds.items())
            print(f"{name}: {time.perf_counter() - start:.0f} s ({spent})", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--matrix", nargs="+", default=SMALL)
    parser.add_argument("--hide", nargs="+", default=HIDDEN)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--code", default="", help="what was judged under another word is judged anew")
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    for how in options.hide:
        records = list(averaged(list(judged(options, how))))
        names = tuple(dict.fromkeys(one.matrix for one in records))
        groups = [Group("pooled"), *(Group(name, (name,)) for name in names)]
        print("\n".join(told(records, groups, setting(how))), flush=True)
        found += measures(records, groups, setting(how))
        write(options.json, found)  # after each setting: a run takes long


def write(path: Path | None, found: list[dict[str, object]]) -> None:
    if path is None:
        return
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    head = {"machine": platform.platform(), "command": " ".join(sys.argv), "commit": commit}
    path.write_text(json.dumps([head, *found], indent=1))


if __name__ == "__main__":
    main()
