"""Tiny checkpoints and data for the tests: made with `transformers`, saved as any user's would be."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ["good", "fine", "bad", "awful", "cat", "dog", "the", "a", "movie", "rain", "sun", "tree"]
WORDS += ["film", "plot", "very", "not", "was"]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
N_WORDS = len(WORDS) + len(SPECIAL)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Making checkpoints is noisy; the tests look at what our own code lets through."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def tokenizer(**special: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate((*SPECIAL, *WORDS))}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if "cls_token" in special:
        inner.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", **special)


def bert_tokenizer() -> Any:
    return tokenizer(pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def bert_config(**options: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=N_WORDS,
        max_position_embeddings=40,
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, **options},
    )


def save(folder: Path, model: Any, preprocess: Any) -> Path:
    with silent():
        model.save_pretrained(folder)
        preprocess.save_pretrained(folder)
    return folder


def made(build: Any, seed: int = 0) -> Any:
    """A model with weights by `seed`, leaving torch's random state as it was."""
    import torch

    with silent(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def image_processor() -> Any:
    with silent():
        from transformers import ViTImageProcessor

        return ViTImageProcessor(size={"height": 32, "width": 32})


def some_texts(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts whose last word tells the class."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for i in range(n):
        word = ("good", "bad")[i % 2]
        rows.append(" ".join([*rng.choice(WORDS[4:], size=rng.integers(1, 9)), word]))
        labels.append({"good": "praise", "bad": "blame"}[word])
    return rows, labels


def some_images(n: int) -> tuple[list[Any], list[str]]:
    """Noise, dark or bright."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 100, (12, 10, 3)).astype(np.uint8) + np.uint8(150 * (i % 2)) for i in range(n)]
    return rows, [("dark", "bright")[i % 2] for i in range(n)]


def tiny_bert(folder: Path, *, seed: int = 0, layers: int = 2, hidden: int = 32) -> Path:
    """Saves a random BERT encoder with its tokenizer."""
    from transformers import BertModel

    config = bert_config(num_hidden_layers=layers, hidden_size=hidden)
    return save(folder, made(lambda: BertModel(config, add_pooling_layer=False), seed), bert_tokenizer())


def sentiment_csv(path: Path, n: int = 120) -> Path:
    """A separable two-class table: good films and bad ones."""
    lines = ["text,label"]
    for i in range(n):
        word, label = ("good", "pos") if i % 2 else ("bad", "neg")
        lines.append(f"{'the ' * (i % 5)}film was {'very ' * (i % 3)}{word},{label}")
    path.write_text(
        "\n".join(dict.fromkeys(lines))
        + "\n"
        + "\n".join(f"a {w} plot {i},{y}" for i in range(n) for w, y in (("good", "pos"), ("bad", "neg")))
    )
    return path


def broken(folder: Path) -> Path:
    """A folder that has a configuration and half of its weights' bytes."""
    tiny_bert(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return folder


def config_only(folder: Path) -> Path:
    """A folder with a configuration and no weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return folder
