"""Real fine-tuning of a `transformers` checkpoint, piece by piece, on CPU or GPU.

Implements `trainer.Trainer`. Knows one dataset and one folder per trial. Does not know rungs, plans or candidates'
ranks. How a step is done stands in `training`.

A trial with several rate factors trains each in a folder of its own (`rate-0`, ...) up to `rates.search_end`; the best
on validation, the first of equals, then goes on in the trial's folder, where `rate.json` names it. All of it counts as
the trial's seconds.
"""

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from selection.backbones import checkpoint_folder, open_config, quiet
from selection.datasets import Dataset
from selection.disk import is_disk_error
from selection.errors import DatasetError, SelectionError, TrialError
from selection.hardware import threads
from selection.heads import head_of
from selection.parts import Parts
from selection.rates import search_end, with_each_rate, with_rate
from selection.recipes import check_recipe
from selection.records import Head, Progress, Trial
from selection.saved import write_checkpoint
from selection.states import has_state
from selection.training import Training, source_of

CHOSEN = "rate.json"
BYTES_PER_FEATURE = 4


class FineTuner:
    """Fine-tunes trials on one dataset; `device` is a torch device name."""

    def __init__(self, dataset: Dataset, *, device: str = "cpu") -> None:
        self.dataset = dataset
        self.device = device

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        """Continues the trial to `until_step`; see `Trainer.train`.

        Raises:
            TrialError: the checkpoint does not load, the loss is not finite, or the memory does not suffice.
            InputError: the recipe does not suit the dataset, or its method is not installed.
            DatasetError: an image of the dataset cannot be read.
            OSError: the disk is full.
        """
        recorded = read_progress(folder)
        if recorded.step >= until_step:
            if not _is_discarded(trial, folder, recorded.step):
                return recorded
            _write_progress(folder, _begun_anew(recorded))
        with self._failing_as_trial(trial), threads(trial.recipe.threads):
            parts = Parts(self.dataset, folder)
            if trial.recipe.rate_factors and not (folder / CHOSEN).exists():
                progress = self._search(trial, until_step, folder, parts)
                if progress.step >= until_step:
                    return progress
            _drop_rates(trial, folder)  # a kill may have left them
            return self._piece(_at_chosen_rate(trial, folder), until_step, folder, parts)

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
            training, curve = self._best_start(trial)
            curve += training.advance(search_end(trial), trial.recipe.total_steps)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            steps, scores = tuple(step for step, _ in curve), tuple(score for _, score in curve)
            progress = Progress(trial.recipe.total_steps, steps, scores, seconds, cpu_seconds)
            return progress, training.evaluate("test")

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        """Writes the trained model, its preprocessing and a README to `target`, whole or not at all.

        `classifier.Classifier` or `Regressor` opens it, `transformers` loads it.

        Raises:
            TrialError: it has not been trained, has been discarded, or its state does not load.
            OSError: the disk is full.
        """
        with self._failing_as_trial(trial), threads(trial.recipe.threads):
            training = self._trained(trial, folder)
            draft = target.with_name(target.name + ".part")
            shutil.rmtree(draft, ignore_errors=True)
            model, loss = training.finished(), training.loss
            write_checkpoint(model, loss, draft, origin=trial.candidate.model, dataset=self.dataset.name)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)

    def discard(self, folder: Path) -> None:
        """Removes the weights, optimizer states and features; the progress stays."""
        for path in (*folder.rglob("state*"), *folder.glob("features-*")):
            path.unlink(missing_ok=True)

    def features_bytes(self, trial: Trial) -> int:
        """At most how large the features are that the trial keeps; 0 where it keeps none or its width is not known."""
        if trial.recipe.method != "head":
            return 0
        try:
            width = _width(checkpoint_folder(source_of(trial)))
        except Exception as error:  # a checkpoint that cannot be opened: its training says so
            if is_disk_error(error):
                raise
            return 0
        return BYTES_PER_FEATURE * width * int(self.dataset.train.size + self.dataset.validation.size)

    def kept_features_bytes(self, folder: Path) -> int:
        """How large those are that a trial's folder keeps."""
        return sum(path.stat().st_size for path in folder.glob("features-*"))

    def head(self, trial: Trial) -> Head:
        """The head the trial gets: the recipe's, or "native" where the candidate's family has no other.

        Raises:
            TrialError: its checkpoint is not found.
        """
        with self._failing_as_trial(trial):
            return head_of(checkpoint_folder(source_of(trial)), trial.recipe.head)

    def _piece(self, trial: Trial, until_step: int, folder: Path, parts: Parts) -> Progress:
        """Continues a trial at one rate."""
        recorded = read_progress(folder)
        if recorded.step >= until_step:
            return recorded
        if not has_state(_state_path(folder, recorded.step)):  # discarded or damaged, and wanted again: from the start
            recorded = _begun_anew(recorded)
        start, cpu_start = time.perf_counter(), time.process_time()
        training = self._resumed(trial, folder, recorded.step, parts)
        curve = training.advance(recorded.step, until_step)
        training.save(_state_path(folder, until_step))
        progress = Progress(
            step=until_step,
            curve_steps=(*recorded.curve_steps, *(step for step, _ in curve)),
            curve=(*recorded.curve, *(score for _, score in curve)),
            seconds=recorded.seconds + time.perf_counter() - start,
            cpu_seconds=recorded.cpu_seconds + time.process_time() - cpu_start,
            rate_factor=recorded.rate_factor,
        )
        _write_progress(folder, progress)
        _drop_states(folder, but=until_step)
        return progress

    def _search(self, trial: Trial, until_step: int, folder: Path, parts: Parts) -> Progress:
        """Continues the trial at each of its rates, at most to the search's end; there the best becomes the trial.

        Raises:
            TrialError: it fails at every rate.
        """
        step = min(until_step, search_end(trial))
        tried: dict[int, Progress] = {}
        for place, one in enumerate(with_each_rate(trial)):
            try:
                tried[place] = self._piece(one, step, _rate_folder(folder, place), parts)
            except TrialError:  # a rate that diverges has lost
                if place + 1 == len(trial.recipe.rate_factors) and not tried:
                    raise
        best = max(tried, key=lambda place: _comparable(tried[place].score))
        seconds = sum(one.seconds for one in tried.values()), sum(one.cpu_seconds for one in tried.values())
        progress = replace(tried[best], seconds=seconds[0], cpu_seconds=seconds[1])
        if step < search_end(trial):
            _write_progress(folder, progress)
            return progress
        with contextlib.suppress(FileNotFoundError):  # moved already, or discarded
            _state_path(_rate_folder(folder, best), step).replace(_state_path(folder, step))
        progress = replace(progress, rate_factor=trial.recipe.rate_factors[best])
        _write_progress(folder, progress)
        _write_json(folder / CHOSEN, {"factor": progress.rate_factor})
        _drop_rates(trial, folder)
        return progress

    def _best_start(self, trial: Trial) -> tuple[Training, list[tuple[int, float]]]:
        """A training in memory and its curve: at the search's end at the best rate, or at the start without a search.

        Raises:
            TrialError: it fails at every rate.
        """
        parts = Parts(self.dataset)
        best: tuple[Training, list[tuple[int, float]]] | None = None
        for place, one in enumerate(with_each_rate(trial)):
            training = Training(one, self.dataset, self.device, parts)
            try:
                curve = training.advance(0, search_end(trial))
            except TrialError:  # a rate that diverges has lost
                if place + 1 == len(trial.recipe.rate_factors) and best is None:
                    raise
                continue
            if best is None or curve[-1][1] > best[1][-1][1]:
                best = training, curve
        return best or (Training(trial, self.dataset, self.device, parts), [])

    def _resumed(self, trial: Trial, folder: Path, step: int, parts: Parts) -> Training:
        training = Training(trial, self.dataset, self.device, parts)
        if step:
            training.load(_state_path(folder, step))
        return training

    def _trained(self, trial: Trial, folder: Path) -> Training:
        step = read_progress(folder).step
        if step == 0:
            raise TrialError(f"it has not been trained in {folder}")
        if not has_state(_state_path(folder, step)):
            raise TrialError(f"its weights were discarded from {folder}; train it again first")
        return self._resumed(trial, folder, step, Parts(self.dataset, folder))

    @contextlib.contextmanager
    def _failing_as_trial(self, trial: Trial) -> Iterator[None]:
        """Whatever fails is this candidate's failure, but for the disk, the dataset and the recipe."""
        check_recipe(trial.recipe, self.dataset.task)
        try:
            with quiet():
                yield
        except (OSError, DatasetError):
            raise
        except Exception as error:  # a checkpoint's code may raise anything
            text = (str(error).strip().splitlines() or [""])[0]
            kind = "" if isinstance(error, SelectionError) else f"{type(error).__name__}: "
            raise TrialError(f"{trial.candidate.model} on {self.dataset.name}: {kind}{text}") from error


def read_progress(folder: Path) -> Progress:
    """The progress a trial's folder records; step 0 where there is none."""
    try:
        fields = json.loads((folder / "progress.json").read_text())
    except FileNotFoundError:
        return Progress(0, (), (), 0.0, 0.0)
    return replace(Progress(**fields), curve_steps=tuple(fields["curve_steps"]), curve=tuple(fields["curve"]))


def _write_progress(folder: Path, progress: Progress) -> None:
    _write_json(folder / "progress.json", asdict(progress))


def _write_json(path: Path, fields: dict[str, Any]) -> None:
    draft = path.with_suffix(".part")
    with draft.open("w") as stream:
        json.dump(fields, stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _state_path(folder: Path, step: int) -> Path:
    # The step is in the name: a kill between the state's write and the progress's leaves the older pair whole.
    return folder / f"state-{step}.pt"


def _drop_states(folder: Path, but: int) -> None:
    for path in folder.glob("state*"):
        if path != _state_path(folder, but):
            path.unlink(missing_ok=True)


def _is_discarded(trial: Trial, folder: Path, step: int) -> bool:
    """Whether a trial's state at `step` has gone; while its rates are searched, states lie in folders of their own."""
    searching = bool(trial.recipe.rate_factors) and not (folder / CHOSEN).exists()
    return not searching and not has_state(_state_path(folder, step))


def _begun_anew(recorded: Progress) -> Progress:
    """At the start again, with all that it took so far."""
    return replace(recorded, step=0, curve_steps=(), curve=())


def _width(folder: Path) -> int:
    """How many features a checkpoint's encoder has, as its configuration says; 0 where it does not."""
    with quiet():
        config = open_config(folder)
    return int(max(getattr(config, "hidden_sizes", None) or [getattr(config, "hidden_size", 0)]))


def _rate_folder(folder: Path, place: int) -> Path:
    return folder / f"rate-{place}"


def _drop_rates(trial: Trial, folder: Path) -> None:
    for place in range(len(trial.recipe.rate_factors)):
        shutil.rmtree(_rate_folder(folder, place), ignore_errors=True)


def _at_chosen_rate(trial: Trial, folder: Path) -> Trial:
    try:
        return with_rate(trial, json.loads((folder / CHOSEN).read_text())["factor"])
    except FileNotFoundError:
        return trial


def _comparable(score: float) -> float:
    """The score; below all others where there is none yet."""
    return -math.inf if math.isnan(score) else score
