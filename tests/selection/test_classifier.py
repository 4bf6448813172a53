import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from selection.classifier import Classifier
from selection.datasets import Dataset
from selection.errors import CheckpointError, InputError
from selection.finetune import FineTuner
from selection.records import Trial

TrialOf = Callable[..., Trial]
CASES = [
    ("bert", {"head": "mean"}, "BertForTokenClassification"),
    ("bert", {"head": "mean", "precision": "bfloat16", "max_length": 5}, "BertForTokenClassification"),
    ("bert", {"head": "native"}, "BertForSequenceClassification"),
    ("decoder", {"head": "native"}, "GPT2ForSequenceClassification"),
    ("decoder", {"head": "mean"}, "GPT2ForTokenClassification"),
    ("opt", {}, "OPTForSequenceClassification"),
    ("vit", {}, "ViTForImageClassification"),
    ("resnet", {}, "ResNetForImageClassification"),
]


def saved(trial: Trial, data: Dataset, folder: Path) -> float:
    """Trains, saves to `folder`/best, and returns the test score."""
    tuner = FineTuner(data)
    tuner.train(trial, 12, folder / "trial")
    tuner.save(trial, folder / "trial", folder / "best")
    return tuner.test(trial, folder / "trial")


@pytest.mark.parametrize(("which", "options", "architecture"), CASES)
def test_a_saved_winner_scores_as_it_was_tested(
    tmp_path: Path,
    texts: Dataset,
    pictures: Dataset,
    trial_of: TrialOf,
    request: pytest.FixtureRequest,
    which: str,
    options: dict[str, str],
    architecture: str,
) -> None:
    data = pictures if which in ("vit", "resnet") else texts
    score = saved(trial_of(request.getfixturevalue(which), **options), data, tmp_path)
    classifier = Classifier.open(tmp_path / "best")
    assert (classifier.classes, classifier.modality) == (data.classes, data.modality)
    rows, labels = data.part("test")
    predicted = classifier.predict(rows)
    assert np.mean([data.classes[i] == name for i, name in zip(labels, predicted.labels, strict=True)]) == score
    np.testing.assert_allclose(predicted.probabilities.sum(1), 1, atol=1e-6)
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    assert config["architectures"] == [architecture]
    model = getattr(transformers, architecture).from_pretrained(tmp_path / "best")
    assert model.config.id2label == dict(enumerate(data.classes))


@pytest.mark.parametrize(("which", "head"), [("bert", "mean"), ("vit", "native")])
def test_the_lines_in_the_readme_run(
    tmp_path: Path,
    texts: Dataset,
    pictures: Dataset,
    trial_of: TrialOf,
    request: pytest.FixtureRequest,
    which: str,
    head: str,
) -> None:
    data = pictures if which == "vit" else texts
    saved(trial_of(request.getfixturevalue(which), head=head), data, tmp_path)
    readme = (tmp_path / "best" / "README.md").read_text()
    assert data.name in readme
    assert all(name in readme for name in data.classes)
    code = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    given, example = ("...", "your text") if which != "vit" else ("...", "")
    ours = code[0].replace(given, repr(example)) + "print(list(predictions.labels))\n"
    lines = code[1] if which == "vit" else ours + code[1]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{lines}"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "best",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(set(answers)) == 1  # with this package and without it the same label
    assert answers[0] in [str([name]) for name in data.classes]


def test_the_plain_tokenizer_cuts_where_training_did(
    tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf
) -> None:
    saved(trial_of(bert, max_length=7), texts, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "best")
    assert len(tokenizer("cat " * 50, truncation=True)["input_ids"]) == 7


def test_a_classifier_of_another_origin_is_opened(bert_with_head: Path) -> None:
    classifier = Classifier.open(bert_with_head)
    found = classifier.predict(["good cat", "a"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert_with_head).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert_with_head)
    with torch.inference_mode():
        logits = model(**tokenizer(["good cat", "a"], padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(found.probabilities, logits.softmax(-1).numpy(), atol=1e-6)
    assert found.labels == tuple(f"LABEL_{i}" for i in logits.argmax(-1).tolist())


def test_an_encoder_without_a_head_is_no_classifier(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(CheckpointError, match="BertModel without a classification head"):
        Classifier.open(bert)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        Classifier.open(tmp_path / "nowhere")


def test_a_head_that_was_never_saved_is_not_made_up(tmp_path: Path, bert: Path) -> None:
    for path in bert.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(CheckpointError, match="lacks 2 weights of AutoModelForSequenceClassification"):
        Classifier.open(tmp_path)


def test_only_lists_of_texts_are_classified(bert_with_head: Path) -> None:
    classifier = Classifier.open(bert_with_head)
    with pytest.raises(InputError, match="got one text; wanted a list"):
        classifier.predict("good")
    with pytest.raises(InputError, match="got int 3; wanted texts"):
        classifier.predict(["good", 3])
    nothing = classifier.predict([])
    assert (nothing.labels, nothing.probabilities.shape) == ((), (0, 5))


def test_the_order_of_the_rows_is_kept(bert_with_head: Path) -> None:
    classifier = Classifier.open(bert_with_head)
    rows = ["a " * n for n in (9, 1, 5, 30, 2)]
    forward, backward = classifier.predict(rows), classifier.predict(rows[::-1])
    assert forward.labels == backward.labels[::-1]
    np.testing.assert_allclose(forward.probabilities, backward.probabilities[::-1], atol=1e-6)


def test_class_names_of_any_script_survive(tmp_path: Path, texts: Dataset, bert: Path, trial_of: TrialOf) -> None:
    named = replace(texts, classes=("любовь", '"quoted" {x}'))
    saved(trial_of(bert), named, tmp_path)
    assert Classifier.open(tmp_path / "best").classes == named.classes
