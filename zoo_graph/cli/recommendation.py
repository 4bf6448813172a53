"""Subcommand recommend."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from selection.planning import ProxyPolicy
from zoo_graph.cli.candidates import pick_fields
from zoo_graph.cli.options import (
    CheckpointsOption,
    DatasetArgument,
    LabelOption,
    LengthOption,
    MaxDownloadOption,
    MaxTrainOption,
    NameOption,
    TaskOption,
    TextOption,
    ZooOption,
    listed,
    load_dataset,
    number,
    open_or_make_zoo,
    open_zoo,
    seconds,
)
from zoo_graph.cli.output import FAILED, as_jsonl, probing, say, show, table

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.records import Pick, Recall
    from zoo_graph.zoo import Zoo


ProxySecondsOption = Annotated[
    str | None, typer.Option("--proxy-seconds", help="Time the proxies may take, e.g. 60 or 5min (default: no end).")
]
ParetoOption = Annotated[
    Literal["n_parameters", "seconds"] | None,
    typer.Option(help="Pick the Pareto front of expected score against parameters, or measured seconds."),
]
ProxyPolicyOption = Annotated[
    ProxyPolicy | None,
    typer.Option(
        "--proxy-policy",
        help="Whose proxies are run: gain (where they change the picks most; default with --proxy-seconds), "
        "representatives (one of each community), or all.",
    ),
]
ModelsOption = Annotated[list[str], typer.Option("--models", help="More candidates: checkpoint folders or hub ids.")]


def recommend(
    dataset: DatasetArgument,
    zoo: ZooOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many picks.")] = 10,
    models: ModelsOption = [],  # noqa: B006
    max_parameters: Annotated[str | None, typer.Option(help="e.g. 100M.")] = None,
    license: Annotated[list[str], typer.Option(help="Allowed licences, e.g. apache-2.0,mit.")] = [],  # noqa: B006
    allow_unknown: Annotated[bool, typer.Option("--allow-unknown", help="Keep models whose value is unknown.")] = False,
    exclude_pretrained: Annotated[
        bool, typer.Option("--exclude-pretrained", help="Leave out models known to be trained on the dataset.")
    ] = False,
    hold_out: Annotated[
        list[str], typer.Option(help="Datasets that hold part of yours: their results do not count.")
    ] = [],  # noqa: B006
    no_proxies: Annotated[bool, typer.Option("--no-proxies", help="History and metadata only.")] = False,
    proxy_seconds: ProxySecondsOption = None,
    proxy_policy: ProxyPolicyOption = None,
    pareto: ParetoOption = None,
    name: NameOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    task: TaskOption = None,
    max_train: MaxTrainOption = None,
    max_length: LengthOption = 128,
    max_download: MaxDownloadOption = None,
    checkpoints: CheckpointsOption = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="One JSON object a pick, for zoo select --candidates -.")
    ] = False,
) -> None:
    """Rank the models for a dataset, with intervals, ties and reasons."""
    from selection.recall import Constraints

    constraints = Constraints(
        max_parameters=number(max_parameters, "--max-parameters"),
        licenses=tuple(listed(license)),
        allow_unknown=allow_unknown,
        exclude_pretrained=exclude_pretrained,
    )
    # Without a model of the user's own an empty zoo has nothing to say: where there is none, its name is mistaken.
    with open_or_make_zoo(zoo, checkpoints) if listed(models) else open_zoo(zoo, checkpoints) as opened:
        found = opened.recommend(
            _dataset_or_id(opened, dataset, partial(load_dataset, dataset, name, text, label, task, max_train, None)),
            k,
            models=listed(models),
            proxies=not no_proxies,
            proxy_seconds=seconds(proxy_seconds),
            proxy_policy=proxy_policy,
            along=pareto,
            constraints=constraints,
            hold_out=listed(hold_out),
            max_length=max_length,
            max_download=number(max_download, "--max-download"),
            say=say,
            track=probing,
        )
    if found.picks:
        show(as_jsonl(map(pick_fields, found.picks)) if jsonl else recall_lines(found))
    for note in found.notes:
        say(f"note: {note}")
    if not found.picks:
        say(f"zoo: nothing to recommend, {_why_none(found)}")
    elif found.failures:
        say(f"zoo: {len(found.failures)} of the models given could not be used (see the notes)")
    if found.failures or not found.picks:
        raise typer.Exit(FAILED)


def recall_lines(found: "Recall") -> list[str]:
    """The picks as a table, each with its reasons below."""
    rows = [
        (pick.rank, pick.model, pick.score, f"[{pick.low:.3f}, {pick.high:.3f}]", _ties(found.picks, pick))
        for pick in found.picks
    ]
    metric = found.picks[0].metric if found.picks else "score"
    lines = table(("rank", "model", metric, "90 % interval", "tied with"), rows)
    return [*lines, "", *(f"{pick.rank}. {pick.model}: {'; '.join(pick.reasons)}" for pick in found.picks)]


def _why_none(found: "Recall") -> str:
    return "; ".join(f"{one.model}: {one.rule}" for one in found.excluded[:3]) + "; ..." * (len(found.excluded) > 3)


def _ties(picks: "Iterable[Pick]", one: "Pick") -> str:
    return _ranges([pick.rank for pick in picks if pick.tie == one.tie and pick is not one])


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, three or more in a row as a range: 1, 2, 4-9."""
    parts: list[list[int]] = []
    for one in numbers:
        if parts and one == parts[-1][-1] + 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in parts)


def _dataset_or_id(zoo: "Zoo", source: str, load: Callable[[], "Dataset"]) -> "Dataset | str":
    if not Path(source).exists() and zoo.holds_dataset(source):
        return source
    from selection.errors import DatasetError
    from zoo_graph.errors import UnknownNameError

    try:
        return load()
    except DatasetError:
        if Path(source).exists():
            raise
        known = zoo.dataset_ids()
        if not known:
            raise
        raise UnknownNameError("file, folder or dataset", source, known) from None
