"""Subcommands plan and select."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selection.records import PRICE
from zoo_graph.cli.candidates import read_candidates
from zoo_graph.cli.options import (
    BatchOption,
    BudgetOption,
    CheckpointsOption,
    DatasetArgument,
    EpochsOption,
    FactorsOption,
    LabelOption,
    LengthOption,
    MaxTestOption,
    MaxTrainOption,
    MethodOption,
    MetricOption,
    NameOption,
    PolicyOption,
    PriceOption,
    RankOption,
    RateOption,
    SeedOption,
    TaskOption,
    TextOption,
    ThreadsOption,
    WeightsOption,
    ZooOption,
    load_dataset,
    number,
    open_or_make_zoo,
    read_recipe,
    seconds,
)
from zoo_graph.cli.output import FAILED, probing, say, show
from zoo_graph.cli.sites import DiskOption, ExecutorOption, RayOption, WorkersOption, site

if TYPE_CHECKING:
    from selection.records import Failure

CandidatesOption = Annotated[
    str, typer.Option("--candidates", help="Model ids or folders, comma-separated; a JSONL file of picks; - for stdin.")
]


def plan(
    dataset: DatasetArgument,
    candidates: CandidatesOption,
    zoo: ZooOption = None,
    budget: BudgetOption = None,
    epochs: EpochsOption = 3,
    batch_size: BatchOption = 32,
    learning_rate: RateOption = None,
    rate_factors: FactorsOption = None,
    max_length: LengthOption = 128,
    method: MethodOption = "full",
    lora_rank: RankOption = 8,
    metric: MetricOption = None,
    class_weights: WeightsOption = "none",
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    workers: WorkersOption = "1",
    executor: ExecutorOption = "local",
    ray_address: RayOption = None,
    policy: PolicyOption = "racing",
    price: PriceOption = PRICE,
    name: NameOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    task: TaskOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    checkpoints: CheckpointsOption = None,
) -> None:
    """Show rungs, candidates and expected time of a selection, before anything is spent."""
    from selection import report

    at = site(workers, executor, ray_address)
    data = load_dataset(dataset, name, text, label, task, max_train, max_test)
    recipe = read_recipe(
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
        seed=seed,
        threads=threads,
    )
    with open_or_make_zoo(zoo, checkpoints) as opened:
        picks, failures = read_candidates(opened, candidates)
        made = opened.plan(
            data,
            picks,
            recipe=recipe,
            budget_seconds=seconds(budget),
            workers=at,
            policy=policy,
            price=price,
            track=probing,
        )
    show(report.plan_lines(made))
    _end([*failures, *made.failures])


def select(
    dataset: DatasetArgument,
    candidates: CandidatesOption,
    zoo: ZooOption = None,
    folder: Annotated[Path | None, typer.Option(help="Where the race, the report and the winner go.")] = None,
    budget: BudgetOption = None,
    epochs: EpochsOption = 3,
    batch_size: BatchOption = 32,
    learning_rate: RateOption = None,
    rate_factors: FactorsOption = None,
    max_length: LengthOption = 128,
    method: MethodOption = "full",
    lora_rank: RankOption = 8,
    metric: MetricOption = None,
    class_weights: WeightsOption = "none",
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    workers: WorkersOption = "1",
    executor: ExecutorOption = "local",
    ray_address: RayOption = None,
    disk: DiskOption = None,
    policy: PolicyOption = "racing",
    price: PriceOption = PRICE,
    name: NameOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    task: TaskOption = None,
    max_train: MaxTrainOption = None,
    max_test: MaxTestOption = None,
    checkpoints: CheckpointsOption = None,
) -> None:
    """Race the candidates by fine-tuning them; the winner's checkpoint is saved. Run again to go on."""
    from selection import report
    from selection.folders import check_folder, locked
    from selection.journal import is_finished
    from selection.records import Failure
    from zoo_graph.choice import begun_plan

    at, disk_bytes = site(workers, executor, ray_address), number(disk, "--disk")
    if folder is not None:
        check_folder(folder)
    data = load_dataset(dataset, name, text, label, task, max_train, max_test)
    recipe = read_recipe(
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
        seed=seed,
        threads=threads,
    )
    with open_or_make_zoo(zoo, checkpoints) as opened:
        picks, failures = read_candidates(opened, candidates)
        where = folder or opened.selection_folder(data, picks, recipe, policy, price)
        if where.exists():
            with locked(where):  # in use by another: told before anything is planned
                pass
        made = begun_plan(where, picks, recipe, policy, price)
        finished = is_finished(where)
        if made is not None:
            say(f"the race in {where} is finished" if finished else f"going on with the race in {where}")
        else:
            made = opened.plan(
                data,
                picks,
                recipe=recipe,
                budget_seconds=seconds(budget),
                workers=at,
                policy=policy,
                price=price,
                track=probing,
            )
        for line in () if finished else report.plan_lines(made):
            say(line)
        outcome = opened.select(
            data,
            plan=made,
            folder=where,
            workers=at,
            disk_bytes=disk_bytes,
            deadline_seconds=seconds(budget),
            track=lambda event: say(report.event_line(event, made)),
        )
    show(report.lines(outcome))
    show([f"report: {report.write(outcome, where)}"])
    lost = [one for one in outcome.standings if one.dropped == "failed"]
    damage = _damage(where / "best")
    if damage:
        model = outcome.best.candidate.source or outcome.best.candidate.model
        say(f"zoo: {where / 'best'} {damage}: the same command with --candidates {model} and a new --folder trains it")
    _end(
        [*failures, *made.failures, *(Failure(one.candidate.model, data.name, 0, str(one.reason)) for one in lost)],
        damaged=damage is not None,
    )


def _damage(best: Path) -> str | None:
    """What is wrong with a winner's folder; None where it can be opened."""
    if not best.is_dir():
        return "is not there any more"
    whole = (best / "config.json").is_file() and any(best.glob("*.safetensors"))
    return None if whole else "is incomplete"


def _end(failures: "Sequence[Failure]", *, damaged: bool = False) -> None:
    """Names the candidates that could not be used, and ends with 1 if there are any or the winner is damaged."""
    for failure in failures:
        say(f"failed: {failure.model}: {failure.reason}")
    if failures or damaged:
        raise typer.Exit(FAILED)
