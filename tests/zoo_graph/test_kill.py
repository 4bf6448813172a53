"""`zoo import`, `refresh`, `measure` and `select` after kill -9: nothing acknowledged is lost, the command goes on.

The kills are those of scripts/stress_kill.py, fewer and on tiny inputs; that script kills each command 20 times.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zoo_graph import lease

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# When each command is killed: parts of its undisturbed seconds, the later ones mostly in the attempts that go on.
MOMENTS = {"import": (0.85, 0.5), "refresh": (0.75, 0.3), "measure": (0.85, 0.4), "select": (0.85, 0.3)}

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
def inputs(kill: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tables of a few batches, three checkpoints of two layers at most."""
    return kill.make_inputs(tmp_path_factory.mktemp("inputs"), rows=9_000, refreshed=800)


@pytest.mark.parametrize("command", MOMENTS)
def test_a_killed_command_loses_nothing_and_goes_on(
    kill: ModuleType, inputs: Any, tmp_path: Path, command: str
) -> None:
    found = kill.stress(command, tmp_path / command, inputs, moments=MOMENTS[command], workers=(1,))
    assert found.kills.total() == 2
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
