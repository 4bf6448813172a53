"""Regret of recall within a time for proxies: who is probed first, by policy and share of all proxies' seconds.

    python benchmarks/proxy_budget.py --data ../shared/data --json OUT

TransferGraph's image and text zoos, LogME and H-score as the authors released them with the seconds each took. Each
dataset with proxies is left out in turn; the planner sees a model's proxies, and what they took, only once they are
paid for, and expects seconds by parameters (`selection.pace`) as `zoo recommend --proxy-seconds` does. Three zoos: as
it is; with 80 % of the results hidden at random; and with half of the models new (no result at all). `none` is recall
without proxies, `random` the mean over five lots or draws, `all` every proxy whatever it costs. `gain_no_spread` is
`gain` without a turn of each community first. Regret is normalised (best - best of k, over best - median), k = 1, 3, 5,
by recall's own lists.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from matrices import matrices
from matrix import Matrix

from selection.pace import Pace, Work
from selection.planning import Order, Prospects, Turns, order_by
from selection.recall import Evidence, FloatArray
from selection.recall.boards import choose_lists
from selection.recall.choice import regret
from selection.recall.posterior import Posterior, learn_posterior
from selection.recall.worth import probe_gains
from selection.records import Candidate
from zoo_graph.communities import partition
from zoo_graph.scores import ScoreMatrix
from zoo_graph.similarity import model_edges

KS = (1, 3, 5)
SHARES = (0.1, 0.25, 0.5, 1.0)
POLICIES = ("gain", "gain_no_spread", "representatives", "random")
ZOOS: Mapping[str, tuple[float, float]] = {"whole": (0.0, 0.0), "hidden80": (0.8, 0.0), "half_new": (0.0, 0.5)}
NAMES = ("h_score", "logme")
LOTS = 5
# Rows of a sample and tokens of all its rows, for the first guess alone: the run's own seconds correct it.
SAMPLE_ROWS, SAMPLE_TOKENS = 1000, 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One target left out of one zoo; `seconds` (M,) of its proxies, nan where they are not known."""

    matrix: str
    zoo: str
    evidence: Evidence
    proxies: Mapping[str, FloatArray]
    seconds: FloatArray
    truth: FloatArray
    seed: int


def seconds_of(matrix: Matrix, data: Path) -> FloatArray:
    """Seconds (M, D) of both scores: the longer of the two, since both extract the same features first."""
    rows = {candidate.model: m for m, candidate in enumerate(matrix.candidates)}
    columns = {name: d for d, name in enumerate(matrix.datasets)}
    found = np.full(matrix.scores.shape, np.nan)
    kind = matrix.name.removeprefix("transfergraph_")
    with (data / "transfergraph" / kind / "transferability_score_records.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            m, d = rows.get(row["model"]), columns.get(row["target_dataset"] or "")
            if m is not None and d is not None and row["runtime"]:
                found[m, d] = np.fmax(found[m, d], float(row["runtime"]))
    both = np.isfinite(matrix.proxies["logme"]) & np.isfinite(matrix.proxies["h_score"])
    return np.where(both, found, np.nan)


def tasks(data: Path, draws: int) -> Iterator[Task]:
    for matrix in matrices(data, ("transfergraph_image", "transfergraph_text")):
        seconds = seconds_of(matrix, data)
        for zoo, (hidden, new) in ZOOS.items():
            for d in np.flatnonzero(np.isfinite(seconds).sum(axis=0) >= 20):
                for seed in range(draws if hidden or new else 1):
                    yield task(matrix, zoo, int(d), hidden, new, seed, seconds[:, d])


def task(matrix: Matrix, zoo: str, d: int, hidden: float, new: float, seed: int, seconds: FloatArray) -> Task:
    generator = np.random.default_rng((d, seed))
    others = [e for e in range(len(matrix.datasets)) if e != d]
    scores = np.where(
        generator.random((len(matrix.candidates), len(others))) < hidden, np.nan, matrix.scores[:, others]
    )
    scores[generator.random(len(scores)) < new] = np.nan
    evidence = Evidence(
        matrix.candidates,
        tuple(matrix.datasets[e] for e in others),
        scores,
        past_proxies={name: matrix.proxies[name][:, others] for name in NAMES},
        target=matrix.datasets[d],
    )
    proxies = {name: matrix.proxies[name][:, d] for name in NAMES}
    return Task(matrix.name, zoo, evidence, proxies, seconds, matrix.scores[:, d], seed)


def measure(task: Task) -> list[tuple[str, str, str, dict[str, float]]]:
    """Regrets of every policy and share: (matrix, zoo, policy/share, metrics)."""
    posterior = learn_posterior(task.evidence, 0.9)
    known = np.flatnonzero(np.isfinite(task.seconds))
    prospects = expect(task, posterior, known)
    total = float(task.seconds[known].sum())
    rows = [("none", quality(task, posterior)), ("all", quality(task, informed(task, known)) | used(1.0, 1.0))]
    for policy in POLICIES:
        lots = LOTS if policy == "random" and task.zoo == "whole" else 1
        for share in SHARES:
            tried = []
            for lot in range(lots):
                probed, spent = spend(task, prospects, policy, share * total, task.seed + lot)
                tried.append(quality(task, informed(task, probed)) | used(spent / total, len(probed) / len(known)))
            mean = {name: float(np.mean([one[name] for one in tried])) for name in tried[0]}
            rows.append((f"{policy}_{100 * share:.0f}", mean))
    return [(task.matrix, task.zoo, name, row) for name, row in rows]


def expect(task: Task, posterior: Posterior, known: FloatArray) -> Prospects:
    evidence = task.evidence
    gains = probe_gains(evidence, posterior, NAMES, range(len(evidence.candidates)), max(KS))
    models = [evidence.candidates[m].model for m in known]
    return Prospects(
        dict(zip(models, posterior.prediction.mean[known].tolist(), strict=True)),
        dict(zip(models, gains[known].tolist(), strict=True)),
        communities(evidence),
    )


def communities(evidence: Evidence) -> dict[str, str]:
    """Each model's community by its results on the other datasets, as `zoo refresh` finds them."""
    names = np.array([candidate.model for candidate in evidence.candidates])
    seen = np.isfinite(evidence.scores)
    rows = [m for m in np.argsort(names).tolist() if seen[m].any()]
    columns = [d for d in np.argsort(evidence.datasets).tolist() if seen[:, d].any()]
    scores = evidence.scores[np.ix_(rows, columns)]
    matrix = ScoreMatrix(
        models=tuple(names[rows].tolist()),
        datasets=tuple(evidence.datasets[d] for d in columns),
        metrics=("accuracy",) * len(columns),
        protocols=("",) * len(columns),
        scores=scores,
        n=np.isfinite(scores).astype(np.int64),
        spread=np.full(scores.shape, np.nan),
    )
    return dict(zip(matrix.models, map(str, partition(matrix, model_edges(matrix)).labels), strict=True))


def spend(task: Task, prospects: Prospects, policy: str, budget: float, lot: int) -> tuple[list[int], float]:
    """Who is probed within the budget, and the seconds that took; a probe that outlives it is cut off, told nothing."""
    places = {candidate.model: m for m, candidate in enumerate(task.evidence.candidates)}
    works = {model: Work(task.evidence.candidates[places[model]].n_parameters) for model in prospects.gains}
    pace, spent, paid = Pace(SAMPLE_ROWS, SAMPLE_TOKENS), 0.0, []
    order = order_of(prospects, policy, budget, lot)
    turns = Turns(
        [Candidate(model) for model in works],
        order,
        lambda model: pace.forward_seconds(works[model]),
        lambda: budget - spent + 1e-6,
    )
    for candidate in turns:
        m = places[candidate.model]
        took = float(task.seconds[m])
        if spent + took > budget + 1e-6:
            spent = budget
            break
        spent += took
        paid.append(m)
        pace.learn(works[candidate.model], took, 1.0)
    return paid, spent


def order_of(prospects: Prospects, policy: str, budget: float, lot: int) -> Order | None:
    if policy == "random":
        drawn = np.random.default_rng((lot, 1)).random(len(prospects.gains))
        lots = dict(zip(prospects.gains, drawn.tolist(), strict=True))
        return lambda seconds, begun, left: min(seconds, key=lots.__getitem__)
    if policy == "gain_no_spread":
        return order_by("gain", replace(prospects, communities={}), budget)
    return order_by("gain" if policy == "gain" else "representatives", prospects, budget)


def informed(task: Task, probed: "list[int] | FloatArray") -> Posterior:
    """The posterior with the proxies of those probed alone."""
    mask = np.isin(np.arange(len(task.truth)), probed)
    proxies = {name: np.where(mask, values, np.nan) for name, values in task.proxies.items()} if mask.any() else {}
    return learn_posterior(replace(task.evidence, proxies=proxies), 0.9)


def quality(task: Task, posterior: Posterior) -> dict[str, float]:
    """Normalised regret of recall's lists."""
    mean = np.round(posterior.prediction.mean, 9)
    ranked = sorted(range(len(mean)), key=lambda m: (-mean[m], task.evidence.candidates[m].model))
    lists = choose_lists(task.evidence, posterior, ranked, KS)
    return {f"regret{k}": regret(lists[k].order, task.truth, k) for k in KS}


def used(seconds: float, models: float) -> dict[str, float]:
    return {"seconds_share": seconds, "models_share": models}


def records(
    rows: list[tuple[str, str, str, dict[str, float]]], n_targets: Mapping[str, int]
) -> list[dict[str, object]]:
    """Mean over targets, each target's draws averaged first; and the difference to `none`, paired."""
    pools: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    for matrix, zoo, name, row in rows:
        pools[zoo, matrix, name].append(row)
        pools[zoo, "pooled", name].append(row)
    found: list[dict[str, object]] = []
    for (zoo, matrix, name), pool in pools.items():
        plain = pools[zoo, matrix, "none"]
        for metric in pool[0]:
            values = by_target(pool, metric, n_targets[matrix])
            measure = f"proxy_budget/{matrix}/{zoo}/{name}/{metric}"
            found.append(record(measure, values))
            if metric in plain[0] and name != "none":
                found.append(record(f"{measure}_minus_none", values - by_target(plain, metric, n_targets[matrix])))
    return found


def by_target(pool: list[dict[str, float]], metric: str, n_targets: int) -> FloatArray:
    values: FloatArray = np.array([row[metric] for row in pool]).reshape(n_targets, -1).mean(axis=1)
    return values


def record(measure: str, values: FloatArray) -> dict[str, object]:
    stderr = float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"measure": measure, "value": float(values.mean()), "unit": "1", "n": len(values), "stderr": stderr}


def show(found: list[dict[str, object]]) -> None:
    cells = {str(one["measure"]): one for one in found}
    for zoo in ZOOS:
        print(f"\n{zoo:44}" + "".join(f"{'regret@' + str(k):>10}{'- none':>18}" for k in KS) + "   seconds  models")
        for measure in cells:
            parts = measure.split("/")
            if parts[2] == zoo and parts[-1] == "regret1":
                print(line(cells, measure.removesuffix("/regret1")))


def line(cells: Mapping[str, dict[str, object]], prefix: str) -> str:
    text = f"{prefix.removeprefix('proxy_budget/'):44}"
    for k in KS:
        difference = cells.get(f"{prefix}/regret{k}_minus_none")
        text += f"{cells[f'{prefix}/regret{k}']['value']:10.3f}"
        text += f"{difference['value']:+10.3f} ±{difference['stderr']:6.3f}" if difference else " " * 18
    for share in ("seconds_share", "models_share"):
        text += (
            f"{100 * float(str(cells[f'{prefix}/{share}']['value'])):7.0f} %" if f"{prefix}/{share}" in cells else ""
        )
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--draws", type=int, default=5, help="draws of what is hidden, averaged for each target")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    given = list(tasks(arguments.data, arguments.draws))
    targets = {(one.matrix, one.evidence.target) for one in given}
    n_targets = {matrix: sum(one == matrix for one, _ in targets) for matrix, _ in targets} | {"pooled": len(targets)}
    with Pool(arguments.workers) as pool:
        rows = [row for part in pool.imap(measure, given) for row in part]
    found = records(rows, n_targets)
    show(found)
    if arguments.json:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        machine = f"{platform.platform()}, {os.cpu_count()} cores"
        head = {"machine": machine, "command": " ".join(sys.argv), "commit": commit}
        arguments.json.write_text(json.dumps([head, *found], indent=1))


if __name__ == "__main__":
    main()
