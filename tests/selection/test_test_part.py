"""The test part decides nothing: not a curve, not a proxy, not a winner. It is scored once, at the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selection.datasets import Dataset
from selection.features import FeatureCache
from selection.finetune import FineTuner
from selection.measure import Run, measure_one
from selection.probing import probe
from selection.records import Candidate, Measurement, Outcome, Recipe
from selection.runner import select
from selection.schedule import plan

SHORT = Recipe(learning_rate=5e-3, head_learning_rate=2e-2, batch_size=8, total_steps=8, warmup_steps=1)


@pytest.fixture(scope="module")
def spoilt(texts: Dataset) -> Dataset:
    """The dataset with its test labels turned round and its test rows replaced, and nothing else changed."""
    labels, rows = texts.labels.copy(), list(texts.rows)
    labels[texts.test] = 1 - labels[texts.test]
    for i in texts.test:
        rows[i] = f"tree sun {rows[i]}"
    return replace(texts, labels=labels, rows=tuple(rows))


@pytest.fixture
def candidates(bert: Path, bert_with_head: Path) -> list[Candidate]:
    return [Candidate("bert", str(bert)), Candidate("five", str(bert_with_head))]


def decided(outcome: Outcome) -> list[tuple[object, ...]]:
    """All that a race found out before the test: places, reasons and curves."""
    return [(s.place, s.candidate.model, s.reason, s.probe, s.progress.curve) for s in outcome.standings]


def test_curves_proxies_and_winner_do_not_change_with_the_test_part(
    tmp_path: Path, texts: Dataset, spoilt: Dataset, candidates: list[Candidate]
) -> None:
    outcomes = []
    for name, data in (("as-it-is", texts), ("spoilt", spoilt)):
        probed = probe(data, candidates, FeatureCache(tmp_path / name), names=["ridge_probe"])
        probes = {one.model: probed.probe(one.model) for one in candidates}
        raced = plan(candidates, SHORT, seconds_per_step=lambda _: 1.0, probes=probes, stops=(4, 8), eval_points=4)
        outcomes.append(select("toy", raced, FineTuner(data), tmp_path / name / "race"))
    assert decided(outcomes[0]) == decided(outcomes[1])
    assert outcomes[0].test_score != outcomes[1].test_score  # the one thing it may change


def test_all_proxies_are_scored_on_the_train_part_alone(
    tmp_path: Path, texts: Dataset, spoilt: Dataset, candidates: list[Candidate]
) -> None:
    here, there = (
        probe(data, candidates, FeatureCache(tmp_path / name)) for name, data in (("a", texts), ("b", spoilt))
    )
    assert str(stripped(here.scores)) == str(stripped(there.scores))  # str: nan


def stripped(scores: object) -> object:
    assert isinstance(scores, dict)
    return {model: [replace(one, seconds=0.0) for one in of_model] for model, of_model in scores.items()}


def test_proxies_do_change_with_the_train_part(tmp_path: Path, texts: Dataset, candidates: list[Candidate]) -> None:
    labels = texts.labels.copy()
    labels[texts.train] = np.random.default_rng(0).permutation(labels[texts.train])
    other = replace(texts, labels=labels)
    here, there = (probe(data, candidates[:1], FeatureCache(tmp_path)) for data in (texts, other))
    assert here.probe("bert") != there.probe("bert")


def test_a_measurement_tells_of_the_test_part_in_its_test_score_only(
    tmp_path: Path, texts: Dataset, spoilt: Dataset, candidates: list[Candidate]
) -> None:
    here, there = (
        measure_one(Run(candidates[0], data, SHORT, with_proxies=True), 4, tmp_path / name)
        for name, data in (("a", texts), ("b", spoilt))
    )
    assert known_before(here) == known_before(there)
    assert here.test_score != there.test_score


def known_before(found: Measurement) -> tuple[object, ...]:
    return found.progress.curve, str([replace(one, seconds=0.0) for one in found.proxies])
