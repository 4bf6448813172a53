"""One fine-tune in memory: a headed model, its optimizer and its batches; from one step to another.

Batches, dropout and the fresh head depend on (seed, step) alone, the learning rate on the step and the recipe, so a run
paused at any step and resumed equals one never paused, bit for bit on CPU at one number of threads.
"""

import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selection.backbones import checkpoint_folder, encoder_of, modality_of
from selection.datasets import Dataset, IntArray
from selection.errors import CheckpointError, TrialError
from selection.heads import encoder_and_head, head_of, length, open_headed, seeded
from selection.metrics import METRICS
from selection.records import Recipe, Trial
from selection.tables import Part

# Batches of one epoch are cut from blocks of this many batches, sorted by length within the block.
BUCKET_BATCHES = 8


class Training:
    """A trial's model, optimizer and encoded data."""

    def __init__(self, trial: Trial, dataset: Dataset, device: str) -> None:
        """Opens the candidate's checkpoint with a fresh head, before the first step.

        Raises:
            CheckpointError: it does not load, or reads something else than the dataset holds.
        """
        folder = checkpoint_folder(source_of(trial))
        if modality_of(folder) != dataset.modality:
            raise CheckpointError(f"it reads {modality_of(folder)} and the dataset holds {dataset.modality}")
        self.recipe = trial.recipe
        self.dataset = dataset
        self.device = device
        self.headed = open_headed(
            folder,
            head=head_of(folder, trial.recipe.head),
            max_length=trial.recipe.max_length,
            precision=trial.recipe.precision,
            device=device,
            classes=dataset.classes,
            seed=trial.recipe.seed,
        )
        self.model = self.headed.model
        self.optimizer = _optimizer(self.model, trial.recipe)
        self.eval_steps = frozenset(trial.eval_steps)
        self._encoded: dict[Part, tuple[list[Any], IntArray]] = {}

    def load(self, path: Path) -> None:
        """Takes over a saved state.

        Raises:
            TrialError: the file is damaged.
        """
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # torch's reader raises what its unpickler, its archive or the system raises
            raise TrialError(f"its saved state {path.name} does not load: {error}") from error
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, path: Path) -> None:
        """Writes the state to `path`, whole or not at all, and on disk before it returns.

        Raises:
            OSError: the disk is full.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name("state.part")
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        with draft.open("wb") as stream:
            try:
                torch.save(state, stream)
            except RuntimeError as error:  # torch's writer says no more than that a write failed
                raise OSError(errno.EIO, f"the state could not be written: {error}", str(draft)) from error
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)

    def advance(self, step: int, until_step: int) -> list[tuple[int, float]]:
        """Trains on to `until_step`; returns (step, validation score) at the evaluation steps passed.

        Raises:
            TrialError: the loss or the logits are not finite.
        """
        curve = []
        batches = self._batches(step)
        while step < until_step:
            step += 1
            self._train_step(step, next(batches))
            if step in self.eval_steps:
                curve.append((step, self.evaluate("validation")))
        return curve

    def evaluate(self, part: Part) -> float:
        """The recipe's metric on a part."""
        rows, labels = self._part(part)
        return METRICS[self.recipe.metric](labels, self.headed.score(rows).argmax(-1))

    def _train_step(self, step: int, batch: IntArray) -> None:
        rows, labels = self._part("train")
        targets = torch.from_numpy(labels[batch]).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate_share(self.recipe, step)
        self.model.train()
        if self.recipe.method == "head":
            (encoder_of(self.model) or self.model).eval()  # neither dropout nor running statistics of a frozen encoder
        with seeded(self.recipe.seed * 1_000_003 + step, self.device):
            loss = torch.nn.functional.cross_entropy(self.headed.logits([rows[i] for i in batch]), targets)
            if not math.isfinite(loss.item()):
                raise TrialError(f"its loss is {loss.item()} at step {step}; a smaller learning rate may help")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def _batches(self, step: int) -> Iterator[IntArray]:
        """Batches from `step` on: each epoch a permutation by (seed, epoch), cut into length buckets."""
        rows, _ = self._part("train")
        lengths = np.array([length(row) for row in rows])
        per_epoch = math.ceil(lengths.size / self.recipe.batch_size)
        epoch, skip = divmod(step, per_epoch)
        while True:
            rng = np.random.default_rng((self.recipe.seed, epoch))
            yield from _bucketed(lengths, self.recipe.batch_size, rng)[skip:]
            epoch, skip = epoch + 1, 0

    def _part(self, part: Part) -> tuple[list[Any], IntArray]:
        if part not in self._encoded:
            rows, labels = self.dataset.part(part)
            self._encoded[part] = self.headed.encoded(rows), labels
        return self._encoded[part]


def rate_share(recipe: Recipe, step: int) -> float:
    """Share of the learning rate at `step` (from 1): warm-up, then level, then down over the last `cooldown` steps.

    Warmup-stable-decay (Hu et al., arXiv 2404.06395): up to the cooldown no step depends on how many there will be.
    """
    up = step / max(1, recipe.warmup_steps)
    down = (recipe.total_steps + 1 - step) / max(1.0, recipe.cooldown * recipe.total_steps)
    return min(1.0, up, down)


def source_of(trial: Trial) -> str:
    """The folder or hub id of a trial's candidate.

    Raises:
        CheckpointError: it is not known.
    """
    if trial.candidate.source is None:
        raise CheckpointError("the zoo does not know where its weights are; import a source (folder or hub id) for it")
    return trial.candidate.source


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    encoder, head = encoder_and_head(model)
    groups = [{"params": head, "base_lr": recipe.head_learning_rate}]
    if recipe.method == "full":
        groups.append({"params": encoder, "base_lr": recipe.learning_rate})
    else:
        for parameter in encoder:
            parameter.requires_grad_(False)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _bucketed(lengths: Any, batch_size: int, rng: np.random.Generator) -> list[IntArray]:
    order = rng.permutation(lengths.size)
    block = batch_size * BUCKET_BATCHES
    batches: list[IntArray] = []
    for start in range(0, order.size, block):
        piece = order[start : start + block]
        piece = piece[np.argsort(lengths[piece], kind="stable")]
        batches += [piece[i : i + batch_size] for i in range(0, piece.size, batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
