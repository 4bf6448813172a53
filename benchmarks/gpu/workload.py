"""Checkpoints of usual sizes with random weights, texts of made-up words, and trials of them: nothing to download."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from selection.datasets import Dataset, from_rows
from selection.executors.executor import Executor
from selection.executors.local import LocalExecutor
from selection.executors.packing import Workers
from selection.finetune import FineTuner
from selection.records import Candidate, Precision, Progress, Recipe, Trial

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Layers, width and heads of paraphrase-MiniLM-L3-v2, all-MiniLM-L6-v2 and bert-base-uncased, of about as many words.
SIZES = {"tiny": (1, 32, 2), "minilm-l3": (3, 384, 12), "minilm": (6, 384, 12), "bert-base": (12, 768, 12)}
N_WORDS = {"tiny": 200}


@dataclass(frozen=True, slots=True)
class Piece:
    """A trial to be trained from nothing, in a folder of its own."""

    trial: Trial
    folder: Path


@dataclass(frozen=True, slots=True)
class Train:
    """What a worker does with a piece: trains it to the end, as a race would. `ballast_bytes` it holds meanwhile."""

    tuner: FineTuner
    ballast_bytes: int = 0

    def __call__(self, piece: Piece) -> Progress:
        import torch

        ballast = torch.empty(self.ballast_bytes, dtype=torch.uint8, device=self.tuner.device)
        found = self.tuner.train(piece.trial, piece.trial.recipe.total_steps, piece.folder)
        del ballast
        return found


def checkpoint(folder: Path, size: str) -> Path:
    """A BERT of that size, its words w0, w1, ..."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    layers, width, heads = SIZES[size]
    words = (*SPECIAL, *(f"w{n}" for n in range(n_words(size))))
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=inner, **special).save_pretrained(folder)
    return folder


def n_words(size: str) -> int:
    return N_WORDS.get(size, 30_000)


def texts(n_rows: int, n_tokens: int, size: str) -> Dataset:
    """Rows of two classes, of half to all of so many tokens."""
    rng = np.random.default_rng(0)
    rows, labels = [], []
    for place in range(n_rows):
        length = int(rng.integers(n_tokens // 2, n_tokens - 2, endpoint=True))
        rows.append(" ".join(f"w{word}" for word in rng.integers(0, n_words(size), length)))
        labels.append(str(place % 2))
    return from_rows("made-up", "text", rows, labels)


def pieces(
    folder: Path, source: Path, n: int, *, steps: int, batch: int, tokens: int, precision: Precision
) -> list[Piece]:
    """n trials of one checkpoint, each with a seed of its own."""
    recipe = Recipe(
        total_steps=steps, warmup_steps=1, batch_size=batch, max_length=tokens, precision=precision, threads=1
    )
    found = []
    for seed in range(n):
        trial = Trial(Candidate(f"made-up/{seed}", str(source)), replace(recipe, seed=seed), (steps,))
        found.append(Piece(trial, folder / str(seed)))
    return found


def opened(work: Train, workers: Workers, threads: int = 1) -> AbstractContextManager[Executor[Piece, Progress]]:
    return LocalExecutor(work, workers, spawn=True, threads=threads)


def seconds_for(executor: Executor[Piece, Progress], work: Sequence[Piece], folder: Path) -> float:
    """Wall-clock seconds of these pieces, anew in folders below this one.

    Raises:
        RuntimeError: one failed.
    """
    anew = [replace(piece, folder=folder / piece.folder.name) for piece in work]
    start = time.perf_counter()
    for piece, result in executor.run(anew):
        if isinstance(result, Exception):
            raise RuntimeError(f"{piece.trial.candidate.model} failed: {result}")
    return time.perf_counter() - start


def row(measure: str, values: Sequence[float], unit: str) -> dict[str, Any]:
    spread = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return {"measure": measure, "value": fmean(values), "unit": unit, "n": len(values), "stderr": spread}


def report(rows: Sequence[dict[str, Any]], out: Path | None) -> None:
    """Prints the rows, and writes them under a line that says which machine, card and command."""
    head = {"machine": platform.platform(), "card": card(), "command": " ".join(sys.argv), "commit": _commit()}
    print(f"{head['machine']}, {head['card'] or 'no GPU'}, commit {head['commit'][:8]}")
    for one in rows:
        print(f"{one['measure']:52}{one['value']:14.5g} {one['unit']:12} n={one['n']}  ± {one['stderr']:.2g}")
    if out is not None:
        shown = [{name: None if value != value else value for name, value in one.items()} for one in (head, *rows)]
        out.write_text(json.dumps(shown, indent=1) + "\n")


def card() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
