"""Tiny real `transformers` checkpoints for tests: a BERT of two layers and 32 dimensions, and a table to tell."""

import json
from pathlib import Path

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "plot", "very", "not", "the", "a", "was"]


def tiny_bert(folder: Path, *, seed: int = 0, layers: int = 2, hidden: int = 32) -> Path:
    """Saves a random BERT encoder with its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


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
