"""A race decides alike wherever its trials run."""

import resource
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from selection.datasets import Dataset
from selection.executors.executor import Site
from selection.finetune import FineTuner
from selection.records import Candidate, Outcome, Recipe
from selection.runner import select
from selection.schedule import plan


def test_trials_packed_by_measured_memory_give_the_scores_of_one_at_a_time_bit_for_bit(
    texts: Dataset, recipe: Recipe, bert: Path, decoder: Path, tmp_path: Path
) -> None:
    candidates = [Candidate(folder.name, str(folder)) for folder in (bert, decoder)]
    made = plan(candidates, replace(recipe, max_length=16), seconds_per_step=lambda one: 0.01, policy="brute_force")

    def raced(name: str, workers: Any) -> Outcome:
        return select("toy", made, FineTuner(texts), tmp_path / name, workers=workers)

    alone, packed = raced("alone", 1), raced("packed", Site("auto"))
    assert [one.candidate for one in packed.standings] == [one.candidate for one in alone.standings]
    assert [one.progress.curve for one in packed.standings] == [one.progress.curve for one in alone.standings]
    assert packed.test_score == alone.test_score


@pytest.mark.parametrize("workers", [1, 2])
def test_states_that_find_no_room_fail_nobody_and_a_torn_checkpoint_fails_its_own_trial_alone(
    texts: Dataset, recipe: Recipe, bert: Path, tmp_path: Path, workers: int
) -> None:
    torn = shutil.copytree(bert, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:5000])
    candidates = [Candidate(folder.name, str(folder)) for folder in (bert, torn)]
    made = plan(candidates, replace(recipe, max_length=16), seconds_per_step=lambda one: 0.01, policy="brute_force")
    race = partial(select, "toy", made, FineTuner(texts), tmp_path / "race", workers=workers)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # spawned workers inherit it
    try:
        with pytest.raises(OSError, match="the same command goes on"):
            race()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    outcome = race()
    assert [(one.candidate.model, one.dropped) for one in outcome.standings] == [("bert", None), ("torn", "failed")]
