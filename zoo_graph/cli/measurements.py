"""Subcommand measure."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo_graph.cli.options import (
    BatchOption,
    CheckpointsOption,
    EpochsOption,
    FactorsOption,
    LabelOption,
    LengthOption,
    MaxTestOption,
    MaxTrainOption,
    MethodOption,
    MetricOption,
    RankOption,
    RateOption,
    TaskOption,
    TextOption,
    WeightsOption,
    ZooOption,
    listed,
    load_dataset,
    open_or_make_zoo,
    read_recipe,
)
from zoo_graph.cli.output import FAILED, say, show, track
from zoo_graph.cli.sites import ExecutorOption, RayOption, WorkersOption, site
from zoo_graph.errors import InputError

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.records import Recipe


def measure(
    datasets: Annotated[list[str], typer.Argument(help="Files or folders, each a dataset.")],
    models: Annotated[
        list[str], typer.Option("--models", help="Checkpoint folders or hub ids; give it several times.")
    ],
    zoo: ZooOption = None,
    folder: Annotated[Path | None, typer.Option(help="Where the journal goes (default: in the zoo's folder).")] = None,
    workers: WorkersOption = "1",
    executor: ExecutorOption = "local",
    ray_address: RayOption = None,
    hours: Annotated[float | None, typer.Option(min=0.0, help="Start no fine-tune after this many hours.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2.")] = "0",
    epochs: EpochsOption = 3,
    batch_size: BatchOption = 32,
    learning_rate: RateOption = None,
    rate_factors: FactorsOption = None,
    max_length: LengthOption = 128,
    method: MethodOption = "full",
    lora_rank: RankOption = 8,
    metric: MetricOption = None,
    class_weights: WeightsOption = "none",
    text: TextOption = None,
    label: LabelOption = None,
    task: TaskOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    checkpoints: CheckpointsOption = None,
) -> None:
    """Fine-tune every model on every dataset: results, curves and proxy scores for the graph. Run again to go on."""
    from selection.errors import SelectionError
    from selection.records import Failure
    from zoo_graph.measurements import NOT_BEGUN

    at = site(workers, executor, ray_address)
    opened_data, failed, waiting, told = [], 0, 0, 0
    for source in datasets:
        try:
            opened_data.append(load_dataset(source, None, text, label, task, max_train, max_test))
        except SelectionError as error:
            say(f"zoo: {error}")
            failed += 1
    if not opened_data:
        raise InputError(f"none of {len(datasets)} datasets can be used")

    def recipe(data: "Dataset") -> "Recipe":
        return read_recipe(
            data,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            rate_factors=rate_factors,
            max_length=max_length,
            method=method,
            lora_rank=lora_rank,
            metric=metric,
            class_weights=class_weights,
        )

    recipe(opened_data[0])  # a metric there is none of is told before anything runs
    with open_or_make_zoo(zoo, checkpoints) as opened:
        total = len(opened_data) * len(listed(models)) * len(listed([seeds]))
        with track("measuring", total) as advance:
            found = opened.measure(
                opened_data,
                listed(models),
                folder=folder,
                recipe=recipe,
                seeds=[_whole(seed) for seed in listed([seeds])],
                workers=at,
                hours=hours,
            )
            for count, item in enumerate(found, 1):
                advance(count)
                told += 1 if not isinstance(item, Failure) or item.dataset else total // max(1, len(listed(models)))
                if isinstance(item, Failure) and item.reason == NOT_BEGUN:
                    waiting += 1
                elif isinstance(item, Failure):
                    failed += 1
                    say(f"failed: {item.model} on {item.dataset or 'every dataset'}: {item.reason}")
                else:
                    last = f"validation {item.metric} {item.progress.score:.4f}, test {item.test_score:.4f}"
                    run = f"seed {item.recipe.seed}, {item.recipe.total_steps} steps"
                    show([f"{item.model} on {item.dataset} ({run}): {last}"])
    if failed:
        say(f"{failed} could not be measured; the same command tries them again")
    if told < total:
        say(f"{total - told} left out: the model reads another kind of data")
    if waiting:
        say(f"{waiting} not begun within --hours {hours or 0:g}; the same command goes on with them")
    if failed or waiting:
        raise typer.Exit(FAILED)


def _whole(text: str) -> int:
    if not text.isdigit():
        raise InputError(f"got the seed {text!r}; wanted whole numbers, e.g. --seeds 0,1,2")
    return int(text)
