"""What adapters and heads train, keep and save, on texts and images; and that numbers are predicted as classes are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny import some_images, some_texts

from selection import training
from selection.classifier import Classifier, Regressor
from selection.datasets import Dataset, from_rows
from selection.errors import CheckpointError, InputError, TrialError
from selection.finetune import FineTuner
from selection.records import Trial

TrialOf = Callable[..., Trial]


def state(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("state-*.pt")
    found: dict[str, Any] = torch.load(path, weights_only=True)["model"]
    return found


@pytest.fixture
def data_of(texts: Dataset, pictures: Dataset) -> Callable[[str], Dataset]:
    return lambda which: pictures if which in ("vit", "resnet") else texts


@pytest.fixture(scope="module")
def ratings() -> Dataset:
    """The number is the class's, by the last word, between 10 and 16 and a little above."""
    rows, labels = some_texts(80)
    return from_rows("ratings", "text", rows, [10 + 6 * (y == "praise") + i / 400 for i, y in enumerate(labels)])


@pytest.mark.parametrize("which", ["bert", "decoder", "vit", "resnet"])
@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_paused_method_equals_one_never_paused_and_keeps_only_what_it_trains(
    tmp_path: Path,
    data_of: Callable[[str], Dataset],
    trial_of: TrialOf,
    request: pytest.FixtureRequest,
    which: str,
    method: str,
) -> None:
    trial, tuner = trial_of(request.getfixturevalue(which), method=method), FineTuner(data_of(which))
    whole = tuner.train(trial, 6, tmp_path / "whole")
    for step in (1, 4, 6):
        paused = FineTuner(data_of(which)).train(trial, step, tmp_path / "paused")
    assert paused.curve == whole.curve
    one, two = state(tmp_path / "whole"), state(tmp_path / "paused")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert all("lora_" in key or key.split(".")[0] in ("classifier", "score") for key in one)
    assert any("lora_" in key for key in one) == (method == "lora")
    tuner.discard(tmp_path / "paused")
    assert [path.name for path in (tmp_path / "paused").iterdir()] == ["progress.json"]


@pytest.mark.parametrize(("which", "head"), [("bert", "mean"), ("vit", "native"), ("resnet", "native")])
def test_a_head_on_cached_features_trains_as_under_the_frozen_encoder(
    tmp_path: Path,
    data_of: Callable[[str], Dataset],
    trial_of: TrialOf,
    request: pytest.FixtureRequest,
    which: str,
    head: str,
) -> None:
    trial, data = trial_of(request.getfixturevalue(which), method="head", head=head), data_of(which)
    cached, frozen = training.Training(trial, data, "cpu"), training.Training(trial, data, "cpu")
    frozen._linear = None
    assert cached._linear is not None
    curves = [one.advance(0, 12) for one in (cached, frozen)]
    assert curves[0] == curves[1]
    for one, two in zip(cached._trained().values(), frozen._trained().values(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)
    assert cached.evaluate("test") == frozen.evaluate("test")


def test_a_step_on_cached_features_never_runs_the_encoder(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    one = training.Training(trial_of(bert, method="head"), texts, "cpu")
    one.advance(0, 3)
    calls: list[int] = []
    one.model.bert.register_forward_hook(lambda *_: calls.append(1))
    one.advance(3, 12)
    assert calls == []
    one.evaluate("test")
    assert calls


@pytest.mark.parametrize(("which", "head"), [("bert", "native"), ("decoder", "native"), ("opt", "native")])
def test_a_head_that_is_more_than_one_product_runs_the_frozen_encoder(
    texts: Dataset, trial_of: TrialOf, request: pytest.FixtureRequest, which: str, head: str
) -> None:
    trial = trial_of(request.getfixturevalue(which), method="head", head=head)
    one = training.Training(trial, texts, "cpu")
    assert one._features("train") is None
    assert len(one.advance(0, 3)) == 1


def test_features_are_computed_once_for_all_pieces_of_a_trial(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, calls = trial_of(bert, method="head"), []
    real = training.Parts.features.__globals__["head_features"]
    monkeypatch.setitem(
        training.Parts.features.__globals__, "head_features", lambda *given: (calls.append(1), real(*given))[1]
    )
    for step in (3, 6, 12):
        FineTuner(texts).train(trial, step, tmp_path)
    assert len(calls) == 2  # the train part and the validation part


@pytest.mark.parametrize(
    ("which", "architecture"),
    [
        ("bert", "BertForTokenClassification"),
        ("decoder", "GPT2ForTokenClassification"),
        ("vit", "ViTForImageClassification"),
        ("resnet", "ResNetForImageClassification"),
    ],
)
def test_adapters_are_merged_into_the_saved_weights(
    tmp_path: Path,
    data_of: Callable[[str], Dataset],
    trial_of: TrialOf,
    request: pytest.FixtureRequest,
    which: str,
    architecture: str,
) -> None:
    folder, data = request.getfixturevalue(which), data_of(which)
    trial, tuner = trial_of(folder, method="lora", lora_rank=2), FineTuner(data)
    tuner.train(trial, 12, tmp_path / "t")
    tuner.save(trial, tmp_path / "t", tmp_path / "best")
    rows, _ = data.part("test")
    opened = training.Training(trial, data, "cpu")
    opened.load(tmp_path / "t" / "state-12.pt")
    adapted = opened.headed.score(opened.headed.encoded(rows))
    saved = Classifier.open(tmp_path / "best")
    np.testing.assert_allclose(saved._headed.score(saved._headed.encoded(rows)), adapted, atol=1e-4)
    model = getattr(transformers, architecture).from_pretrained(tmp_path / "best")
    fresh = training.Training(trial_of(folder), data, "cpu").model.state_dict()
    assert model.state_dict().keys() == fresh.keys()
    assert any(not torch.equal(fresh[key], value) for key, value in model.state_dict().items() if "classif" not in key)
    assert not list((tmp_path / "best").glob("adapter*"))


def test_adapters_learn_what_the_last_word_tells(texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    trial = replace(trial_of(bert, method="lora", learning_rate=2e-2, total_steps=40), eval_steps=(40,))
    assert FineTuner(texts).complete(trial)[1] > 0.85


def test_adapters_leave_an_encoders_running_statistics_as_they_were(
    pictures: Dataset, resnet: Path, trial_of: TrialOf
) -> None:
    one = training.Training(trial_of(resnet, method="lora"), pictures, "cpu")
    before = {name: value.clone() for name, value in one.model.named_buffers()}
    one.advance(0, 4)
    assert any("running_mean" in name for name in before)
    assert all(torch.equal(value, before[name]) for name, value in one.model.named_buffers())


def test_an_encoder_without_a_layer_for_adapters_says_so(tmp_path: Path, texts: Dataset, trial_of: TrialOf) -> None:
    from tiny import tiny_bert

    flat = tiny_bert(tmp_path / "flat", layers=0)
    with pytest.raises(TrialError, match="has no linear layer that could get an adapter"):
        FineTuner(texts).train(trial_of(flat, method="lora"), 3, tmp_path / "t")


def test_a_state_of_another_method_is_not_taken_over(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    FineTuner(texts).train(trial_of(bert, method="head"), 3, tmp_path)
    with pytest.raises(TrialError, match="holds other weights than the method trains"):
        FineTuner(texts).train(trial_of(bert), 6, tmp_path)


@pytest.mark.parametrize(("method", "head"), [("full", "mean"), ("full", "native"), ("lora", "mean"), ("head", "mean")])
def test_numbers_are_predicted_in_their_own_unit(
    tmp_path: Path, ratings: Dataset, bert: Path, trial_of: TrialOf, method: str, head: str
) -> None:
    changes = {"method": method, "head": head, "metric": "r2", "total_steps": 40, "learning_rate": 1e-2}
    trial = replace(trial_of(bert, **changes), eval_steps=(10, 40))
    tuner = FineTuner(ratings)
    tuner.train(trial, 40, tmp_path / "t")
    tuner.save(trial, tmp_path / "t", tmp_path / "best")
    test_score = tuner.test(trial, tmp_path / "t")
    rows, wanted = ratings.part("test")
    found = Regressor.open(tmp_path / "best").predict(rows)
    assert 1 - np.sum((found - wanted) ** 2) / np.sum((wanted - wanted.mean()) ** 2) == pytest.approx(test_score)
    assert test_score > (0.8 if method == "full" else 0)
    assert "Predicts one number" in (tmp_path / "best" / "README.md").read_text()
    with pytest.raises(CheckpointError, match="open it with Regressor"):
        Classifier.open(tmp_path / "best")


def test_numbers_are_predicted_of_images(tmp_path: Path, vit: Path, trial_of: TrialOf) -> None:
    rows, labels = some_images(40)
    data = from_rows("light", "image", rows, [(y == "bright") + i / 100 for i, y in enumerate(labels)])
    trial, tuner = trial_of(vit, metric="pearson"), FineTuner(data)
    tuner.train(trial, 12, tmp_path / "t")
    assert tuner.test(trial, tmp_path / "t") > 0.8
    tuner.save(trial, tmp_path / "t", tmp_path / "best")
    regressor = Regressor.open(tmp_path / "best")
    assert (regressor.modality, regressor.predict(rows[:2]).shape) == ("image", (2,))


def test_a_classifier_is_no_regressor_and_a_recipe_suits_its_data(
    tmp_path: Path, texts: Dataset, ratings: Dataset, bert: Path, bert_with_head: Path, trial_of: TrialOf
) -> None:
    with pytest.raises(CheckpointError, match="open it with Classifier"):
        Regressor.open(bert_with_head)
    with pytest.raises(InputError, match="got the metric 'accuracy'; wanted one of r2"):
        FineTuner(ratings).train(trial_of(bert), 3, tmp_path)
    with pytest.raises(InputError, match="got the metric 'r2'; wanted one of accuracy"):
        FineTuner(texts).train(trial_of(bert, metric="r2"), 3, tmp_path)
