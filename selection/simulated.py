"""A trainer that replays recorded curves: for tests of the race, and for simulating one without training anything."""

import json
import os
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from selection.errors import TrialError
from selection.records import Progress, Trial


@dataclass(frozen=True, slots=True)
class Recorded:
    """One model's recorded run: a validation curve, its test score, its cost; `fails_at` is a step it never passes."""

    steps: tuple[int, ...]
    curve: tuple[float, ...]
    test: float
    seconds_per_step: float = 1.0
    fails_at: int | None = None

    def score(self, step: int) -> float:
        """The score at `step`: linear between recorded points, level before the first and after the last."""
        right = bisect_right(self.steps, step)
        if right == 0 or right == len(self.steps):
            return self.curve[min(right, len(self.steps) - 1)]
        low, high = self.steps[right - 1], self.steps[right]
        share = (step - low) / (high - low)
        return (1 - share) * self.curve[right - 1] + share * self.curve[right]


@dataclass(frozen=True, slots=True)
class SimulatedTrainer:
    """A `Trainer` over recorded runs, by model. `pause_seconds` is slept per step, to be killed in the middle of.

    Every piece trained is appended to `pieces.log` in the trial's folder, so that work done twice can be seen.
    """

    runs: Mapping[str, Recorded] = field(repr=False)
    pause_seconds: float = 0.0

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        """Continues the trial to `until_step` (the `Trainer` contract); a discarded trial starts over.

        Raises:
            TrialError: no recorded run of this model, or it fails before `until_step`.
        """
        run, done = self._run(trial), _progress(folder)
        if not (folder / "weights").exists():
            done = None
        if done is not None and done.step >= until_step:
            return done
        start = done.step if done is not None else 0
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "pieces.log").open("a", encoding="utf-8") as log:
            log.write(f"{start} {until_step}\n")
        time.sleep(self.pause_seconds * (until_step - start))
        if run.fails_at is not None and until_step >= run.fails_at:
            raise TrialError(f"recorded to fail at step {run.fails_at}")
        steps = tuple(step for step in trial.eval_steps if step <= until_step)
        seconds = run.seconds_per_step * until_step
        progress = Progress(until_step, steps, tuple(run.score(step) for step in steps), seconds, seconds)
        (folder / "weights").write_text(trial.candidate.model, encoding="utf-8")
        _replace(folder / "progress.json", json.dumps(asdict(progress)))
        return progress

    def test(self, trial: Trial, folder: Path) -> float:
        """The recorded test score.

        Raises:
            TrialError: the trial has not been trained, or was discarded.
        """
        self._weights(folder)
        return self._run(trial).test

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        """Writes a folder shaped like a checkpoint, with the model's name in it.

        Raises:
            TrialError: the trial has not been trained, or was discarded.
        """
        weights = self._weights(folder)
        target.mkdir(parents=True, exist_ok=True)
        (target / "config.json").write_text(json.dumps({"model": weights}), encoding="utf-8")

    def discard(self, folder: Path) -> None:
        """Removes the weights; the progress stays readable."""
        (folder / "weights").unlink(missing_ok=True)

    def features_bytes(self, trial: Trial) -> int:
        """None: a recorded run has no features."""
        return 0

    def kept_features_bytes(self, folder: Path) -> int:
        """None."""
        return 0

    def _run(self, trial: Trial) -> Recorded:
        if trial.candidate.model not in self.runs:
            raise TrialError(
                f"got {trial.candidate.model}, wanted one of the {len(self.runs)} recorded runs: record it first"
            )
        return self.runs[trial.candidate.model]

    def _weights(self, folder: Path) -> str:
        if not (folder / "weights").exists():
            raise TrialError(f"got {folder}, which holds no trained model, wanted one: train the trial first")
        return (folder / "weights").read_text(encoding="utf-8")


def _progress(folder: Path) -> Progress | None:
    path = folder / "progress.json"
    if not path.exists():
        return None
    row = json.loads(path.read_text(encoding="utf-8"))
    return Progress(row["step"], tuple(row["curve_steps"]), tuple(row["curve"]), row["seconds"], row["cpu_seconds"])


def _replace(path: Path, text: str) -> None:
    """Writes the file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
