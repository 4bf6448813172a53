"""Tiny checkpoints, datasets and trials; how they are made stands in `tests/tiny.py`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import N_WORDS, bert_config, bert_tokenizer, image_processor, made, save, some_images, some_texts, tokenizer

from selection.datasets import Dataset, from_rows
from selection.race import Decided, Event, Failed, Finished, Probed, Tested, Trained, replay, standings
from selection.records import Candidate, Outcome, Progress, Recipe, Trial
from selection.schedule import plan


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def bert(zoo_folder: Path) -> Path:
    """An encoder without a head."""
    from transformers import BertModel

    return save(zoo_folder / "bert", made(lambda: BertModel(bert_config())), bert_tokenizer())


@pytest.fixture(scope="session")
def bert_with_head(zoo_folder: Path) -> Path:
    """An encoder with a source head of five classes."""
    from transformers import BertForSequenceClassification

    model = made(lambda: BertForSequenceClassification(bert_config(num_labels=5)), 1)
    return save(zoo_folder / "bert-five", model, bert_tokenizer())


@pytest.fixture(scope="session")
def decoder(zoo_folder: Path) -> Path:
    """A decoder whose tokenizer has no padding token, and whose config names another end than the tokenizer."""
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(
        vocab_size=N_WORDS, n_embd=32, n_layer=2, n_head=2, n_positions=40, bos_token_id=2, eos_token_id=1
    )
    return save(zoo_folder / "decoder", made(lambda: GPT2Model(config)), tokenizer(eos_token="[SEP]"))


@pytest.fixture(scope="session")
def opt(zoo_folder: Path) -> Path:
    """A family that `transformers` gives no token classification."""
    from transformers import OPTConfig, OPTModel

    config = OPTConfig(
        vocab_size=N_WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
        max_position_embeddings=40,
        word_embed_proj_dim=32,
        pad_token_id=0,
    )
    return save(zoo_folder / "opt", made(lambda: OPTModel(config)), bert_tokenizer())


@pytest.fixture(scope="session")
def vit(zoo_folder: Path) -> Path:
    """An image encoder with a source head of three classes."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        num_labels=3,
    )
    return save(zoo_folder / "vit", made(lambda: ViTForImageClassification(config)), image_processor())


@pytest.fixture(scope="session")
def resnet(zoo_folder: Path) -> Path:
    """An image encoder with running statistics (batch normalisation)."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return save(zoo_folder / "resnet", made(lambda: ResNetModel(config)), image_processor())


@pytest.fixture(scope="session")
def texts() -> Dataset:
    rows, labels = some_texts(60)
    return from_rows("toy", "text", rows, labels)


@pytest.fixture(scope="session")
def pictures() -> Dataset:
    rows, labels = some_images(30)
    return from_rows("pictures", "image", rows, labels)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(learning_rate=5e-3, head_learning_rate=2e-2, batch_size=8, total_steps=12, warmup_steps=2)


@pytest.fixture
def trial_of(recipe: Recipe) -> Callable[..., Trial]:
    """A trial of a checkpoint folder; options change the recipe."""

    def trial(folder: Path, **options: Any) -> Trial:
        return Trial(Candidate(folder.name, str(folder)), replace(recipe, **options), (3, 6, 12))

    return trial


@pytest.fixture(scope="session")
def raced() -> Outcome:
    """A race by forecasts: a won, b came second, c left at step 25, e at the probe, and f failed.

    d left at the probe, was taken back at step 25 and left at step 50.
    """
    names = [f"org/{letter}" for letter in "abcdef"]
    a, b, c, d, e, f = names
    recipe = Recipe(total_steps=100, warmup_steps=5)
    made_plan = plan([Candidate(name) for name in names], recipe, seconds_per_step=lambda _: 1, policy="racing")

    def trained(rung: int, model: str, *curve: float) -> Trained:
        steps = (25, 50, 100)[: len(curve)]
        return Trained(rung, model, Progress(steps[-1], steps, curve, 1.0, 1.0))

    events: list[Event] = [
        Probed({a: 0.6, b: 0.58, c: 0.56, d: 0.5, e: 0.2, f: 0.57}),
        Decided(0, (a, b, c, f), (d, e)),
        *(trained(1, a, 0.55), trained(1, b, 0.54), trained(1, c, 0.3), Failed(1, f, "no memory")),
        Decided(1, (a, b, d), (c,)),
        *(trained(2, a, 0.55, 0.6), trained(2, b, 0.54, 0.59), trained(2, d, 0.4, 0.45)),
        Decided(2, (a, b), (d,)),
        *(trained(3, a, 0.55, 0.6, 0.66), trained(3, b, 0.54, 0.59, 0.95)),
        *(Tested(a, 0.65), Finished(a)),
    ]
    ends = standings(replay(made_plan, events))
    return Outcome("beans", "accuracy", ends, 0.65, Path("best"), made_plan, 6.0, 6.0, n_validation=400, n_test=900)
