"""Options that several subcommands share, and what users may write for a number, a time or a list."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from selection.records import ClassWeights, Method, Policy
from zoo_graph.errors import InputError

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.metrics import Task
    from selection.records import Recipe
    from zoo_graph.zoo import Zoo

ZooOption = Annotated[
    str | None, typer.Option("--zoo", help="The zoo: a folder, or bolt://, neo4j:// (default: $ZOO, else zoo.db).")
]
CheckpointsOption = Annotated[
    Path | None, typer.Option("--checkpoints", help="Folder in which relative model sources lie ($ZOO_CHECKPOINTS).")
]
DatasetArgument = Annotated[
    str, typer.Argument(help="A CSV, TSV or Parquet file, an image folder, a load_from_disk folder, or a hub id.")
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="The dataset's id in the graph (default: its file name).")
]
TextOption = Annotated[str | None, typer.Option("--text", help="The column with the text or image path.")]
LabelOption = Annotated[str | None, typer.Option("--label", help="The column with the label.")]
TaskOption = Annotated[
    Literal["classification", "regression"] | None,
    typer.Option("--task", help="What labels are (default: numbers where they are many different fractions)."),
]
MaxTrainOption = Annotated[int | None, typer.Option("--max-train", min=2, help="Use at most this many training rows.")]
MaxTestOption = Annotated[int | None, typer.Option("--max-test", min=1, help="Use at most this many test rows.")]
MaxDownloadOption = Annotated[
    str | None, typer.Option("--max-download", help="Most bytes to download for one model, e.g. 500MB (default 2GB).")
]
BudgetOption = Annotated[str | None, typer.Option("--budget", help="Time the selection may take, e.g. 20min.")]
EpochsOption = Annotated[
    float, typer.Option("--epochs", min=0.1, help="Length of a full run over the training rows (at least 40 steps).")
]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1)]
RateOption = Annotated[
    float | None,
    typer.Option("--learning-rate", min=0.0, help="Default: the method's (full 1e-4, lora 1e-3), by family."),
]
FactorsOption = Annotated[
    str | None,
    typer.Option("--rate-factors", help="Learning rates to try, as factors, e.g. 0.3,1,3; the best goes on."),
]
PolicyOption = Annotated[
    Policy, typer.Option("--policy", help="Who goes on: racing trains while what curves will tell is worth it.")
]


def _finite(price: float) -> float:
    if not math.isfinite(price):
        raise typer.BadParameter(f"got {price:g}; wanted a score, .005 is usual (0: train on whoever may gain at all)")
    return price


PriceOption = Annotated[
    float,
    typer.Option(
        "--price",
        min=0.0,
        callback=_finite,
        help="Racing: what a full run must promise to gain, in the metric's unit; .005 is half a point of accuracy.",
    ),
]
LengthOption = Annotated[int, typer.Option("--max-length", min=4, help="Tokens of a text that are read.")]
MethodOption = Annotated[
    Method, typer.Option("--method", help="Train all weights, adapters and head (needs peft), or the head alone.")
]
RankOption = Annotated[int, typer.Option("--lora-rank", min=1, help="Rank of the adapters.")]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric", help="accuracy, macro_f1, mcc or balanced_accuracy; for numbers r2, pearson, spearman or mse."
    ),
]
WeightsOption = Annotated[
    ClassWeights, typer.Option("--class-weights", help="balanced: rare classes weigh as much as frequent ones.")
]
MAX_SEED = 2**32 - 1  # the largest that every library behind it takes
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED)]


def bearable(count: int) -> int:
    """A count of threads or workers that this machine can carry."""
    from selection.executors.local import most_workers

    if count > most_workers():
        raise typer.BadParameter(f"got {count}; wanted at most {most_workers()}, four for each core of this machine")
    return count


ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, callback=bearable, help="CPU threads of each fine-tune.")
]

MAX_COUNT = 1e18  # what a graph and a file system can hold
_SUFFIXES = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "hours": 3600}


def open_zoo(zoo: str | None, checkpoints: Path | None = None, *, create: bool = False) -> "Zoo":
    """Opens the zoo that the options or the environment name."""
    from zoo_graph.settings import read_settings
    from zoo_graph.zoo import Zoo

    settings = read_settings()
    return Zoo.open(
        zoo or settings.zoo,
        user=settings.user,
        password=settings.password.get_secret_value() if settings.password else None,
        create=create,
        checkpoints=checkpoints or settings.checkpoints,
    )


def open_or_make_zoo(zoo: str | None, checkpoints: Path | None = None) -> "Zoo":
    """Opens the zoo that the options or the environment name, or makes it there, and says so: it may be a typo."""
    from zoo_graph.cli.output import say
    from zoo_graph.settings import read_settings

    where = zoo or read_settings().zoo
    new = "://" not in where and not Path(where).expanduser().exists()
    opened = open_zoo(zoo, checkpoints, create=True)
    if new:
        say(f"zoo: there was no zoo at {where}: made one")
    return opened


def load_dataset(
    source: str,
    name: str | None,
    text: str | None,
    label: str | None,
    task: "Task | None",
    max_train: int | None,
    max_test: int | None,
) -> "Dataset":
    """Opens the dataset and tells what was left out of it."""
    from selection.datasets import Limits, open_dataset
    from zoo_graph.cli.output import say

    limits = Limits(train=max_train, test=max_test)
    dataset = open_dataset(source, name=name, text=text, label=label, limits=limits, task=task)
    for note in dataset.notes:
        say(f"{dataset.name}: {note}")
    return dataset


def number(text: str | None, what: str) -> int | None:
    """A count such as 110M, 1.5B, 500MB or 20000.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*([\d.,_]+)\s*([a-z]?)b?\s*", text.lower())
    digits = match.group(1).replace(",", "").replace("_", "") if match else ""
    if match is None or match.group(2) not in _SUFFIXES or digits.count(".") > 1 or digits.strip(".") == "":
        raise InputError(f"got {what} {text!r}; wanted a number such as 100M, 1.5B or 20000")
    count = float(digits) * _SUFFIXES[match.group(2)]
    if count > MAX_COUNT:
        raise InputError(f"got {what} {text!r}; wanted at most {MAX_COUNT:.0g}")
    return int(count)


def seconds(text: str | None) -> float | None:
    """A time such as 20min, 2h or 90s.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match.group(2) not in _SECONDS or float(match.group(1)) == 0:
        raise InputError(f"got the time {text!r}; wanted one such as 20min, 2h or 90s")
    return float(match.group(1)) * _SECONDS[match.group(2)]


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """`a=b,c=d` of one or several options as a dict.

    Raises:
        InputError: a part without `=`.
    """
    found = {}
    for part in (piece for text in texts for piece in text.split(",") if piece.strip()):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise InputError(f"got {option} {part!r}; wanted name=value, several separated by commas")
        found[key.strip()] = value.strip()
    return found


def listed(texts: Iterable[str]) -> list[str]:
    """`a,b` of one or several options as a list."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def read_recipe(
    data: "Dataset",
    *,
    epochs: float,
    batch_size: int,
    learning_rate: float | None,
    rate_factors: str | None,
    max_length: int,
    method: Method,
    lora_rank: int,
    metric: str | None,
    class_weights: ClassWeights,
    seed: int = 0,
    threads: int = 1,
) -> "Recipe":
    """The recipe that the options ask for, as long as the dataset makes it.

    Raises:
        UnknownNameError: an unknown metric.
        InputError: rate factors that are no numbers.
    """
    from selection.hardware import default_device, default_precision
    from selection.metrics import METRICS
    from selection.recipes import default_recipe, recipe_for
    from zoo_graph.errors import UnknownNameError

    if metric is not None and metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    base = replace(
        default_recipe(data.task, method),
        batch_size=batch_size,
        rate_factors=_factors(rate_factors),
        max_length=max_length,
        lora_rank=lora_rank,
        lora_alpha=2 * lora_rank,
        class_weights=class_weights,
        seed=seed,
        threads=threads,
    )
    if learning_rate is not None:
        base = replace(base, learning_rate=learning_rate, family_rate=False)
    if metric is not None:
        base = replace(base, metric=metric)
    return recipe_for(data, epochs=epochs, precision=default_precision(default_device()), base=base)


def _factors(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in listed([text or ""]))
    except ValueError:
        raise InputError(f"got --rate-factors {text!r}; wanted numbers separated by commas, e.g. 0.3,1,3") from None
