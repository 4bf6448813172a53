"""The selection loop: reads where the race stands, does the next thing, writes it down; until a winner is saved.

Every decision follows from the journal (`race.replay`), so the loop can be killed anywhere and run again.
"""

import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from selection.disk import (
    DiskBudget,
    check_budget,
    default_budget,
    folder_bytes,
    growth_bytes,
    is_disk_error,
    saved_bytes,
    state_bytes,
)
from selection.errors import SelectionError, TrialError
from selection.executors.executor import Executor, Site, site_of
from selection.executors.memory import free_memory
from selection.executors.packing import Workers
from selection.executors.worker import ran_out_of_memory
from selection.folders import check_folder, drop_drafts, locked, trial_folder
from selection.journal import Header, Journal, open_journal, sync_folder
from selection.policies import survivors
from selection.race import (
    CutOff,
    Decided,
    Event,
    Failed,
    Finished,
    Probed,
    Race,
    Revived,
    Tested,
    Trained,
    replay,
    standings,
)
from selection.records import Outcome, Plan, Progress, Trial
from selection.trainer import Trainer

Track = Callable[[Event], None]
Keep = Literal["best", "trials"]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A trial to be trained on to the end of a rung, in about `expected_seconds` at most."""

    trial: Trial
    until_step: int
    folder: Path
    expected_seconds: float


@dataclass(slots=True)
class _Run:
    """What the loop's functions share: where to write, who trains, whom to tell, when to stop, what is freed."""

    journal: Journal
    trainer: Trainer
    executor: Executor[_Piece, Progress]
    workers: int
    disk: DiskBudget
    folder: Path
    tell: Track
    is_late: Callable[[], bool]
    deadline_seconds: float
    keep: Keep

    def race(self) -> Race:
        return replay(self.journal.header.plan, self.journal.events)

    def record(self, event: Event) -> None:
        self.journal.append(event)
        self.tell(event)


def select(
    dataset_name: str,
    plan: Plan,
    trainer: Trainer,
    folder: Path,
    *,
    dataset_digest: str = "",
    n_validation: int | None = None,
    n_test: int | None = None,
    track: Track | None = None,
    workers: Workers | Site = 1,
    device: str = "cpu",
    disk_bytes: int | None = None,
    deadline_seconds: float | None = None,
    keep: Keep = "best",
) -> Outcome:
    """Races the plan's trials in `folder`, saves the winner to `folder/best`; the same call goes on or answers again.

    Everything that happens is in `folder/journal.jsonl` before the next thing happens: a run killed at any moment and
    started again takes the same decisions, trains nothing twice but the piece it was killed in, and measures the test
    score once. A finished folder answers from its journal.

    A candidate that fails, or whose score is nan, is ranked last with its reason. If all of a rung fail, those dropped
    last come back. Past `deadline_seconds` (of this call) no piece of training starts; the race then ends with the best
    at the last stop that was reached by all, and says so. Dropped candidates' checkpoints are discarded one rung later,
    all others at the end, except with keep="trials".

    `track` is told every new event. With several `workers`, "auto" or a `Site`, trainer and trials travel to other
    processes; `device` is the trainer's. None of it changes a decision, but that a trial which takes many times as long
    as expected there is cut off, and has failed. The folder holds at most `disk_bytes` (default: half of what is free):
    states of paused trials give way first, the worst ranked before the others, and start anew if they are wanted; so
    does the winner before its test, past the deadline too.
    `n_validation` and `n_test` (rows) go into the outcome, for its standard errors.

    Raises:
        InputError: the folder is in use, cannot be one, or holds a selection of another dataset or plan; a number of
            workers or an executor that cannot be.
        BudgetError: a candidate does not fit the disk's budget alone; features' size is known once it is to be trained.
        TrialError: every candidate failed (with each one's reason), or the clock ended before any finished a rung.
        OSError: the disk takes no more (full, over its quota, read-only); the same call goes on once it does.
    """
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.absolute()  # trials may go on where another folder is the current one
    site, threads = site_of(workers), plan.trials[0].recipe.threads
    disk = DiskBudget(default_budget(folder) if disk_bytes is None else disk_bytes, folder, trainer.discard)
    limit = math.inf if deadline_seconds is None else deadline_seconds
    end = time.monotonic() + limit
    header = Header(dataset_name, dataset_digest, plan, n_validation, n_test)
    opened = site.open(
        partial(_train, trainer),
        threads=threads,
        device=device,
        folder=folder,
        expected_seconds=lambda piece: piece.expected_seconds,
        admit=lambda piece: _admit(run, piece),
    )
    with locked(folder), opened as executor:
        drop_drafts(folder)
        journal = open_journal(folder, header)
        run = _Run(
            journal=journal,
            trainer=trainer,
            executor=executor,
            workers=site.planned_workers(threads),
            disk=disk,
            folder=folder,
            tell=track or (lambda event: None),
            is_late=lambda: time.monotonic() >= end,
            deadline_seconds=limit,
            keep=keep,
        )
        if not run.race().finished:
            check_budget(disk.n_bytes, journal.header.plan.trials)
        while not (race := run.race()).finished:
            try:
                _next(run, race)
            except OSError as error:
                if not is_disk_error(error):
                    raise
                raise _explained(error, folder) from error
        _discard(run, race)
    return _outcome(journal.header, race, folder)


def _next(run: _Run, race: Race) -> None:
    """Does the next thing that the standing of the race asks for."""
    is_last = race.rung == len(race.plan.rungs) - 1
    if race.probes is None:
        run.record(Probed({model: _known(race.trial(model).probe) for model in race.active}))
    elif race.rung == 0:
        _decide(run, race)
    elif race.waiting():
        _discard(run, race)
        _train_waiting(run, race)
    elif race.finalists() and (is_last or race.cut_off):
        _finish(run, race)
    elif race.alive() and not race.cut_off:
        _decide(run, race)
    else:
        _revive(run, race)


def _explained(error: OSError, folder: Path) -> OSError:
    """The disk's error, with what to do."""
    text = (
        f"{error.strerror}; wanted room for what the race in {folder} writes: free some there, and the same command "
        "goes on"
    )
    return OSError(error.errno, text, error.filename)


def _known(probe: float | None) -> float | None:
    """A nan probe is no probe."""
    return None if probe is None or math.isnan(probe) else probe


def _decide(run: _Run, race: Race) -> None:
    going_on = survivors(race.facts())
    dropped = tuple(model for model in race.ranking(race.alive()) if model not in going_on)
    run.record(Decided(race.rung, going_on, dropped))


def _train_waiting(run: _Run, race: Race) -> None:
    """Trains the waiting candidates to the rung's end, the most promising first.

    Raises:
        OSError: the disk takes no more; no piece starts any more, and those that ran have been recorded.
    """
    waiting = race.waiting()
    pieces = [_piece(run, race, race.trial(model)) for model in waiting]
    n_done = 0
    full: list[OSError] = []
    for piece, result in run.executor.run(pieces, lambda: bool(full) or run.is_late()):
        run.disk.release(piece.folder)
        if is_disk_error(result):
            full.append(result)
        else:
            run.record(_ended(race, piece, result))
        n_done += 1
    if full:
        raise full[0]
    if n_done < len(pieces):
        _cut_off(run)


def _piece(run: _Run, race: Race, trial: Trial) -> _Piece:
    until = race.current.until_step
    return _Piece(trial, until, trial_folder(run.folder, trial), _most_seconds(race, trial, until, run.workers))


def _most_seconds(race: Race, trial: Trial, until_step: int, workers: int) -> float:
    """About what training takes from the start: at the pace the trial has shown, or as planned by its size."""
    shown = race.progress.get(trial.candidate.model)
    if shown is not None and shown.step > 0:
        return shown.seconds / shown.step * until_step
    trials = race.plan.trials
    sizes = [one.candidate.n_parameters or 0 for one in trials]
    share = (trial.candidate.n_parameters or 0) / sum(sizes) if all(sizes) else 1 / len(trials)
    searched = max(1, len(trial.recipe.rate_factors))
    return race.plan.brute_force_seconds * workers * share * searched * until_step / trial.recipe.total_steps


def _admit(run: _Run, piece: _Piece) -> bool:
    """Makes room on disk for a piece, as far as there is any; beside others only that of trials out of the race.

    To work beside others is not worth that one who races starts anew: the piece then waits.

    Raises:
        BudgetError: with its features it does not fit the disk's budget alone.
    """
    race = run.race()
    features, kept = run.trainer.features_bytes(piece.trial), run.trainer.kept_features_bytes(piece.folder)
    if features:
        check_budget(run.disk.n_bytes, [piece.trial], features)
    state = max(state_bytes(piece.trial), folder_bytes(piece.folder) - kept)
    growth = growth_bytes(piece.trial, state) + max(0, features - kept)
    give_way = _out(run, race) if run.disk.is_shared(piece.folder) else _worst_first(run, race)
    return run.disk.admit(piece.folder, growth, give_way)


def _worst_first(run: _Run, race: Race) -> list[Path]:
    """Trials' folders in the order they give way: who is out of the race, then who races, the best last.

    Who has come to the end of the last rung gives way after all others: the winner is among them.
    """
    last = len(race.plan.rungs) - 1
    racing = race.ranking(race.alive())[::-1]
    ended = [model for model in racing if race.reached.get(model) == last]
    going_on = [model for model in racing if model not in ended]
    return [*_out(run, race), *(trial_folder(run.folder, race.trial(model)) for model in (*going_on, *ended))]


def _out(run: _Run, race: Race) -> list[Path]:
    """Folders of those who failed or were dropped, the worst first."""
    return [trial_folder(run.folder, race.trial(model)) for model in (*race.failed, *reversed(race.reserves()))]


def _cut_off(run: _Run) -> None:
    """Ends the race by the clock; one that has nothing to show yet stays open, to go on with more time."""
    race = run.race()
    if not any(race.reached.values()):
        raise TrialError(
            f"got a deadline of {run.deadline_seconds:.0f} s, which passed before any candidate came to step "
            f"{race.current.until_step}, wanted at least one that does: run the same again with more time"
        )
    run.record(CutOff(race.rung, run.deadline_seconds))


def _train(trainer: Trainer, piece: _Piece) -> Progress:
    return trainer.train(piece.trial, piece.until_step, piece.folder)


def _ended(race: Race, piece: _Piece, result: Progress | Exception) -> Event:
    """The event that a piece of training came to."""
    model = piece.trial.candidate.model
    if isinstance(result, Exception):
        return Failed(race.rung, model, _reason(result))
    if math.isnan(result.score):
        metric = piece.trial.recipe.metric
        return Failed(race.rung, model, f"the validation {metric} is not a number at step {result.step}", result)
    return Trained(race.rung, model, result)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SelectionError) else f"{type(error).__name__}: {error}"


def _revive(run: _Run, race: Race) -> None:
    """Takes back the best of those dropped; none left, or no time, is the end."""
    reserves = [] if race.cut_off else race.reserves()
    if not reserves:
        raise TrialError(_hopeless(race))
    run.record(Revived(race.rung, tuple(reserves[: race.current.n_candidates])))


def _hopeless(race: Race) -> str:
    reasons = "; ".join(f"{model}: {failed.reason}" for model, failed in race.failed.items())
    return (
        f"got {len(race.failed)} of {len(race.plan.trials)} candidates failed and none left to train, "
        f"wanted at least one that trains: {reasons}"
    )


def _finish(run: _Run, race: Race) -> None:
    """Tests the winner, or saves it once tested; one that cannot be has failed, and the next is tried.

    Raises:
        OSError: a full disk is no candidate's fault, and can be mended before going on.
        TrialError: nor is a lack of memory, alone and once again.
    """
    winner = race.tested.model if race.tested else race.finalists()[0]
    event: Event
    try:
        event = _step_to_the_end(run, race, race.trial(winner))
    except OSError:
        raise
    except Exception as error:
        if ran_out_of_memory(error):
            raise TrialError(
                f"got no memory to test or save {winner}, which has won: {_reason(error)}; wanted as much as its "
                "training took: end what else takes memory here, and the same command goes on"
            ) from error
        event = Failed(race.rung, winner, _reason(error))
    run.record(event)


def _step_to_the_end(run: _Run, race: Race, trial: Trial) -> Event:
    """`_tested_or_saved`; done again once, where it ran out of memory, when nothing is held without need."""
    try:
        return _tested_or_saved(run, race, trial)
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    run.executor.let_go()
    free_memory()
    return _tested_or_saved(run, race, trial)


def _tested_or_saved(run: _Run, race: Race, trial: Trial) -> Event:
    """The next thing that a winner is still to go through.

    One whose state gave way on disk is trained anew before: what a race holds decides nothing in it.
    """
    winner = trial.candidate.model
    own = trial_folder(run.folder, trial)
    again = _trained_again(run, race, trial, own)
    if again is not None:
        return again
    if race.tested is None:
        return Tested(winner, _test_score(run.trainer, trial, own))
    best = run.folder / "best"
    run.disk.admit(best, saved_bytes(trial), [path for path in _worst_first(run, race) if path != own])
    _save(run.trainer, trial, own, best)
    run.disk.release(best)
    return Finished(winner)


def _trained_again(run: _Run, race: Race, trial: Trial, folder: Path) -> Trained | None:
    """Where it stands again with its state, and what that took in all; None where the state had not given way."""
    model = trial.candidate.model
    shown = race.progress[model]
    _admit(run, _Piece(trial, shown.step, folder, 0.0))
    try:
        progress = run.trainer.train(trial, shown.step, folder)
    finally:
        run.disk.release(folder)
    return None if progress.seconds == shown.seconds else Trained(race.reached[model], model, progress)


def _test_score(trainer: Trainer, trial: Trial, folder: Path) -> float:
    score = trainer.test(trial, folder)
    if math.isnan(score):
        raise TrialError(f"the test {trial.recipe.metric} is not a number")
    return score


def _save(trainer: Trainer, trial: Trial, folder: Path, target: Path) -> None:
    """Saves beside the target, then renames: the target is there whole or not at all."""
    partial_target = target.with_name(f"{target.name}.partial")
    for path in (partial_target, target):
        shutil.rmtree(path, ignore_errors=True)
    trainer.save(trial, folder, partial_target)
    for path in partial_target.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    partial_target.rename(target)
    sync_folder(target.parent)


def _discard(run: _Run, race: Race) -> None:
    """Frees what cannot come back cheaply: dropped before the last decision, failed, or the race is over."""
    if run.keep == "trials":
        return
    old = [model for decision in race.decisions[:-1] for model in decision.dropped]
    free = [trial.candidate.model for trial in race.plan.trials] if race.finished else [*old, *race.failed]
    for model in set(free) - (set() if race.finished else set(race.alive())):
        own = trial_folder(run.folder, race.trial(model))
        if own.exists():
            run.trainer.discard(own)


def _outcome(header: Header, race: Race, folder: Path) -> Outcome:
    """The end of a finished race; seconds are the training pieces' own, summed, so that a resumed run counts alike."""
    best = folder / "best"
    progress = race.progress.values()
    return Outcome(
        dataset=header.dataset,
        metric=race.plan.trials[0].recipe.metric,
        standings=standings(race),
        test_score=race.tested.score if race.tested else None,
        checkpoint=best if best.is_dir() else None,
        plan=race.plan,
        seconds=sum(one.seconds for one in progress),
        cpu_seconds=sum(one.cpu_seconds for one in progress),
        n_validation=header.n_validation,
        n_test=header.n_test,
        notes=tuple(race.notes),
    )
