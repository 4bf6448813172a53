"""The demo's own steps, on the real seed graph with tiny checkpoints in the place of the real candidates."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import sentiment_csv, tiny_bert

from selection.datasets import Limits
from zoo_graph import Zoo
from zoo_graph.demo import demonstration, protocol, seed

Demonstrate = Callable[..., demonstration.Demonstration]


@pytest.fixture
def demonstrate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demonstrate:
    with (seed.seed_folder() / "models.csv").open(newline="", encoding="utf-8") as stream:
        folders = [row["source"] for row in csv.DictReader(stream)]
    for number, name in enumerate(folders[:3]):
        tiny_bert(tmp_path / "cache" / "candidates" / name, seed=number, layers=1, hidden=16)
    monkeypatch.setattr(demonstration, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(protocol, "LIMITS", Limits(train=40, validation=16, test=20))
    short = replace(protocol.recipe("float32"), total_steps=4, warmup_steps=1, batch_size=4)
    monkeypatch.setattr(protocol, "recipe", lambda precision, seed=0: short)
    data = sentiment_csv(tmp_path / "sms-spam.csv")

    return lambda: demonstration.demonstrate(tmp_path / "out", "sms-spam", data, k=2, say=lambda text: None)


def test_run_again_it_answers_the_same_and_knows_nothing_of_its_target(
    demonstrate: Demonstrate, tmp_path: Path
) -> None:
    first = demonstrate()
    again = demonstrate()
    with Zoo.open(tmp_path / "out" / "zoo.db") as zoo:
        assert zoo.holds_dataset("sms-spam")  # the outcome is new evidence, for whoever asks next
    assert first.outcome.checkpoint is not None
    assert again.recall == first.recall
    assert again.outcome == first.outcome
    assert not any("measured on your data" in reason for pick in again.recall for reason in pick.reasons)
    assert again.cpu_seconds > first.cpu_seconds


def test_no_task_of_the_targets_source_is_in_the_graph_when_it_chooses(
    demonstrate: Demonstrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed, "group_of", lambda target: (target, "clinc150", "reuters-r8"))
    shown = demonstrate()
    with Zoo.open(tmp_path / "out" / "zoo.db") as zoo:
        assert set(shown.held_out) & set(zoo.dataset_ids()) == {"sms-spam"}
    told = " ".join(reason for pick in shown.recall for reason in pick.reasons)
    assert "clinc150" not in told
    assert "reuters-r8" not in told
