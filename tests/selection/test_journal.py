import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from selection import race
from selection.errors import InputError
from selection.journal import Header, open_journal, recorded_plan
from selection.race import CutOff, Decided, Event, Failed, Finished, Probed, Revived, Trained
from selection.records import Candidate, Progress, Recipe
from selection.schedule import plan

PLAN = plan(
    [Candidate("org/a", source="/models/a", n_parameters=7), Candidate("org/b")],
    Recipe(total_steps=20, warmup_steps=2),
    seconds_per_step={"org/a": 1.0, "org/b": 2.0},
)
HEADER = Header("beans", "d1", PLAN, n_validation=100, n_test=200)
EVENTS: list[Event] = [
    Probed({"org/a": 0.5, "org/b": None}),
    Trained(1, "org/a", Progress(10, (5, 10), (0.25, 0.5), 1.5, 1.25)),
    Failed(1, "org/b", "no «weights»", Progress(10, (5, 10), (0.25, math.nan), 1.0, 1.0)),
    Failed(1, "org/c", "gated"),
    Decided(1, ("org/a",), ("org/b",)),
    Revived(2, ("org/b",)),
    CutOff(2, 60.0),
    race.Tested("org/a", 0.75),
    Finished("org/a"),
]


def filled(folder: Path) -> Path:
    journal = open_journal(folder, HEADER)
    for event in EVENTS:
        journal.append(event)
    return journal.path


def test_every_kind_of_event_comes_back_as_it_went_in(tmp_path: Path) -> None:
    filled(tmp_path)
    journal = open_journal(tmp_path, HEADER)
    assert repr(journal.events) == repr(tuple(EVENTS))  # repr: nan differs from itself
    assert journal.header == HEADER


def test_the_file_is_plain_json_a_line(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    for line in filled(tmp_path).read_text(encoding="utf-8").splitlines():
        assert isinstance(json.loads(line, parse_constant=refuse), dict)


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_torn_last_line_is_dropped_and_the_journal_goes_on(tmp_path: Path, cut: int) -> None:
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    journal = open_journal(tmp_path, HEADER)
    assert repr(journal.events) == repr(tuple(EVENTS[:-1]))
    journal.append(Finished("org/a"))
    assert repr(open_journal(tmp_path, HEADER).events) == repr(tuple(EVENTS))


def test_a_journal_torn_in_its_first_line_begins_again(tmp_path: Path) -> None:
    path = open_journal(tmp_path, HEADER).path
    path.write_bytes(path.read_bytes()[:50])
    assert recorded_plan(tmp_path) is None
    assert open_journal(tmp_path, HEADER).events == ()
    assert recorded_plan(tmp_path) == PLAN


def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path: Path) -> None:
    path = filled(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b"\x00\x00\n", b"[]\n", b'{"event": "danced"}\n', b'{"event": "tested", "model": "a"}\n'):
        path.write_bytes(b"".join([*lines[:2], damage, *lines[3:]]))
        with pytest.raises(InputError, match="line 3 of"):
            open_journal(tmp_path, HEADER)


@pytest.mark.parametrize(
    "other",
    [
        replace(HEADER, dataset="cats"),
        replace(HEADER, dataset_digest="d2"),
        replace(HEADER, plan=replace(PLAN, rungs=PLAN.rungs[:2])),
        replace(HEADER, plan=replace(PLAN, trials=PLAN.trials[:1])),
    ],
)
def test_a_journal_of_other_inputs_is_refused_with_advice(tmp_path: Path, other: Header) -> None:
    filled(tmp_path)
    with pytest.raises(InputError, match=r"records one on beans .*choose another folder"):
        open_journal(tmp_path, other)


def test_other_estimated_seconds_are_still_the_same_race(tmp_path: Path) -> None:
    filled(tmp_path)
    rungs = tuple(replace(rung, expected_seconds=9.0) for rung in PLAN.rungs)
    other = replace(PLAN, rungs=rungs, expected_seconds=9.0, worst_seconds=9.0, notes=("quicker today",))
    journal = open_journal(tmp_path, replace(HEADER, plan=other))
    assert journal.header.plan == PLAN


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 3', '"format": 99', 1), encoding="utf-8")
    with pytest.raises(InputError, match="format 99"):
        recorded_plan(tmp_path)
