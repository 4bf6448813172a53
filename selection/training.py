"""One fine-tune in memory: a headed model, its optimizer and its batches; from one step to another.

Batches, dropout, the fresh head and adapters depend on (seed, step) alone, the learning rate on the step and the
recipe, so a run paused at any step and resumed equals one never paused, bit for bit on CPU at one number of threads.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from selection import lora
from selection.backbones import checkpoint_folder, modality_of
from selection.datasets import Dataset
from selection.encoded import IntArray
from selection.errors import CheckpointError, TrialError
from selection.head_features import linear_head
from selection.heads import FloatArray, HeadedModel, encoder_and_head, finite, head_of, open_headed, seeded
from selection.losses import loss_of
from selection.metrics import METRICS
from selection.parts import Parts
from selection.rates import family_rates, rate_share
from selection.records import Recipe, Trial
from selection.states import read_state, write_state
from selection.tables import Part

# Batches of one epoch are cut from blocks of this many batches, sorted by length within the block.
BUCKET_BATCHES = 8
# A GPU works ahead of Python; reading the loss makes it wait, so there it is read now and then.
LOSS_EVERY = 20
# Compiling costs a minute or more, for training and for evaluation: only pieces of this many steps on a GPU earn it.
# Not measured here, where there is none.
COMPILE_STEPS = 5000


class Training:
    """A trial's model, optimizer and encoded data."""

    def __init__(self, trial: Trial, dataset: Dataset, device: str, parts: Parts | None = None) -> None:
        """Opens the candidate's checkpoint with a fresh head, before the first step. `parts` may be shared with others
        of the same candidate.

        Raises:
            CheckpointError: it does not load, reads something else than the dataset holds, or takes no adapters.
        """
        folder = checkpoint_folder(source_of(trial))
        if modality_of(folder) != dataset.modality:
            raise CheckpointError(f"it reads {modality_of(folder)} and the dataset holds {dataset.modality}")
        self.recipe = trial.recipe
        self.device = device
        self.parts = parts or Parts(dataset)
        self.loss = loss_of(dataset, trial.recipe.class_weights, device)
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
        self._linear = linear_head(self.headed) if trial.recipe.method == "head" else None
        self._adapted = _adapted(self.headed, trial.recipe)
        self.optimizer = _optimizer(self.model, trial.recipe)
        self._trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.eval_steps = frozenset(trial.eval_steps)

    def load(self, path: Path) -> None:
        """Takes over a saved state.

        Raises:
            TrialError: the file is damaged, or another method's.
        """
        state = read_state(path, self.device)
        if state["model"].keys() != self._trained().keys():
            raise TrialError(f"its saved state {path.name} holds other weights than the method trains; start it anew")
        self.model.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, path: Path) -> None:
        """Writes what is trained and the optimizer to `path`, whole or not at all, on disk before it returns.

        Raises:
            OSError: the disk is full.
        """
        write_state(path, {"model": self._trained(), "optimizer": self.optimizer.state_dict()})

    def finished(self) -> HeadedModel:
        """The model as it is saved, adapters merged into its weights; it cannot be trained any further."""
        if self._adapted is not None:
            lora.merge(self._adapted)
            self._adapted = None
        return self.headed

    def advance(self, step: int, until_step: int) -> list[tuple[int, float]]:
        """Trains on to `until_step`; returns (step, validation score) at the evaluation steps passed.

        Raises:
            TrialError: the loss or the logits are not finite.
        """
        if self.device.startswith("cuda") and until_step - step >= COMPILE_STEPS:
            self.model.compile(dynamic=True)
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
        return METRICS[self.recipe.metric](self.parts.labels(part), self.loss.predicted(self._scores(part)))

    def _scores(self, part: Part) -> FloatArray:
        """Logits (N, C); of the test part always the whole model's, as its saved checkpoint gives them."""
        features = None if part == "test" else self._features(part)
        if self._linear is None or features is None:
            return self.headed.score(self.parts.encoded(part, self.headed))
        with torch.inference_mode():
            return finite(functional.linear(features, self._linear.weight, self._linear.bias).cpu().numpy())

    def _train_step(self, step: int, batch: IntArray) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate_share(self.recipe, step)
        self._set_mode()
        with seeded(self.recipe.seed * 1_000_003 + step, self.device):
            loss = self.loss(self._logits(batch), self.parts.labels("train")[batch])
            if (self.device == "cpu" or step % LOSS_EVERY == 0) and not math.isfinite(loss.item()):
                raise TrialError(f"its loss is {loss.item()} at step {step}; a smaller learning rate may help")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._trainable, 1.0)
        self.optimizer.step()

    def _logits(self, batch: IntArray) -> torch.Tensor:
        features = self._features("train")
        if self._linear is None or features is None:
            return self.headed.logits(self.parts.encoded("train", self.headed).inputs(batch))
        rows = features[torch.from_numpy(batch).to(self.device)]
        return functional.linear(rows, self._linear.weight, self._linear.bias)

    def _features(self, part: Part) -> torch.Tensor | None:
        return None if self._linear is None else self.parts.features(part, self.headed)

    def _set_mode(self) -> None:
        """A frozen encoder is read as it will be used: without dropout, and its running statistics stay."""
        wanted = self.recipe.method != "head"
        if self.model.training == wanted:
            return
        self.model.train(wanted)
        if self.recipe.method == "lora":
            for module in self.model.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _trained(self) -> dict[str, Any]:
        """The weights that a state holds: all of a full fine-tune, running statistics too; else what is trained."""
        state: dict[str, Any] = self.model.state_dict()
        if self.recipe.method == "full":
            return state
        trained = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        return {name: value for name, value in state.items() if name in trained}

    def _batches(self, step: int) -> Iterator[IntArray]:
        """Batches from `step` on: each epoch a permutation by (seed, epoch), cut into length buckets."""
        lengths = self.parts.encoded("train", self.headed).lengths
        per_epoch = math.ceil(lengths.size / self.recipe.batch_size)
        epoch, skip = divmod(step, per_epoch)
        while True:
            rng = np.random.default_rng((self.recipe.seed, epoch))
            yield from _bucketed(lengths, self.recipe.batch_size, rng)[skip:]
            epoch, skip = epoch + 1, 0


def source_of(trial: Trial) -> str:
    """The folder or hub id of a trial's candidate.

    Raises:
        CheckpointError: it is not known.
    """
    if trial.candidate.source is None:
        raise CheckpointError("the zoo does not know where its weights are; import a source (folder or hub id) for it")
    return trial.candidate.source


def _adapted(headed: HeadedModel, recipe: Recipe) -> Any:
    """Leaves trainable what the method trains; the handle of the adapters, None without."""
    if recipe.method == "lora":
        return lora.adapt(
            headed.model, rank=recipe.lora_rank, alpha=recipe.lora_alpha, seed=recipe.seed, device=headed.device
        )
    if recipe.method == "head":
        for parameter in encoder_and_head(headed.model)[0]:
            parameter.requires_grad_(False)
    return None


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    _, head = encoder_and_head(model)
    in_head = {id(parameter) for parameter in head}
    rest = [one for one in model.parameters() if one.requires_grad and id(one) not in in_head]
    rate, head_rate = family_rates(recipe, model.config.model_type)
    groups = [{"params": head, "base_lr": head_rate}] + [{"params": rest, "base_lr": rate}] * bool(rest)
    return torch.optim.AdamW(groups, lr=rate, weight_decay=recipe.weight_decay, fused=True)


def _bucketed(lengths: Any, batch_size: int, rng: np.random.Generator) -> list[IntArray]:
    order = rng.permutation(lengths.size)
    block = batch_size * BUCKET_BATCHES
    batches: list[IntArray] = []
    for start in range(0, order.size, block):
        piece = order[start : start + block]
        piece = piece[np.argsort(lengths[piece], kind="stable")]
        batches += [piece[i : i + batch_size] for i in range(0, piece.size, batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
