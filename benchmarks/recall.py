"""Every ranker on every matrix of published results, one dataset left out at a time, cold and warm.

    python benchmarks/recall.py --data ../shared/data --json OUT [--matrix NAME ...] [--workers 2]

Needs the benchmark input folder (--data). Prints tables of means and of paired differences from history (relative
change of regret or absolute change of agreement, "tie" under one standard error, p of a sign-flip test), and with
--json writes `{measure, value, unit, n, stderr}` records, the tables as text and a picture beside them. Measures are
`recall/<matrix or group>/<cold|warm<k>>/<ranker>/<metric>`; groups are `pooled` (the 181 targets), `pooled_further`
(the 234) and `pooled_all`, and `matrices...` with each matrix counted once. Warm: history's first k models have been
evaluated, whoever ranks; regret<j> is then of the best of those and of the j models tried next.

The cold and warm code is the product's (`zoo_graph.backtest`); only the arrays come from files. `--hide 95` hides that
share of the results from the rankers, `--single 30` leaves so many percent of the models one result: the truth judges
all the same. With --folder the run goes on where it was stopped; another commit or changed code starts over.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
if __name__ == "__main__" and any(os.environ.get(name) != "1" for name in THREADS):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)  # BLAS reads it when it is loaded

import numpy as np  # noqa: E402
from ablations import ABLATIONS  # noqa: E402
from matrices import READERS, Matrix, matrices  # noqa: E402
from matrix import similarities  # noqa: E402
from released import predictions, published  # noqa: E402

from selection.recall import FloatArray  # noqa: E402
from zoo_graph.backtest import chart, report  # noqa: E402
from zoo_graph.backtest.cases import Table  # noqa: E402
from zoo_graph.backtest.rankers import Ranker, with_proxies  # noqa: E402
from zoo_graph.backtest.records import Record  # noqa: E402
from zoo_graph.backtest.report import Group  # noqa: E402
from zoo_graph.backtest.run import run  # noqa: E402
from zoo_graph.backtest.summary import Results, results  # noqa: E402

EVALUATED = (0, 1, 3, 5, 10)
FIRST = ("ours", "history")
COMPARED = ("pearson", "weighted_tau", "spearman", "regret1")
_RELEASED = "transfergraph_"
ROOT = Path(__file__).resolve().parents[1]


def table(matrix: Matrix, hide: float, single: float) -> Table:
    """The matrix as the backtest takes it; what is hidden still judges."""
    shown, suffix = matrix.scores, ""
    if hide:
        shown, suffix = hidden(shown, hide / 100), f"_hidden{hide:g}"
    if single:
        shown, suffix = left_single(shown, single / 100), f"{suffix}_single{single:g}"
    return Table(
        matrix.name + suffix,
        matrix.candidates,
        matrix.datasets,
        shown,
        matrix.targets,
        matrix.proxies,
        truth=matrix.scores if suffix else None,
        similarity=similarities(matrix),
    )


def hidden(scores: FloatArray, share: float) -> FloatArray:
    """The scores with a share of them unknown, at random."""
    return np.where(np.random.default_rng(0).random(scores.shape) < share, np.nan, scores)


def left_single(scores: FloatArray, share: float) -> FloatArray:
    """The scores where a share of the models, at random, has but one result left."""
    rng = np.random.default_rng(0)
    found = scores.copy()
    for m in rng.permutation(len(scores))[: round(share * len(scores))]:
        seen = np.flatnonzero(~np.isnan(scores[m]))
        found[m, np.setdiff1d(seen, rng.choice(seen, 1))] = np.nan
    return found


def rankers_for(matrix: Matrix, data: Path, ablate: bool) -> dict[str, Ranker]:
    """The product's table, each proxy alone, what others released for this matrix, and ours with parts left out."""
    parts = ABLATIONS if ablate else {"ours_no_proxies": ABLATIONS["ours_no_proxies"]} if matrix.proxies else {}
    return {**with_proxies(matrix.proxies), **parts, **predictions(data, matrix.name)}


def judged_alike(matrix: Matrix, data: Path) -> Matrix | None:
    """The matrix without the results on targets of models that a released method does not predict; None without any."""
    released = predictions(data, matrix.name)
    if not released:
        return None
    scores = matrix.scores.copy()
    for target in matrix.targets:
        for given in released.values():
            known = np.array([one.model in given.predicted.get(target, {}) for one in matrix.candidates])
            scores[~known, matrix.datasets.index(target)] = np.nan
    return replace(matrix, name=f"{matrix.name}_released_rows", scores=scores)


def tables(arguments: argparse.Namespace) -> Iterator[tuple[Table, dict[str, Ranker], Matrix]]:
    for matrix in matrices(arguments.data, arguments.matrix):
        rankers = rankers_for(matrix, arguments.data, arguments.ablate)
        if arguments.ranker:
            rankers = {name: ranker for name, ranker in rankers.items() if name in {*arguments.ranker, "history"}}
        yield table(matrix, arguments.hide, arguments.single), rankers, matrix
        alike = judged_alike(matrix, arguments.data)
        if alike is not None and not (arguments.hide or arguments.single):
            whole = table(alike, 0, 0)
            # What judges is cut; what is known of the other datasets is not.
            yield replace(whole, scores=matrix.scores, truth=alike.scores), rankers, alike


def groups_of(seen: Sequence[tuple[Table, Matrix]]) -> list[Group]:
    """Means over targets and over matrices, for both pools and all, and each matrix."""
    plain = [(one, matrix) for one, matrix in seen if not matrix.name.endswith("_released_rows")]
    pools = {
        "": [one.name for one, matrix in plain if matrix.pool == "181"],
        "_further": [one.name for one, matrix in plain if matrix.pool == "further"],
        "_all": [one.name for one, _ in plain],
    }
    found = [
        Group(f"{kind}{pool}", tuple(names), over)
        for pool, names in pools.items()
        for kind, over in (("pooled", "targets"), ("matrices", "matrices"))
        if names
    ]
    released = tuple(one.name for one, matrix in seen if matrix.name.endswith("_released_rows"))
    if released:
        found.append(Group("transfergraph_16", released))
    return [*found, *(Group(one.name, (one.name,)) for one, _ in seen)]


def against_released(records: Sequence[Record], data: Path) -> Iterator[str]:
    """Ours, mean z and the best released method on TransferGraph's targets, over the rows that it predicts.

    The best is chosen by its mean for each metric and set of targets apart, with the truth in hand, which favours it.
    """
    cold = results(records).get("cold")
    names = [name for name in cold.matrices if name.endswith("_released_rows")] if cold else []
    if not cold or not names or not any(name.startswith(_RELEASED) for name in cold.rankers):
        return
    yield "TransferGraph's targets, cold, rows that the released methods predict, one for each model"
    for chosen in ([name] for name in names) if len(names) == 1 else (*([name] for name in names), names):
        for own in (name for name in ("ours", "ours_no_proxies") if name in cold.rankers):
            for metric in COMPARED:
                yield _comparison(cold, own, chosen, metric)
    for name in names:
        matrix = name.removesuffix("_released_rows")
        for metric, figures in published(data, matrix).items():
            plain = {ranker: float(np.mean(list(by_target.values()))) for ranker, by_target in figures.items()}
            best = max(plain, key=plain.__getitem__)
            yield f"{matrix}, {metric}: the best of the authors' own tables is {best}, mean {plain[best]:.3f}"


def _comparison(cold: Results, own: str, matrices_: Sequence[str], metric: str) -> str:
    released = [name for name in cold.rankers if name.startswith(_RELEASED)]
    sign = -1 if metric.startswith("regret") else 1
    best = max(released, key=lambda name: sign * cold.mean(name, metric, matrices_).value)
    where = matrices_[0].removesuffix("_released_rows") if len(matrices_) == 1 else "both"
    cells = [f"{where:20}{metric:13}{own} {cold.mean(own, metric, matrices_).value:.3f}"]
    for label, name in (("best released", best), ("mean z", "history")):
        paired = cold.paired(own, metric, matrices_, baseline=name)
        verdict = " tie" if paired.is_tie else ""
        told = f"{paired.difference.value:+.3f} ± {paired.difference.stderr:.3f}, p {paired.p:.3f}{verdict}"
        cells.append(f"{label} {cold.mean(name, metric, matrices_).value:.3f} ({told})")
    return "  ".join([*cells, best])


def published_measures(data: Path, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """The authors' own figures, plain means over targets."""
    for matrix in names:
        for metric, figures in published(data, matrix).items():
            for ranker, by_target in figures.items():
                values = np.array(list(by_target.values()))
                yield {
                    "measure": f"recall/{matrix}/cold/{ranker}/published_{metric}",
                    "value": float(values.mean()),
                    "unit": "1",
                    "n": len(values),
                    "stderr": float(values.std(ddof=1) / np.sqrt(len(values))),
                }


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()


def code_digest() -> str:
    """Stands for the rankers' code: what a journal holds counts only under the same."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(
        [*ROOT.glob("selection/**/*.py"), *ROOT.glob("zoo_graph/**/*.py"), *ROOT.glob("benchmarks/*.py")]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--matrix", nargs="*", default=[], help=f"of {', '.join(READERS)}")
    parser.add_argument("--ranker", nargs="*", default=[], help="only these, and history")
    parser.add_argument("--evaluated", nargs="*", type=int, default=list(EVALUATED), help="0 is cold")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ablate", action="store_true", help="also ours with parts left out")
    parser.add_argument("--folder", type=Path, help="where to keep what was judged, to go on from")
    parser.add_argument("--hide", type=float, default=0.0, help="percent of the results that rankers do not see")
    parser.add_argument("--single", type=float, default=0.0, help="percent of the models left with one result")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    began = time.perf_counter()
    code, records, seen = code_digest(), [], []
    for one, rankers, matrix in tables(arguments):
        folder = arguments.folder / one.name if arguments.folder else None
        judged = run(one, rankers, folder, evaluated=arguments.evaluated, workers=arguments.workers, code=code)
        records += judged
        seen.append((one, matrix))
        print(
            f"{time.perf_counter() - began:7.0f} s  {one.name}: {len(one.targets)} targets", file=sys.stderr, flush=True
        )
    groups = groups_of(seen)
    text = "\n".join([*report.lines(records, groups, first=FIRST), "", *against_released(records, arguments.data)])
    print(text)
    print(f"{len(records)} rankings in {time.perf_counter() - began:.1f} s")
    if arguments.json:
        head = {
            "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "command": " ".join(sys.argv),
            "commit": _git("rev-parse", "HEAD"),
            "seconds": time.perf_counter() - began,
        }
        own = published_measures(arguments.data, [matrix.name for _, matrix in seen])
        found = [head, *report.measures(records, groups), *own]
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
        arguments.json.with_suffix(".txt").write_text(text + "\n")
        first = next(iter(results(records).values()))
        arguments.json.with_suffix(".png").write_bytes(chart.png(first, groups[0].matrices, groups[0].over))


if __name__ == "__main__":
    main()
