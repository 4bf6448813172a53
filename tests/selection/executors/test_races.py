"""A race decides alike wherever its trials run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

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
