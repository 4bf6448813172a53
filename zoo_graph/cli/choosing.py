"""Subcommands that choose a model: recommend, plan, select, measure, demo."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo_graph.cli.options import (
    CheckpointsOption,
    DatasetArgument,
    LabelOption,
    MaxDownloadOption,
    MaxTestOption,
    MaxTrainOption,
    NameOption,
    TextOption,
    ZooOption,
    listed,
    load_dataset,
    number,
    open_zoo,
    seconds,
)
from zoo_graph.cli.output import FAILED, as_jsonl, each, say, show, table, track
from zoo_graph.errors import InputError

if TYPE_CHECKING:
    from selection.datasets import Dataset
    from selection.records import Candidate, Pick, Recall, Recipe
    from zoo_graph.zoo import Zoo

ModelsOption = Annotated[list[str], typer.Option("--models", help="More candidates: checkpoint folders or hub ids.")]
CandidatesOption = Annotated[
    str, typer.Option("--candidates", help="Model ids or folders, comma-separated; a JSONL file of picks; - for stdin.")
]
BudgetOption = Annotated[str | None, typer.Option("--budget", help="Time the selection may take, e.g. 20min.")]
EpochsOption = Annotated[float, typer.Option("--epochs", min=0.1, help="Length of a full run over the training rows.")]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1)]
RateOption = Annotated[float, typer.Option("--learning-rate", min=0.0)]
LengthOption = Annotated[int, typer.Option("--max-length", min=4, help="Tokens of a text that are read.")]
HeadOnlyOption = Annotated[bool, typer.Option("--head-only", help="Train the head alone; the encoder stays as it is.")]
MetricOption = Annotated[str, typer.Option("--metric", help="accuracy, macro_f1 or mcc.")]
SeedOption = Annotated[int, typer.Option("--seed")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of each fine-tune.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Fine-tunes at the same time.")]


def recommend(
    dataset: DatasetArgument,
    zoo: ZooOption = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many picks.")] = 10,
    models: ModelsOption = [],  # noqa: B006
    max_parameters: Annotated[str | None, typer.Option(help="e.g. 100M.")] = None,
    license: Annotated[list[str], typer.Option(help="Allowed licences, e.g. apache-2.0,mit.")] = [],  # noqa: B006
    allow_unknown: Annotated[bool, typer.Option("--allow-unknown", help="Keep models whose value is unknown.")] = False,
    no_proxies: Annotated[bool, typer.Option("--no-proxies", help="History and metadata only.")] = False,
    name: NameOption = None,
    text: TextOption = None,
    label: LabelOption = None,
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
    )
    with open_zoo(zoo, checkpoints, create=True) as opened:
        found = opened.recommend(
            _dataset_or_id(opened, dataset, name, text, label, max_train),
            k,
            models=listed(models),
            proxies=not no_proxies,
            constraints=constraints,
            max_length=max_length,
            max_download=number(max_download, "--max-download"),
            say=say,
            track=_probing,
        )
    show(as_jsonl(map(pick_fields, found.picks)) if jsonl else recall_lines(found))
    for note in found.notes:
        say(f"note: {note}")


def plan(
    dataset: DatasetArgument,
    candidates: CandidatesOption,
    zoo: ZooOption = None,
    budget: BudgetOption = None,
    epochs: EpochsOption = 3,
    batch_size: BatchOption = 32,
    learning_rate: RateOption = 1e-4,
    max_length: LengthOption = 128,
    head_only: HeadOnlyOption = False,
    metric: MetricOption = "accuracy",
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    workers: WorkersOption = 1,
    name: NameOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    checkpoints: CheckpointsOption = None,
) -> None:
    """Show rungs, candidates and expected time of a selection, before anything is spent."""
    from selection import report

    data = load_dataset(dataset, name, text, label, max_train, max_test)
    recipe = _recipe(data, epochs, batch_size, learning_rate, max_length, head_only, metric, seed, threads)
    with open_zoo(zoo, checkpoints, create=True) as opened:
        made = opened.plan(
            data,
            read_candidates(opened, candidates),
            recipe=recipe,
            budget_seconds=seconds(budget),
            workers=workers,
            track=_probing,
        )
    show(report.plan_lines(made))


def select(
    dataset: DatasetArgument,
    candidates: CandidatesOption,
    zoo: ZooOption = None,
    folder: Annotated[Path | None, typer.Option(help="Where the race, the report and the winner go.")] = None,
    budget: BudgetOption = None,
    epochs: EpochsOption = 3,
    batch_size: BatchOption = 32,
    learning_rate: RateOption = 1e-4,
    max_length: LengthOption = 128,
    head_only: HeadOnlyOption = False,
    metric: MetricOption = "accuracy",
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    workers: WorkersOption = 1,
    name: NameOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    checkpoints: CheckpointsOption = None,
) -> None:
    """Fine-tune the candidates by successive halving; the winner's checkpoint is saved. Run again to go on."""
    from selection import report
    from selection.journal import recorded_plan

    data = load_dataset(dataset, name, text, label, max_train, max_test)
    recipe = _recipe(data, epochs, batch_size, learning_rate, max_length, head_only, metric, seed, threads)
    with open_zoo(zoo, checkpoints, create=True) as opened:
        picks = read_candidates(opened, candidates)
        where = folder or opened.selection_folder(data, picks, recipe)
        made = recorded_plan(where) if where.exists() else None
        if made is None:
            made = opened.plan(
                data, picks, recipe=recipe, budget_seconds=seconds(budget), workers=workers, track=_probing
            )
        for line in report.plan_lines(made):
            say(line)
        outcome = opened.select(
            data,
            plan=made,
            folder=where,
            workers=workers,
            deadline_seconds=seconds(budget),
            track=lambda event: say(report.event_line(event, made)),
        )
    show(report.lines(outcome))
    show([f"report: {report.write(outcome, where)}"])


def measure(
    datasets: Annotated[list[str], typer.Argument(help="Files or folders, each a dataset.")],
    models: Annotated[
        list[str], typer.Option("--models", help="Checkpoint folders or hub ids; give it several times.")
    ],
    zoo: ZooOption = None,
    folder: Annotated[Path | None, typer.Option(help="Where the journal goes (default: in the zoo's folder).")] = None,
    workers: WorkersOption = 1,
    hours: Annotated[float | None, typer.Option(min=0.0, help="Start no fine-tune after this many hours.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2.")] = "0",
    epochs: EpochsOption = 3,
    batch_size: BatchOption = 32,
    learning_rate: RateOption = 1e-4,
    max_length: LengthOption = 128,
    head_only: HeadOnlyOption = False,
    metric: MetricOption = "accuracy",
    text: TextOption = None,
    label: LabelOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    checkpoints: CheckpointsOption = None,
) -> None:
    """Fine-tune every model on every dataset: results, curves and proxy scores for the graph. Run again to go on."""
    from selection.errors import SelectionError
    from selection.records import Failure

    opened_data, failed = [], 0
    for source in datasets:
        try:
            opened_data.append(load_dataset(source, None, text, label, max_train, max_test))
        except SelectionError as error:
            say(f"zoo: {error}")
            failed += 1
    if not opened_data:
        raise InputError(f"none of {len(datasets)} datasets can be used")
    longest = max(opened_data, key=lambda data: data.train.size)
    recipe = _recipe(longest, epochs, batch_size, learning_rate, max_length, head_only, metric, 0, 1)
    with open_zoo(zoo, checkpoints, create=True) as opened:
        total = len(opened_data) * len(listed(models)) * len(listed([seeds]))
        with track("measuring", total) as advance:
            found = opened.measure(
                opened_data,
                listed(models),
                folder=folder,
                recipe=recipe,
                seeds=[_whole(seed) for seed in listed([seeds])],
                workers=workers,
                hours=hours,
            )
            for count, item in enumerate(found, 1):
                advance(count)
                if isinstance(item, Failure):
                    failed += 1
                    say(f"failed: {item.model} on {item.dataset or 'every dataset'}: {item.reason}")
                else:
                    last = f"validation {item.progress.score:.4f}, test {item.test_score:.4f}"
                    show([f"{item.model} on {item.dataset} (seed {item.recipe.seed}): {last}"])
    if failed:
        say(f"{failed} could not be measured; the same command tries them again")
        raise typer.Exit(FAILED)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo's zoo, race and report go.")] = Path("demo-out"),
    target: Annotated[list[str], typer.Option(help="The task held out (with --verify several, comma-separated).")] = [],  # noqa: B006
    k: Annotated[int, typer.Option("-k", min=1, help="How many candidates are recalled.")] = 5,
    verify: Annotated[
        bool, typer.Option("--verify", help="Fine-tune every candidate too, and print the regret.")
    ] = False,
    workers: WorkersOption = 1,
    shared: Annotated[Path | None, typer.Option(help="A folder with texts that are for measuring only.")] = None,
    fetch_only: Annotated[
        bool, typer.Option("--fetch-only", help="Download and build what the demo needs, then stop.")
    ] = False,
) -> None:
    """Show the whole path on the demo zoo: recall, plan and selection for a task the zoo knows nothing of."""
    from selection import report
    from zoo_graph.demo import demonstration, verification

    targets = listed(target) or [demonstration.TARGET]
    found = []
    for one in targets:
        ready, path = demonstration.prepare(one, shared=shared, say=say)
        if fetch_only:
            continue
        where = folder / one
        shown = demonstration.demonstrate(
            where,
            one,
            path,
            k=k,
            workers=workers,
            say=lambda text: show([text]),
            track=_probing,
            on_event=lambda event, made: show([f"   {report.event_line(event, made)}"]),
        )
        show(["", *report.lines(shown.outcome), demonstration.check_winner(shown)])
        show([f"report: {shown.report}", f"{shown.seconds:.0f} s of wall clock, {shown.cpu_seconds:.0f} s of CPU"])
        if verify:
            show(["", f"6. verify: every candidate on {one}, to the end"])
            compared, runs = verification.verify(
                shown, demonstration.local_candidates(ready), where, workers=workers, say=lambda text: show([text])
            )
            found.append(compared)
            report.write(
                shown.outcome,
                where,
                picks=shown.recall.picks,
                recall_notes=shown.recall.notes,
                verify={run.model: run.progress.score for run in runs},
                truth={run.model: run.test_score for run in runs},
            )
    if found:
        show(["", *verification.lines(found), f"written to {verification.write(found, folder)}"])


def recall_lines(found: "Recall") -> list[str]:
    """The picks as a table, each with its reasons below."""
    rows = [
        (pick.rank, pick.model, pick.score, f"[{pick.low:.3f}, {pick.high:.3f}]", _ties(found.picks, pick))
        for pick in found.picks
    ]
    metric = found.picks[0].metric if found.picks else "score"
    lines = table(("rank", "model", metric, "90 % interval", "tied with"), rows)
    return [*lines, "", *(f"{pick.rank}. {pick.model}: {'; '.join(pick.reasons)}" for pick in found.picks)]


def pick_fields(pick: "Pick") -> dict[str, Any]:
    """A pick as JSON fields, which `read_candidates` reads back."""
    return {
        "rank": pick.rank,
        "model": pick.model,
        "source": pick.candidate.source,
        "modality": pick.candidate.modality,
        "n_parameters": pick.candidate.n_parameters,
        "license": pick.candidate.license,
        "family": pick.candidate.family,
        "score": pick.score,
        "low": pick.low,
        "high": pick.high,
        "metric": pick.metric,
        "tie": pick.tie,
        "reasons": pick.reasons,
    }


def read_candidates(zoo: "Zoo", given: str) -> "list[Candidate]":
    """Candidates of `--candidates`: picks as JSONL from a file or stdin, or ids, folders and hub ids.

    Raises:
        InputError: lines that are no picks, or nothing at all.
        UnknownNameError: an id that is neither in the zoo nor a folder nor a hub id.
    """
    path = Path(given)
    if given == "-" or (path.is_file() and path.suffix in {".jsonl", ".json", ".ndjson"}):
        lines = sys.stdin if given == "-" else path.read_text().splitlines()
        found = [_candidate(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    else:
        found = zoo.candidates(listed([given]))
    if not found:
        raise InputError("got no candidates; wanted model ids, folders, or the picks of zoo recommend --jsonl")
    return found


def _candidate(line: str, number: int) -> "Candidate":
    from selection.records import Candidate

    try:
        fields = json.loads(line)
        known = ("model", "source", "modality", "n_parameters", "license", "family")
        return Candidate(**{name: fields[name] for name in known if name in fields})
    except (ValueError, TypeError) as error:
        raise InputError(
            f"candidates, line {number}: got {line.strip()[:80]!r}; wanted a pick as JSON ({error})"
        ) from error


def _ties(picks: "Iterable[Pick]", one: "Pick") -> str:
    others = [str(pick.rank) for pick in picks if pick.tie == one.tie and pick is not one]
    return ", ".join(others)


def _dataset_or_id(
    zoo: "Zoo", source: str, name: str | None, text: str | None, label: str | None, max_train: int | None
) -> "Dataset | str":
    if not Path(source).exists() and zoo.holds_dataset(source):
        return source
    from selection.errors import DatasetError
    from zoo_graph.errors import UnknownNameError

    try:
        return load_dataset(source, name, text, label, max_train, None)
    except DatasetError:
        if Path(source).exists():
            raise
        known = zoo.dataset_ids()
        if not known:
            raise
        raise UnknownNameError("file, folder or dataset", source, known) from None


def _recipe(
    data: "Dataset",
    epochs: float,
    batch_size: int,
    learning_rate: float,
    max_length: int,
    head_only: bool,
    metric: str,
    seed: int,
    threads: int,
) -> "Recipe":
    from selection.finetune import default_device, default_precision
    from selection.metrics import METRICS
    from selection.recipes import recipe_for
    from selection.records import Recipe
    from zoo_graph.errors import UnknownNameError

    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    base = Recipe(
        method="head" if head_only else "full",
        learning_rate=learning_rate,
        head_learning_rate=1e-2,
        batch_size=batch_size,
        max_length=max_length,
        metric=metric,
        seed=seed,
        threads=threads,
    )
    return recipe_for(data, epochs=epochs, precision=default_precision(default_device()), base=base)


def _probing(candidates: "list[Candidate]") -> "Iterable[Candidate]":
    return each(candidates, "probing", lambda candidate: candidate.model)


def _whole(text: str) -> int:
    if not text.isdigit():
        raise InputError(f"got the seed {text!r}; wanted whole numbers, e.g. --seeds 0,1,2")
    return int(text)


COMMANDS = (recommend, plan, select, measure, demo)
