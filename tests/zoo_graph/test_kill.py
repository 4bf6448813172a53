"""`zoo import`, `refresh`, `measure` and `select` after kill -9: nothing acknowledged is lost, the command goes on.

The kills are those of scripts/stress_kill.py, fewer and on tiny inputs; that script kills each command 20 times.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zoo_graph import lease

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# When each command is killed: parts of its undisturbed seconds, the later ones mostly in the attempts that go on.
# The race is on the least disk there may be, in a zoo with a past; it is struck while a state is half-written and
# right after a decision.
MOMENTS = {
    "import": (0.97, 0.9, 0.5),  # late enough that something was acknowledged, whatever the machine's load
    "refresh": (0.75, 0.3),
    "measure": (0.85, 0.4),
    "select racing": ("writing a state", "between rungs"),
}

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")


@pytest.fixture(scope="module")
def scripts() -> Iterator[None]:
    """The folder of scripts, importable for this file's tests."""
    sys.path.insert(0, str(SCRIPTS))
    yield
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def kill(scripts: None) -> ModuleType:
    import stress_kill

    return stress_kill


@pytest.fixture(scope="module")
def races(scripts: None) -> ModuleType:
    import stress_races

    return stress_races


@pytest.fixture(scope="module")
def inputs(kill: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tables of a few batches, checkpoints of two layers at most: three to measure, four to race."""
    return kill.make_inputs(tmp_path_factory.mktemp("inputs"), rows=9_000, refreshed=800, candidates=4)


@pytest.mark.parametrize("command", MOMENTS)
def test_a_killed_command_loses_nothing_and_goes_on(
    kill: ModuleType, inputs: Any, tmp_path: Path, command: str
) -> None:
    found = kill.stress(command, tmp_path / command, inputs, moments=list(MOMENTS[command]), workers=(1,))
    assert found.kills.total() == len(MOMENTS[command])
    assert found.acknowledged > 0
    assert found.lost == []
    assert found.mismatches == []


def test_what_was_acknowledged_and_is_gone_counts_as_lost(kill: ModuleType, inputs: Any, tmp_path: Path) -> None:
    site = kill.Site(tmp_path)
    work = kill.Stress(site, kill.COMMANDS["import"](site, inputs), None, kill.Stressed("import"))
    work._check({"result 0123"})
    assert work.found.lost == ["result 0123"]


def test_a_result_measured_twice_counts_as_lost(kill: ModuleType, inputs: Any, tmp_path: Path) -> None:
    site = kill.Site(tmp_path)
    measure = kill.COMMANDS["measure"](site, inputs)
    measured = {"model": "m", "dataset": "d", "recipe": {"seed": 0}, "progress": {"seconds": 1.0}}
    journal = site.zoo / "measurements" / "measurements.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text(json.dumps({"measurement": measured}) + "\ntorn")
    promised = set(measure.written()) | measure.said(["m on d (seed 0): validation 0.5, test 0.5"])
    journal.write_text(json.dumps({"measurement": measured | {"progress": {"seconds": 2.0}}}) + "\n")
    assert len(promised - set(measure.written())) == 2  # the line, and the graph's word for it


def test_a_piece_trained_twice_is_seen_unless_a_kill_fell_into_it(
    kill: ModuleType, races: ModuleType, inputs: Any, tmp_path: Path
) -> None:
    site = kill.Site(tmp_path)
    work = kill.Stress(site, kill.COMMANDS["select racing"](site, inputs), None, kill.Stressed("select racing"))
    first, second = races.Piece("a", 0, 10), races.Piece("a", 10, 20)
    work.race = [first, second]
    work.killed_in[second] += 1
    work._compare_pieces([first, second, second], tight_disk=False)
    assert (work.found.mismatches, work.found.begun_again) == ([], 1)
    work._compare_pieces([first, first, second], tight_disk=True)
    assert (work.found.mismatches, work.found.gave_way) == ([], 1)
    work._compare_pieces([first, second, races.Piece("a", 0, 20)], tight_disk=False)
    assert work.found.mismatches == ["trained 1 times too often: Piece(model='a', step=0, until_step=20)"]


def test_the_moment_of_a_race_is_read_off_its_files(races: ModuleType, tmp_path: Path) -> None:
    race, notes, told = tmp_path / "race", tmp_path / "notes.txt", ["going on"]
    trial = race / "trials" / "a"
    trial.mkdir(parents=True)
    seen = races.RaceSeen(race, notes, lambda: told[0])

    def after(*events: dict[str, Any], begun: str = "") -> Any:
        notes.write_text(begun)
        (race / "journal.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ({"format": 2}, *events)))
        return seen.moment()

    trained = {"event": "trained", "rung": 1, "model": "a", "progress": {"step": 10}}
    decided = {"event": "decided", "rung": 1}
    assert seen.moment() == "starting"
    told[0] = "probing 1/2: a"
    assert seen.moment() == seen.happening("planning") == "planning"
    assert after({"event": "decided", "rung": 0}) == "between rungs"
    assert after({"event": "decided", "rung": 0}, begun="a\t0\t10\n") == "training"
    assert seen.happening("training") is not None
    assert after(trained, begun="a\t0\t10\n") == "between pieces"
    assert seen.happening("between rungs") is None
    assert after(trained, decided, begun="a\t0\t10\n") == "between rungs"
    assert seen.happening("between rungs") == "line 3"
    (trial / "state.part").touch()
    assert after(trained, decided, begun="a\t0\t10\na\t10\t20\n") == "writing a state"
    assert races.checkpoints(race) == ["trials/a/state.part"]
    resumed = races.RaceSeen(race, notes, lambda: "going on")
    assert resumed.moment() == "starting"
    assert resumed.happening("writing a state") is None
    (trial / "state.part").unlink()
    (race / "best.partial").mkdir()
    assert after({"event": "tested"}) == "saving"
    assert after({"event": "finished"}) == "recording"


def test_what_a_folder_holds_is_seen_while_it_does(races: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "file"
    with races.Held(tmp_path) as held:
        file.write_bytes(b"x" * 1_000_000)
        time.sleep(10 * races.SAMPLE_SECONDS)
        file.unlink()
    assert 1_000_000 <= held.most_bytes < 1_100_000


def test_the_progress_bar_acknowledges_the_first_records(kill: ModuleType, inputs: Any, tmp_path: Path) -> None:
    command = kill.COMMANDS["import"](kill.Site(tmp_path), inputs)
    said = command.said(command.lines("importing x \x1b[0m 0/9000 \r importing x \x1b[35m4000/9000\x1b[0m 0:00:01"))
    assert said == set(command.ids[:4000])


def test_a_process_left_over_is_seen(kill: ModuleType, tmp_path: Path) -> None:
    site = kill.Site(tmp_path)
    name, _, value = site.mark.partition("=")
    with subprocess.Popen(["sleep", "60"], env={"PATH": "/usr/bin:/bin", name: value}) as left:
        assert kill.wait_until(lambda: site.strays() == [left.pid], 10)
        left.kill()
    assert site.strays() == []


def test_a_killed_refresh_that_nobody_collected_holds_no_lease() -> None:
    with subprocess.Popen(["sleep", "60"]) as holder:
        held = {"host": socket.gethostname(), "pid": holder.pid, "started": lease._process_started(holder.pid)}
        assert not lease._is_dead(held)
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
        assert lease._is_dead(held)


def test_moments_are_spread_over_the_whole(kill: ModuleType) -> None:
    moments = kill.spread(20)
    assert sorted(int(moment * 20) for moment in moments) == list(range(20))
    assert moments != sorted(moments)
