import errno
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selection import race
from selection.errors import InputError, TrialError
from selection.folders import trial_folder
from selection.journal import NAME, recorded_plan
from selection.race import CutOff, Event, Failed, Revived, Trained
from selection.records import Candidate, Outcome, Plan, Progress, Recipe, Trial
from selection.runner import select
from selection.schedule import plan
from selection.simulated import Recorded, SimulatedTrainer


def rising(final: float, *, early: float | None = None, fails_at: int | None = None) -> Recorded:
    start = final - 0.2 if early is None else early
    return Recorded((5, 25, 100), (start, start, final), test=final - 0.01, fails_at=fails_at)


def planned(
    runs: Mapping[str, Recorded], probes: Mapping[str, float | None] | None = None, probe_survivors: int | None = None
) -> Plan:
    recipe = Recipe(total_steps=100, warmup_steps=5)
    candidates = [Candidate(name) for name in runs]
    return plan(
        candidates,
        recipe,
        seconds_per_step=lambda one: 1.0,
        probes=probes,
        probe_survivors=probe_survivors,
        policy="successive_halving",
    )


EIGHT = {f"org/m{index}": rising(0.5 + index / 20) for index in range(8)}
PROBES = {name: index / 10 for index, name in enumerate(EIGHT)}


def pieces(folder: Path) -> dict[str, str]:
    return {path.parent.name.rsplit("-", 1)[0]: path.read_text() for path in folder.glob("trials/*/pieces.log")}


def test_the_best_at_the_end_wins_and_everyone_has_a_place_and_a_reason(tmp_path: Path) -> None:
    outcome = select("beans", planned(EIGHT, PROBES), SimulatedTrainer(EIGHT), tmp_path)
    assert [one.candidate.model for one in outcome.standings] == [f"org/m{index}" for index in range(7, -1, -1)]
    assert [one.place for one in outcome.standings] == list(range(1, 9))
    assert [one.dropped for one in outcome.standings] == [None, *["dropped"] * 7]
    assert [one.progress.step for one in outcome.standings] == [100, 50, 25, 25, 0, 0, 0, 0]
    assert outcome.standings[1].reason == "place 2 of 2 at step 50; 1 went on"
    assert outcome.standings[7].reason == "place 8 of 8 at the probe; 4 went on"
    assert outcome.test_score == pytest.approx(0.84)
    assert outcome.seconds == 100 + 50 + 25 + 25
    assert outcome.checkpoint == tmp_path / "best"
    assert json.loads((tmp_path / "best" / "config.json").read_text()) == {"model": "org/m7"}


def test_the_probe_is_not_asked_again_once_candidates_have_trained(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.6)}
    outcome = select("beans", planned(runs, {"a": 0.1, "b": 0.9}), SimulatedTrainer(runs), tmp_path)
    assert outcome.best.candidate.model == "a"


def test_equal_candidates_are_decided_by_probe_then_name(tmp_path: Path) -> None:
    runs = {name: rising(0.7) for name in ("c", "b", "a")}
    by_name = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path / "1")
    by_probe = select("beans", planned(runs, {"c": 1.0, "b": 0.0}), SimulatedTrainer(runs), tmp_path / "2")
    assert by_name.best.candidate.model == "a"
    assert by_probe.best.candidate.model == "c"


def test_a_finished_folder_answers_the_same_from_its_journal(tmp_path: Path) -> None:
    first = select("beans", planned(EIGHT, PROBES), SimulatedTrainer(EIGHT), tmp_path, n_test=200)
    before = (tmp_path / NAME).read_bytes()
    events: list[Event] = []
    again = select("beans", planned(EIGHT), SimulatedTrainer({}), tmp_path, track=events.append)
    assert again == first
    assert again.n_test == 200
    assert events == []
    assert (tmp_path / NAME).read_bytes() == before


def test_a_finished_folder_without_its_checkpoint_says_there_is_none(tmp_path: Path) -> None:
    select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), tmp_path)
    (tmp_path / "best" / "config.json").unlink()
    (tmp_path / "best").rmdir()
    assert select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), tmp_path).checkpoint is None


def test_nothing_but_the_winner_is_left_on_disk_unless_asked(tmp_path: Path) -> None:
    select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), tmp_path / "1")
    select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), tmp_path / "2", keep="trials")
    assert list((tmp_path / "1").glob("trials/*/weights")) == []
    assert len(list((tmp_path / "2").glob("trials/*/weights"))) == 4
    assert len(list((tmp_path / "1").glob("trials/*/progress.json"))) == 4
    assert not (tmp_path / "1" / "best.partial").exists()


def test_a_candidate_that_fails_is_ranked_last_with_its_reason(tmp_path: Path) -> None:
    runs = {"a": rising(0.9, fails_at=30), "b": rising(0.8), "c": rising(0.7)}
    outcome = select("beans", planned(runs, {"a": 1.0}), SimulatedTrainer(runs), tmp_path)
    assert outcome.best.candidate.model == "b"
    last = outcome.standings[-1]
    assert (last.candidate.model, last.dropped, last.place) == ("a", "failed", 3)
    assert last.reason == "recorded to fail at step 30"


def test_a_score_that_is_not_a_number_is_a_failure(tmp_path: Path) -> None:
    runs = {"a": rising(math.nan), "b": rising(0.5)}
    outcome = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path)
    assert outcome.best.candidate.model == "b"
    assert outcome.standings[1].reason == "the validation accuracy is not a number at step 50"
    assert outcome.standings[1].progress.step == 50


def test_when_the_only_finalist_fails_the_runner_up_comes_back(tmp_path: Path) -> None:
    runs = {"a": rising(0.9, fails_at=100), "b": rising(0.8), "c": rising(0.7), "d": rising(0.6)}
    events: list[Event] = []
    outcome = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path, track=events.append)
    assert Revived(3, ("b",)) in events
    assert [one.candidate.model for one in outcome.standings] == ["b", "c", "d", "a"]
    assert outcome.best.progress.step == 100
    assert outcome.best.dropped is None
    assert "back in the race: b" in outcome.notes[0]


def test_a_runner_up_that_comes_back_goes_on_from_where_it_was(tmp_path: Path) -> None:
    runs = {"a": rising(0.9, fails_at=100), "b": rising(0.8), "c": rising(0.7), "d": rising(0.6)}
    select("beans", planned(runs), SimulatedTrainer(runs), tmp_path)
    assert pieces(tmp_path)["b"] == "0 25\n25 50\n50 100\n"


def test_when_a_whole_rung_fails_as_many_come_back_as_it_had(tmp_path: Path) -> None:
    runs = {name: replace(run, fails_at=1 if name > "org/m3" else None) for name, run in EIGHT.items()}
    events: list[Event] = []
    outcome = select("beans", planned(runs, PROBES), SimulatedTrainer(runs), tmp_path, track=events.append)
    assert Revived(1, ("org/m3", "org/m2", "org/m1", "org/m0")) in events
    assert outcome.best.candidate.model == "org/m3"


def test_the_weights_of_a_candidate_that_failed_are_freed_before_the_next_rung(tmp_path: Path) -> None:
    runs = {"a": rising(0.9, fails_at=30), "b": rising(0.8), "c": rising(0.7), "d": rising(0.6)}
    left: list[set[str]] = []

    def look(event: Event) -> None:
        if isinstance(event, Trained) and event.rung == 3:
            left.append({path.read_text() for path in tmp_path.glob("trials/*/weights")})

    select("beans", planned(runs), SimulatedTrainer(runs), tmp_path, track=look)
    assert left == [{"b"}]


def test_a_probe_that_is_not_a_number_is_no_probe(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    events: list[Event] = []
    raced = planned(runs, {"a": math.nan, "b": 0.5})
    outcome = select("beans", raced, SimulatedTrainer(runs), tmp_path, track=events.append)
    assert events[0] == race.Probed({"a": None, "b": 0.5})
    assert [one.probe for one in outcome.standings] == [None, 0.5]


def test_all_failing_is_an_error_with_every_reason(tmp_path: Path) -> None:
    runs = {name: rising(0.9, fails_at=step) for name, step in (("a", 1), ("b", 30), ("c", 100))}
    with pytest.raises(TrialError, match=r"got 3 of 3 .*a: recorded to fail at step 1.*fail at step 30.*step 100"):
        select("beans", planned(runs), SimulatedTrainer(runs), tmp_path)


@dataclass(frozen=True)
class Faulty(SimulatedTrainer):
    """Breaks where a trainer with a defect would: with errors nobody planned."""

    untestable: str = ""
    unsavable: str = ""
    crashes: str = ""

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        if trial.candidate.model == self.crashes:
            raise ZeroDivisionError("0 rows")
        if trial.candidate.model == "dies" and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return SimulatedTrainer.train(self, trial, until_step, folder)

    def test(self, trial: Trial, folder: Path) -> float:
        if trial.candidate.model == self.untestable:
            raise RuntimeError("no such operator")
        return SimulatedTrainer.test(self, trial, folder)

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        SimulatedTrainer.save(self, trial, folder, target)
        if trial.candidate.model == self.unsavable:
            raise TrialError("no such layer")


def test_an_error_nobody_planned_fails_its_candidate_alone(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    outcome = select("beans", planned(runs), Faulty(runs, crashes="a"), tmp_path)
    assert outcome.best.candidate.model == "b"
    assert outcome.standings[1].reason == "ZeroDivisionError: 0 rows"


@pytest.mark.parametrize(
    ("trainer", "reason"),
    [
        (Faulty({}, untestable="a"), "RuntimeError: no such operator"),
        (Faulty({}, unsavable="a"), "no such layer"),
    ],
)
def test_a_winner_that_cannot_be_tested_or_saved_hands_over(tmp_path: Path, trainer: Faulty, reason: str) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    outcome = select("beans", planned(runs), replace(trainer, runs=runs), tmp_path)
    assert outcome.best.candidate.model == "b"
    assert outcome.test_score == pytest.approx(0.79)
    assert outcome.standings[1].reason == reason
    assert json.loads((tmp_path / "best" / "config.json").read_text()) == {"model": "b"}


@dataclass(frozen=True)
class Greedy(SimulatedTrainer):
    """Tests and saves need memory that workers hold as long as they live, or that (`lacking`) is nowhere."""

    pids: Path = Path()
    lacking: bool = False

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        self.pids.mkdir(exist_ok=True)
        if multiprocessing.parent_process() is not None:
            (self.pids / str(os.getpid())).touch()
        return SimulatedTrainer.train(self, trial, until_step, folder)

    def test(self, trial: Trial, folder: Path) -> float:
        self.take()
        return SimulatedTrainer.test(self, trial, folder)

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        self.take()
        SimulatedTrainer.save(self, trial, folder, target)

    def take(self) -> None:
        alive = [path for path in self.pids.iterdir() if Path("/proc", path.name).exists()]
        if alive or self.lacking:
            raise TrialError("CUDA out of memory")  # what FineTuner makes of torch's error


def test_a_winner_that_lacks_the_memory_idle_workers_hold_is_tested_once_they_have_gone(tmp_path: Path) -> None:
    trainer = Greedy(EIGHT, pids=tmp_path / "pids")
    outcome = select("beans", planned(EIGHT, PROBES), trainer, tmp_path / "race", workers=2)
    assert list(trainer.pids.iterdir())
    assert (outcome.best.candidate.model, outcome.standings[1].dropped) == ("org/m7", "dropped")


def test_a_winner_that_lacks_memory_alone_ends_the_call_and_wins_once_there_is_enough(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    trainer = Greedy(runs, pids=tmp_path / "pids", lacking=True)
    with pytest.raises(TrialError, match=r"got no memory to test or save a, which has won: CUDA out of memory; wanted"):
        select("beans", planned(runs), trainer, tmp_path / "race")
    outcome = select("beans", planned(runs), replace(trainer, lacking=False), tmp_path / "race")
    assert (outcome.best.candidate.model, outcome.standings[1].dropped) == ("a", "dropped")


def test_a_test_score_that_is_not_a_number_hands_over(tmp_path: Path) -> None:
    runs = {"a": replace(rising(0.9), test=math.nan), "b": rising(0.8)}
    outcome = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path)
    assert outcome.best.candidate.model == "b"
    assert outcome.standings[1].reason == "the test accuracy is not a number"


@dataclass(frozen=True)
class Full(SimulatedTrainer):
    """Saves onto a full disk."""

    def save(self, trial: Trial, folder: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_fails_no_candidate_and_the_race_goes_on_once_there_is_room(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    with pytest.raises(OSError, match="No space left"):
        select("beans", planned(runs), Full(runs), tmp_path)
    assert select("beans", planned(runs), SimulatedTrainer(runs), tmp_path).best.candidate.model == "a"


@dataclass(frozen=True)
class Cramped(SimulatedTrainer):
    """Finds no room for some models' states while `full` is there; the others take their time."""

    full: Path = Path()
    models: tuple[str, ...] = ()
    number: int = errno.ENOSPC

    def train(self, trial: Trial, until_step: int, folder: Path) -> Progress:
        if trial.candidate.model in self.models and self.full.exists():
            raise OSError(self.number, os.strerror(self.number), str(folder / "state.part"))
        return SimulatedTrainer.train(self, trial, until_step, folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_full_in_training_fails_no_candidate_and_the_race_goes_on_once_there_is_room(
    tmp_path: Path, workers: int
) -> None:
    full = tmp_path / "full"
    full.touch()
    events: list[Event] = []
    trainer = Cramped(EIGHT, pause_seconds=0.02, full=full, models=("org/m6",))
    race = partial(select, "beans", planned(EIGHT, PROBES), trainer, tmp_path / "race", workers=workers)
    with pytest.raises(OSError, match=r"No space left on device; wanted room .*free some .*state\.part") as raised:
        race(track=events.append)
    assert raised.value.errno == errno.ENOSPC
    assert not any(isinstance(event, Failed) for event in events)
    assert "org/m7" in {event.model for event in events if isinstance(event, Trained)}  # it had begun
    full.unlink()
    outcome = race()
    assert (outcome.best.candidate.model, outcome.standings[1].candidate.model) == ("org/m7", "org/m6")
    assert pieces(tmp_path / "race")["org_m7"] == "0 25\n25 50\n50 100\n"


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_no_more_is_nobodys_fault_and_a_missing_file_is_ones_own(tmp_path: Path, number: int) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    trainer = Cramped(runs, full=tmp_path, models=("a",), number=number)
    with pytest.raises(OSError, match="the same command goes on"):
        select("beans", planned(runs), trainer, tmp_path / "race")
    outcome = select("beans", planned(runs), replace(trainer, number=errno.ENOENT), tmp_path / "race")
    assert (outcome.best.candidate.model, outcome.standings[1].dropped) == ("b", "failed")


def test_past_the_clock_nobody_new_is_tried_for_a_winner_that_cannot_be_tested(tmp_path: Path) -> None:
    trainer = Faulty(EIGHT, pause_seconds=0.02, untestable="org/m7")  # half a second for the first piece
    events: list[Event] = []
    with pytest.raises(TrialError, match=r"got 1 of 8 candidates failed and none left to train.*no such operator"):
        select("beans", planned(EIGHT, PROBES), trainer, tmp_path, deadline_seconds=0.4, track=events.append)
    assert set(pieces(tmp_path)) == {"org_m7"}
    assert isinstance(events[-1], Failed)


def test_the_clock_ends_the_race_with_the_best_so_far_and_says_so(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8), "c": rising(0.7), "d": rising(0.6)}
    trainer = SimulatedTrainer(runs, pause_seconds=0.002)  # 50 ms a piece in the first rung
    events: list[Event] = []
    outcome = select("beans", planned(runs), trainer, tmp_path, deadline_seconds=0.25, track=events.append)
    assert any(isinstance(event, CutOff) for event in events)
    assert "the clock ended the race" in outcome.notes[0]
    assert outcome.best.candidate.model == "a"
    assert outcome.best.progress.step < 100
    assert outcome.checkpoint is not None
    assert select("beans", planned(runs), SimulatedTrainer({}), tmp_path) == outcome


def test_a_deadline_too_short_for_anything_leaves_the_race_open(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.8)}
    with pytest.raises(TrialError, match="run the same again with more time"):
        select("beans", planned(runs), SimulatedTrainer(runs), tmp_path, deadline_seconds=0)
    assert select("beans", planned(runs), SimulatedTrainer(runs), tmp_path).best.candidate.model == "a"


def test_a_folder_of_another_selection_is_refused(tmp_path: Path) -> None:
    select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), tmp_path, dataset_digest="d1")
    with pytest.raises(InputError, match="choose another folder"):
        select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), tmp_path, dataset_digest="d2")


@pytest.mark.parametrize("inside", ["", "race"])
def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path, inside: str) -> None:
    (tmp_path / "films.csv").write_text("text,label\n")
    runs = {"a": [0.5], "b": [0.6]}
    with pytest.raises(InputError, match=r"films\.csv is a file; wanted"):
        select("beans", planned(runs), SimulatedTrainer(runs), tmp_path / "films.csv" / inside)


def test_trials_of_alike_names_keep_apart(tmp_path: Path) -> None:
    names = ("org/a_b", "org_a/b", "org/a b", "../../etc", "..")
    trials = [Trial(Candidate(name), Recipe(), (100,)) for name in names]
    folders = {trial_folder(tmp_path, trial) for trial in trials}
    assert len(folders) == len(names)
    assert {folder.parent for folder in folders} == {tmp_path / "trials"}


def test_two_workers_decide_like_one(tmp_path: Path) -> None:
    runs = {name: EIGHT[name] for name in list(EIGHT)[:3]}
    one = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path / "1")
    two = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path / "2", workers=2)
    assert replace(two, checkpoint=None) == replace(one, checkpoint=None)


def test_a_worker_that_is_killed_fails_its_candidate_alone(tmp_path: Path) -> None:
    runs = {"a": rising(0.8), "dies": rising(0.9), "b": rising(0.7)}
    outcome = select("beans", planned(runs), Faulty(runs), tmp_path, workers=2)
    assert [one.candidate.model for one in outcome.standings] == ["a", "b", "dies"]
    assert "killed by signal 9" in (outcome.standings[2].reason or "")


class PowerOutError(Exception):
    """Stands for the power going out."""


def test_stopped_after_any_event_it_goes_on_to_the_same_outcome(tmp_path: Path) -> None:
    runs = {"a": rising(0.9, fails_at=100), "b": rising(0.8), "c": rising(0.7), "d": rising(math.nan), "e": rising(0.6)}
    told: list[Event] = []
    whole = select("beans", planned(runs), SimulatedTrainer(runs), tmp_path / "whole", track=told.append)
    for n in range(len(told)):
        left = iter(range(n))

        def stop(event: Event, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise PowerOutError

        folder = tmp_path / str(n)
        with pytest.raises(PowerOutError):
            select("beans", planned(runs), SimulatedTrainer(runs), folder, track=stop)
        resumed = select("beans", planned(runs), SimulatedTrainer(runs), folder)
        assert repr(replace(resumed, checkpoint=None)) == repr(replace(whole, checkpoint=None))  # repr: nan
        assert pieces(folder) == pieces(tmp_path / "whole")


@settings(max_examples=40, deadline=None)
@given(
    ends=st.lists(
        st.tuples(st.sampled_from([0.3, 0.5, 0.7, math.nan]), st.sampled_from([None, 1, 30, 100])), min_size=1
    ),
    probes=st.lists(st.sampled_from([None, 0.1, 0.2]), min_size=50, max_size=50),
)
def test_whatever_fails_everyone_has_one_place_and_failures_come_last(
    ends: list[tuple[float, int | None]], probes: list[float | None]
) -> None:
    runs = {f"m{index:02}": rising(final, fails_at=fails_at) for index, (final, fails_at) in enumerate(ends)}
    scores = dict(zip(runs, probes, strict=False))
    with tempfile.TemporaryDirectory() as name:
        try:
            outcome = select("beans", planned(runs, scores), SimulatedTrainer(runs), Path(name))
        except TrialError:
            assert all(fails_at is not None or math.isnan(final) for final, fails_at in ends)
            return
    assert sorted(one.candidate.model for one in outcome.standings) == sorted(runs)
    failed = [one.dropped == "failed" for one in outcome.standings]
    assert failed == sorted(failed)
    assert not failed[0]
    assert outcome.best.progress.step == 100


RACER = """
import sys
from pathlib import Path
from tests_runner import EIGHT, PROBES, planned
from selection.runner import select
from selection.simulated import SimulatedTrainer

if __name__ == "__main__":
    trainer = SimulatedTrainer(EIGHT, pause_seconds=0.004)
    select("beans", planned(EIGHT, PROBES), trainer, Path(sys.argv[1]), workers=int(sys.argv[2]))
"""


def racer(tmp_path: Path, folder: Path, workers: int = 1) -> "subprocess.Popen[bytes]":
    (tmp_path / "tests_runner.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    script = tmp_path / "racer.py"
    script.write_text(RACER, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(workers)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    )


def finished(tmp_path: Path, folder: Path, workers: int = 1) -> Outcome:
    process = racer(tmp_path, folder, workers)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    return select("beans", planned(EIGHT), SimulatedTrainer({}), folder)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)


def test_killed_at_random_moments_it_goes_on_to_the_same_decisions_and_winner(tmp_path: Path) -> None:
    draw = random.Random(7)
    whole = finished(tmp_path, tmp_path / "whole")
    folder = tmp_path / "killed"
    n_killed = 0
    for _ in range(5):
        process = racer(tmp_path, folder)
        wait_for(folder / NAME)
        time.sleep(draw.uniform(0.3, 0.9))
        process.kill()
        _, errors = process.communicate(timeout=60)
        n_killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    resumed = finished(tmp_path, folder)
    assert n_killed >= 2
    assert replace(resumed, checkpoint=None) == replace(whole, checkpoint=None)
    assert decisions(folder) == decisions(tmp_path / "whole")
    done_twice = sum(len(log.splitlines()) for log in pieces(folder).values()) - 7
    assert done_twice <= n_killed  # at most the piece each kill fell into
    assert recorded_plan(folder) == planned(EIGHT, PROBES)


def test_killed_with_two_workers_it_leaves_no_worker_behind_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    process = racer(tmp_path, folder, workers=2)
    wait_for(folder / "trials")
    process.kill()
    process.communicate(timeout=60)
    resumed = finished(tmp_path, folder, workers=2)
    assert resumed.best.candidate.model == "org/m7"
    assert resumed.test_score == pytest.approx(0.84)


def decisions(folder: Path) -> list[object]:
    rows = [json.loads(line) for line in (folder / NAME).read_text(encoding="utf-8").splitlines()[1:]]
    return [row for row in rows if row["event"] in {"probed", "decided", "tested", "finished"}]


def test_a_second_process_is_told_that_the_folder_is_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    process = racer(tmp_path, folder)
    wait_for(folder / NAME)
    with pytest.raises(InputError, match=rf"in use by process {process.pid}, .*wait for that one"):
        select("beans", planned(EIGHT), SimulatedTrainer(EIGHT), folder)
    process.kill()
    process.communicate(timeout=60)


def test_every_event_is_told_in_order(tmp_path: Path) -> None:
    runs = {"a": rising(0.9), "b": rising(0.5, fails_at=1)}
    events: list[Event] = []
    select("beans", planned(runs), SimulatedTrainer(runs), tmp_path, track=events.append)
    assert [type(event).__name__ for event in events] == [
        *("Probed", "Decided", "Trained", "Failed", "Decided", "Trained", "Tested", "Finished")
    ]
    assert isinstance(events[2], Trained)
    assert isinstance(events[3], Failed)
    assert isinstance(events[6], race.Tested)
