"""`zoo demo --verify`: fine-tunes every candidate on the target too, and says what the short way cost in score.

Regret is in points (percent) of test score. Baselines are judged by the same test scores, measured in the same run.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

from selection.errors import TrialError
from selection.executors.executor import Site, site_of
from selection.executors.packing import Workers
from selection.measure import measure
from selection.records import Candidate, Failure, Measurement
from zoo_graph.demo import protocol, seed
from zoo_graph.demo.demonstration import Demonstration, Say
from zoo_graph.errors import InputError


@dataclass(frozen=True, slots=True)
class Verification:
    """One target. Scores are test scores; seconds are CPU seconds of training (ours: with features and proxies).

    Wall-clock seconds are ours from the seed graph to the report, brute force's trials summed over the workers (as if
    none had ever waited; no test is in them), and the floor, which is the winner's own run to the end. Ours hold
    `test_wall_seconds` of the winner's test.
    """

    target: str
    ours: float
    brute_force: float
    oracle: float
    largest: float
    best_on_average: float
    chance: float
    winner: str
    brute_force_winner: str
    oracle_winner: str
    our_seconds: float
    our_training_seconds: float
    brute_force_seconds: float
    our_wall_seconds: float
    test_wall_seconds: float
    brute_force_wall_seconds: float
    floor_wall_seconds: float

    def regret(self, score: float) -> float:
        """Points below brute force's validation pick."""
        return 100 * (self.brute_force - score)


def verify(
    shown: Demonstration, candidates: Sequence[Candidate], folder: Path, *, workers: Workers | Site = 1, say: Say
) -> tuple[Verification, list[Measurement]]:
    """Fine-tunes every candidate on the demonstration's target to the end (resumable) and compares.

    Raises:
        TrialError: fewer than two candidates could be trained.
    """
    recipe = shown.plan.trials[0].recipe
    runs: dict[str, Measurement] = {}
    for found in measure(
        [shown.dataset], candidates, folder / "verify", recipe=recipe, points=protocol.POINTS, workers=workers
    ):
        if isinstance(found, Failure):
            say(f"   {found.model} failed: {found.reason}")
            continue
        runs[found.model] = found
        say(f"   {found.model}: validation {found.progress.score:.3f}, test {found.test_score:.3f}")
    if len(runs) < 2:
        raise TrialError(f"{len(runs)} of {len(candidates)} candidates could be trained: nothing to compare with")
    at_once = site_of(workers).planned_workers(recipe.threads)
    return compared(shown, candidates, runs, at_once), list(runs.values())


def compared(
    shown: Demonstration, candidates: Sequence[Candidate], runs: dict[str, Measurement], at_once: int = 1
) -> Verification:
    """Our winner beside brute force, the oracle and the baselines, by the test scores of `runs`, `at_once` in turn."""
    test = {model: run.test_score for model, run in runs.items()}
    average = _averages(shown.held_out)
    picked = max(runs, key=lambda model: (runs[model].progress.score, model))
    oracle = max(test, key=lambda model: (test[model], model))
    largest = max((one for one in candidates if one.model in test), key=lambda one: (one.n_parameters or 0, one.model))
    usual = max(test, key=lambda model: (average.get(model, -math.inf), model))
    winner = shown.outcome.best.candidate.model
    return Verification(
        target=shown.dataset.name,
        ours=shown.outcome.test_score if shown.outcome.test_score is not None else math.nan,
        brute_force=test[picked],
        oracle=test[oracle],
        largest=test[largest.model],
        best_on_average=test[usual],
        chance=fmean(test.values()),
        winner=winner,
        brute_force_winner=picked,
        oracle_winner=oracle,
        our_seconds=shown.cpu_seconds,
        our_training_seconds=shown.outcome.cpu_seconds,
        brute_force_seconds=sum(run.progress.cpu_seconds for run in runs.values()),
        our_wall_seconds=shown.seconds,
        test_wall_seconds=shown.test_seconds,
        brute_force_wall_seconds=sum(run.progress.seconds for run in runs.values()) / at_once,
        floor_wall_seconds=runs[winner].progress.seconds if winner in runs else math.nan,
    )


def lines(found: Sequence[Verification]) -> list[str]:
    """Regrets by target and over targets, with standard errors, and the cost beside brute force."""
    rows = [
        ("our winner", [one.regret(one.ours) for one in found]),
        ("oracle (best test score)", [one.regret(one.oracle) for one in found]),
        ("by parameter count", [one.regret(one.largest) for one in found]),
        ("by average over other tasks", [one.regret(one.best_on_average) for one in found]),
        ("at random (expected)", [one.regret(one.chance) for one in found]),
    ]
    told = ["regret against brute force's validation pick, points of test score (smaller is better)"]
    told.append("  " + "pick".ljust(30) + "".join(one.target[:16].rjust(18) for one in found) + "mean ± s.e.".rjust(16))
    for name, values in rows:
        told.append("  " + name.ljust(30) + "".join(f"{value:18.2f}" for value in values) + _mean(values).rjust(16))
    told.append("share of brute force's training of every candidate")
    shares = [
        ("training, CPU", [one.our_training_seconds / one.brute_force_seconds for one in found]),
        ("everything, CPU", [one.our_seconds / one.brute_force_seconds for one in found]),
        ("everything, wall clock", [one.our_wall_seconds / one.brute_force_wall_seconds for one in found]),
        (
            "without the test, wall clock",
            [(one.our_wall_seconds - one.test_wall_seconds) / one.brute_force_wall_seconds for one in found],
        ),
        ("the winner's own run, wall", [one.floor_wall_seconds / one.brute_force_wall_seconds for one in found]),
    ]
    for name, values in shares:
        told.append("  " + name.ljust(30) + "".join(f"{value:18.0%}" for value in values) + _mean(values).rjust(16))
    told += [
        f"  {one.target}: ours {one.winner} {one.ours:.3f}; "
        f"brute force {one.brute_force_winner} {one.brute_force:.3f}; oracle {one.oracle_winner} {one.oracle:.3f}"
        for one in found
    ]
    return told


def write(found: Sequence[Verification], folder: Path) -> Path:
    """Writes the comparison as `verify.json`; returns its path.

    Raises:
        InputError: nothing was verified.
    """
    if not found:
        raise InputError("got no verified target; run zoo demo --verify first")
    path = folder / "verify.json"
    path.write_text(json.dumps([asdict(one) for one in found], indent=1))
    return path


def _averages(held_out: Sequence[str]) -> dict[str, float]:
    """Mean z-score by model over the seed's tasks that were not held out."""
    measured = seed.read_measured()
    found: dict[str, list[float]] = {}
    for dataset in measured.datasets:
        column = {
            model: measured.scores[model, dataset] for model in measured.models if (model, dataset) in measured.scores
        }
        spread = stdev(column.values()) if len(column) > 1 else 0.0
        if dataset in held_out or spread == 0.0:
            continue
        centre = fmean(column.values())
        for model, score in column.items():
            found.setdefault(model, []).append((score - centre) / spread)
    return {model: fmean(values) for model, values in found.items()}


def _mean(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{fmean(values):.2f} ± {stdev(values) / math.sqrt(len(values)):.2f}"
