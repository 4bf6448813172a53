"""Real fine-tuning of a `transformers` checkpoint, piece by piece, on CPU or GPU.

Implements `trainer.Trainer`. Knows one dataset and one folder per trial. Does not know rungs, plans or candidates'
ranks. How a step is done stands in `training`.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from selection.backbones import checkpoint_folder, quiet
from selection.classifier import write_classifier
from selection.datasets import Dataset
from selection.errors import DatasetError, InputError, SelectionError, TrialError
from selection.heads import head_of
from selection.metrics import METRICS
from selection.records import Head, Precision, Progress, Trial
from selection.training import Training, source_of


class FineTuner:
    """Fine-tunes trials on one dataset; `device` is a torch device name."""

    def __init__(self, dataset: Dataset, *, device: str = "cpu") -> None:
        self.dataset = dataset
        self.device = device

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        """Continues the trial to `until_step`; see `Trainer.train`.

        Raises:
            TrialError: the checkpoint does not load, the loss is not finite, or the memory does not suffice.
            InputError: the recipe's metric is unknown.
            DatasetError: an image of the dataset cannot be read.
            OSError: the disk is full.
        """
        recorded = read_progress(folder)
        if recorded.step >= until_step:
            return recorded
        if not _state_path(folder, recorded.step).exists():  # discarded, and wanted again: from the start
            recorded = Progress(0, (), (), recorded.seconds, recorded.cpu_seconds)
        with self._failing_as_trial(trial), threads(trial.recipe.threads):
            start, cpu_start = time.perf_counter(), time.process_time()
            training = self._resumed(trial, folder, recorded.step)
            curve = training.advance(recorded.step, until_step)
            training.save(_state_path(folder, until_step))
            progress = Progress(
                step=until_step,
                curve_steps=(*recorded.curve_steps, *(step for step, _ in curve)),
                curve=(*recorded.curve, *(score for _, score in curve)),
                seconds=recorded.seconds + time.perf_counter() - start,
                cpu_seconds=recorded.cpu_seconds + time.process_time() - cpu_start,
            )
            _write_progress(folder, progress)
            _drop_states(folder, but=until_step)
            return progress

    def test(self, trial: Trial, folder: Path) -> float:
        """Scores the trained model on the test part.

        Raises:
            TrialError: it has not been trained, has been discarded, or its state does not load.
        """
        with self._failing_as_trial(trial), threads(trial.recipe.threads):
            return self._trained(trial, folder).evaluate("test")

    def complete(self, trial: Trial) -> tuple[Progress, float]:
        """Trains from the start to the end in memory and tests once: what `measure` needs, without a checkpoint.

        Raises:
            TrialError: as `train`.
        """
        with self._failing_as_trial(trial), threads(trial.recipe.threads):
            start, cpu_start = time.perf_counter(), time.process_time()
            training = Training(trial, self.dataset, self.device)
            curve = training.advance(0, trial.recipe.total_steps)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            steps, scores = tuple(step for step, _ in curve), tuple(score for _, score in curve)
            progress = Progress(trial.recipe.total_steps, steps, scores, seconds, cpu_seconds)
            return progress, training.evaluate("test")

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        """Writes the trained model, its preprocessing and a README to `target`, whole or not at all.

        `classifier.Classifier` opens it, `transformers` loads it.

        Raises:
            TrialError: it has not been trained, has been discarded, or its state does not load.
            OSError: the disk is full.
        """
        with self._failing_as_trial(trial), threads(trial.recipe.threads):
            training = self._trained(trial, folder)
            draft = target.with_name(target.name + ".part")
            shutil.rmtree(draft, ignore_errors=True)
            write_classifier(training.headed, draft, origin=trial.candidate.model, dataset=self.dataset.name)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)

    def discard(self, folder: Path) -> None:
        """Removes the weights and optimizer state; the progress stays."""
        _drop_states(folder, but=None)

    def head(self, trial: Trial) -> Head:
        """The head the trial gets: the recipe's, or "native" where the candidate's family has no other.

        Raises:
            TrialError: its checkpoint is not found.
        """
        with self._failing_as_trial(trial):
            return head_of(checkpoint_folder(source_of(trial)), trial.recipe.head)

    def _resumed(self, trial: Trial, folder: Path, step: int) -> Training:
        training = Training(trial, self.dataset, self.device)
        if step:
            training.load(_state_path(folder, step))
        return training

    def _trained(self, trial: Trial, folder: Path) -> Training:
        step = read_progress(folder).step
        if step == 0:
            raise TrialError(f"it has not been trained in {folder}")
        if not _state_path(folder, step).exists():
            raise TrialError(f"its weights were discarded from {folder}; train it again first")
        return self._resumed(trial, folder, step)

    @contextlib.contextmanager
    def _failing_as_trial(self, trial: Trial) -> Iterator[None]:
        """Whatever fails is this candidate's failure, but for the disk, the dataset and the recipe."""
        if trial.recipe.metric not in METRICS:
            raise InputError(f"got the metric {trial.recipe.metric!r}; wanted one of {', '.join(METRICS)}")
        try:
            with quiet():
                yield
        except (OSError, DatasetError):
            raise
        except Exception as error:  # a checkpoint's code may raise anything
            text = (str(error).strip().splitlines() or [""])[0]
            kind = "" if isinstance(error, SelectionError) else f"{type(error).__name__}: "
            raise TrialError(f"{trial.candidate.model} on {self.dataset.name}: {kind}{text}") from error


def default_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bfloat16" if fast is not None and fast() else "float32"


def default_device() -> str:
    """The first GPU, or the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def read_progress(folder: Path) -> Progress:
    """The progress a trial's folder records; step 0 where there is none."""
    try:
        fields = json.loads((folder / "progress.json").read_text())
    except FileNotFoundError:
        return Progress(0, (), (), 0.0, 0.0)
    return replace(Progress(**fields), curve_steps=tuple(fields["curve_steps"]), curve=tuple(fields["curve"]))


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Bounds torch to `n` threads for the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write_progress(folder: Path, progress: Progress) -> None:
    draft = folder / "progress.part"
    with draft.open("w") as stream:
        json.dump(asdict(progress), stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / "progress.json")


def _state_path(folder: Path, step: int) -> Path:
    # The step is in the name: a kill between the state's write and the progress's leaves the older pair whole.
    return folder / f"state-{step}.pt"


def _drop_states(folder: Path, but: int | None) -> None:
    for path in folder.glob("state*"):
        if but is None or path != _state_path(folder, but):
            path.unlink(missing_ok=True)
