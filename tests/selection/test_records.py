import json
from dataclasses import asdict, replace

from selection.records import Recipe

BEFORE = (
    '{"batch_size": 32, "cooldown": 0.25, "head": "mean", "head_learning_rate": 0.001, "learning_rate": 5e-05, '
    '"max_length": 128, "method": "full", "metric": "accuracy", "precision": "float32", "seed": 0, "threads": 1, '
    '"total_steps": 100, "warmup_steps": 10, "weight_decay": 0.01}'
)


def test_a_recipe_that_uses_no_later_field_is_named_as_before_they_came() -> None:
    assert json.dumps(Recipe().identity(), sort_keys=True) == BEFORE
    assert str(Recipe()).endswith("precision='float32', seed=0, threads=1)")


def test_a_later_field_that_is_used_names_the_recipe() -> None:
    for changes in ({"class_weights": "balanced"}, {"rate_factors": (1.0, 3.0)}, {"lora_rank": 4}):
        changed = replace(Recipe(), **changes)
        assert changed.identity() == Recipe().identity() | changes
        assert str(changed) != str(Recipe())


def test_a_recipe_read_back_from_json_is_the_same() -> None:
    recipe = Recipe(method="lora", rate_factors=(0.3, 1.0), family_rate=True)
    for fields in (asdict(recipe), recipe.identity()):
        assert Recipe(**json.loads(json.dumps(fields))) == recipe
