"""Real fine-tuning of a `transformers` checkpoint, piece by piece, on CPU or GPU.

Implements `trainer.Trainer`. Knows one dataset and one folder per trial. Does not know rungs, plans or candidates'
ranks. Batches, dropout and the fresh head depend on (seed, step) alone and the learning rate on the step alone, so a
trial paused at any step and resumed equals one never paused, bit for bit on CPU at one number of threads.
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

import numpy as np
import torch

from selection.backbones import (
    HEADS,
    checkpoint_folder,
    encode,
    folder_digest,
    load_model,
    load_preprocessor,
    modality_of,
)
from selection.datasets import Dataset, IntArray, Part
from selection.errors import CheckpointError, TrialError
from selection.metrics import METRICS
from selection.records import Progress, Recipe, Trial

# Batches of one epoch are cut from blocks of this many batches, sorted by length within the block.
BUCKET_BATCHES = 8
EVALUATION_BATCH = 64
MEAN_HEAD = "AutoModelForTokenClassification"


class FineTuner:
    """Fine-tunes trials on one dataset; `device` is a torch device name."""

    def __init__(self, dataset: Dataset, *, device: str = "cpu") -> None:
        self.dataset = dataset
        self.device = device

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        """Continues the trial to `until_step`; see `Trainer.train`.

        Raises:
            TrialError: the checkpoint does not load, the loss is not finite, or the memory does not suffice.
        """
        recorded = read_progress(folder)
        if recorded.step >= until_step:
            return recorded
        if not _state_path(folder, recorded.step).exists():  # discarded, and wanted again: from the start
            recorded = Progress(0, (), (), recorded.seconds, recorded.cpu_seconds)
        with self._failing_as_trial(trial), _threads(trial.recipe.threads):
            start, cpu_start = time.perf_counter(), time.process_time()
            run = _Run.resume(trial, self.dataset, folder, recorded.step, self.device)
            curve = run.advance(recorded.step, until_step)
            run.save(folder, until_step)
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
            TrialError: it has not been trained, or its state does not load.
        """
        with self._failing_as_trial(trial), _threads(trial.recipe.threads):
            step = _trained_step(trial, folder)
            return _Run.resume(trial, self.dataset, folder, step, self.device).evaluate("test")

    def complete(self, trial: Trial) -> tuple[Progress, float]:
        """Trains from the start to the end in memory and tests once: what `measure` needs, without a checkpoint.

        Raises:
            TrialError: as `train`.
        """
        with self._failing_as_trial(trial), _threads(trial.recipe.threads):
            start, cpu_start = time.perf_counter(), time.process_time()
            run = _Run.start(trial, self.dataset, self.device)
            curve = run.advance(0, trial.recipe.total_steps)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            steps, scores = zip(*curve, strict=True)
            return Progress(trial.recipe.total_steps, steps, scores, seconds, cpu_seconds), run.evaluate("test")

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        """Writes the trained model and its preprocessing to `target`, whole or not at all.

        Raises:
            TrialError: it has not been trained, or its state does not load.
        """
        with self._failing_as_trial(trial):
            run = _Run.resume(trial, self.dataset, folder, _trained_step(trial, folder), self.device)
            draft = target.with_name(target.name + ".part")
            shutil.rmtree(draft, ignore_errors=True)
            run.model.save_pretrained(draft)
            run.preprocess.save_pretrained(draft)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)

    def discard(self, folder: Path) -> None:
        """Removes the weights and optimizer state; the progress stays."""
        _drop_states(folder, but=None)

    @contextlib.contextmanager
    def _failing_as_trial(self, trial: Trial) -> Iterator[None]:
        try:
            yield
        except (CheckpointError, RuntimeError, MemoryError, ValueError, KeyError, IndexError) as error:
            text = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise TrialError(f"{trial.candidate.model} on {self.dataset.name}: {text}") from error


def trials_digest(trial: Trial, dataset: Dataset) -> str:
    """Names everything a trial's numbers depend on: dataset, weights and recipe."""
    folder = checkpoint_folder(_source(trial))
    return f"{dataset.digest}:{folder_digest(folder)}:{json.dumps(asdict(trial.recipe), sort_keys=True)}"


def default_precision(device: str) -> Any:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bfloat16" if fast is not None and fast() else "float32"


def default_device() -> str:
    """The first GPU, or the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


class _Run:
    """A model in memory with its optimizer and encoded data."""

    def __init__(self, trial: Trial, dataset: Dataset, device: str, folder: Path) -> None:
        self.recipe = trial.recipe
        self.dataset = dataset
        self.device = device
        if modality_of(folder) != dataset.modality:
            raise CheckpointError(f"it reads {modality_of(folder)} and the dataset holds {dataset.modality}")
        self.preprocess = load_preprocessor(folder, dataset.modality)
        self.auto_class = MEAN_HEAD if _wants_mean(trial.recipe, dataset) else f"AutoModel{HEADS[dataset.modality]}"
        self.model = _load_with_head(folder, self.auto_class, dataset, trial.recipe).to(device)
        self.optimizer = _optimizer(self.model, trial.recipe)
        self.eval_steps = frozenset(trial.eval_steps)
        self._encoded: dict[Part, tuple[list[Any], IntArray]] = {}

    @classmethod
    def start(cls, trial: Trial, dataset: Dataset, device: str) -> "_Run":
        return cls(trial, dataset, device, checkpoint_folder(_source(trial)))

    @classmethod
    def resume(cls, trial: Trial, dataset: Dataset, folder: Path, step: int, device: str) -> "_Run":
        run = cls.start(trial, dataset, device)
        if step:
            state = torch.load(_state_path(folder, step), map_location=device, weights_only=True)
            run.model.load_state_dict(state["model"])
            run.optimizer.load_state_dict(state["optimizer"])
        return run

    def save(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, folder / "state.part")
        (folder / "state.part").replace(_state_path(folder, step))

    def advance(self, step: int, until_step: int) -> list[tuple[int, float]]:
        """Trains on to `until_step`; returns (step, validation score) at the evaluation steps passed."""
        curve = []
        batches = self._batches(step)
        while step < until_step:
            step += 1
            self._train_step(step, next(batches))
            if step in self.eval_steps:
                curve.append((step, self.evaluate("validation")))
        return curve

    def evaluate(self, part: Part) -> float:
        rows, labels = self._part(part)
        order = np.argsort([-_length(row) for row in rows], kind="stable")
        predicted = np.empty(labels.size, dtype=np.int64)
        self.model.eval()
        for start in range(0, order.size, EVALUATION_BATCH):
            batch = order[start : start + EVALUATION_BATCH]
            with torch.inference_mode(), self._autocast():
                logits = self._logits(self._collate([rows[i] for i in batch]))
            predicted[batch] = logits.argmax(-1).cpu().numpy()
        return METRICS[self.recipe.metric](labels, predicted)

    def _train_step(self, step: int, batch: IntArray) -> None:
        rows, labels = self._part("train")
        inputs = self._collate([rows[i] for i in batch])
        targets = torch.from_numpy(labels[batch]).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * min(1.0, step / max(1, self.recipe.warmup_steps))
        self.model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device != "cpu" else []):
            torch.manual_seed(self.recipe.seed * 1_000_003 + step)
            with self._autocast():
                logits = self._logits(inputs)
            loss = torch.nn.functional.cross_entropy(logits, targets)
            if not math.isfinite(loss.item()):
                raise TrialError(f"its loss is {loss.item()} at step {step}; a smaller learning rate may help")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()

    def _batches(self, step: int) -> Iterator[IntArray]:
        """Batches from `step` on: each epoch a permutation by (seed, epoch), cut into length buckets."""
        rows, _ = self._part("train")
        lengths = np.array([_length(row) for row in rows])
        per_epoch = math.ceil(lengths.size / self.recipe.batch_size)
        epoch, skip = divmod(step, per_epoch)
        while True:
            rng = np.random.default_rng((self.recipe.seed, epoch))
            yield from _bucketed(lengths, self.recipe.batch_size, rng)[skip:]
            epoch, skip = epoch + 1, 0

    def _part(self, part: Part) -> tuple[list[Any], IntArray]:
        """The rows of a part, texts as token ids, and their labels."""
        if part not in self._encoded:
            rows, labels = self.dataset.part(part)
            if self.dataset.modality == "text":
                rows = self.preprocess(rows, truncation=True, max_length=self.recipe.max_length)["input_ids"]
            self._encoded[part] = rows, labels
        return self._encoded[part]

    def _collate(self, rows: list[Any]) -> Any:
        if self.dataset.modality == "image":
            return encode(self.preprocess, "image", rows, self.recipe.max_length).to(self.device)
        batch = self.preprocess.pad({"input_ids": rows}, return_tensors="pt")
        return {key: batch[key].to(self.device) for key in ("input_ids", "attention_mask")}

    def _logits(self, inputs: Any) -> torch.Tensor:
        """Class logits (B, C) in float32; of the mean head the mean over real tokens (B, T, C) -> (B, C)."""
        logits = self.model(**inputs).logits.float()
        if self.auto_class != MEAN_HEAD:
            return logits  # type: ignore[no-any-return]
        mask = inputs["attention_mask"].unsqueeze(-1)
        return (logits * mask).sum(1) / mask.sum(1)  # type: ignore[no-any-return]

    def _autocast(self) -> Any:
        kind = self.device.split(":")[0]
        return torch.autocast(kind, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")


def read_progress(folder: Path) -> Progress:
    """The progress a trial's folder records; step 0 where there is none."""
    try:
        fields = json.loads((folder / "progress.json").read_text())
    except FileNotFoundError:
        return Progress(0, (), (), 0.0, 0.0)
    return replace(Progress(**fields), curve_steps=tuple(fields["curve_steps"]), curve=tuple(fields["curve"]))


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


def _trained_step(trial: Trial, folder: Path) -> int:
    step = read_progress(folder).step
    if step == 0:
        raise TrialError(f"{trial.candidate.model} has not been trained in {folder}")
    return step


def _source(trial: Trial) -> str:
    if trial.candidate.source is None:
        raise CheckpointError("the zoo does not know where its weights are; import a source (folder or hub id) for it")
    return trial.candidate.source


def _wants_mean(recipe: Recipe, dataset: Dataset) -> bool:
    return recipe.head == "mean" and dataset.modality == "text"


def _load_with_head(folder: Path, auto_class: str, dataset: Dataset, recipe: Recipe) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        labels = dict(enumerate(dataset.classes))
        model = load_model(
            folder,
            auto_class,
            num_labels=dataset.n_classes,
            id2label=labels,
            label2id={name: i for i, name in labels.items()},
            ignore_mismatched_sizes=True,
        )
    if model.config.get_text_config().pad_token_id is None and hasattr(model.config, "pad_token_id"):
        model.config.pad_token_id = model.config.eos_token_id
    return model


def _optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    base = getattr(model, model.base_model_prefix, model)
    in_base = {id(p) for name, p in base.named_parameters() if "pooler" not in name}
    encoder = [p for p in model.parameters() if id(p) in in_base]
    head = [p for p in model.parameters() if id(p) not in in_base]
    if recipe.method == "head":
        for parameter in encoder:
            parameter.requires_grad_(False)
    groups = [{"params": head, "base_lr": recipe.head_learning_rate}]
    if recipe.method == "full":
        groups.append({"params": encoder, "base_lr": recipe.learning_rate})
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


def _length(row: Any) -> int:
    return len(row) if isinstance(row, list) else 1


@contextlib.contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
