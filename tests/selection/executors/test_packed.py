"""Several pieces at once in spawned workers: lack of memory, stuck ones, growth, several GPUs."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from selection.errors import TrialError
from selection.executors import packing
from selection.executors.local import LocalExecutor
from selection.executors.memory import Usage

CARD = 10


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def taken(card: Path) -> int:
    total = 0
    for path in card.glob("*.held"):
        with contextlib.suppress(FileNotFoundError):
            total += int(path.read_text() or 0)
    return total


def gauge(card: Path) -> Usage:
    """A GPU of `CARD` bytes, kept in a folder: what each process holds of it is a file."""
    mine = card / f"{os.getpid()}.held"
    held = int(mine.read_text() or 0) if mine.exists() else 0
    return Usage(1, 1, held, CARD - taken(card), CARD)


def train(card: Path, item: tuple[str, int]) -> str:
    """Takes `item[1]` bytes of the card, once three have begun; there is no more than `CARD`."""
    mine = card / f"{os.getpid()}.held"
    mine.write_text(str(item[1]))
    with (card / "log").open("a") as log:
        log.write(f"{item[0]}\n")
    try:
        wait_for(lambda: len((card / "log").read_text().split()) >= 3)
        if taken(card) > CARD:
            raise TrialError("no luck") from RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
    finally:
        mine.unlink()
    return item[0]


def test_what_wants_more_than_the_card_has_beside_others_is_done_again_alone_and_the_rest_goes_on(
    tmp_path: Path,
) -> None:
    items = [("a", 6), ("b", 6), ("too big", CARD + 1), ("c", 1), ("d", 1)]
    with LocalExecutor(partial(train, tmp_path), 3, gauge=partial(gauge, tmp_path)) as executor:
        said = {item[0]: str(result) for item, result in executor.run(items)}
        assert executor.packing.limit < 3
    assert said == {"a": "a", "b": "b", "too big": "no luck", "c": "c", "d": "d"}
    begun = (tmp_path / "log").read_text().split("\n")
    assert begun.count("too big") == 2
    assert max(map(begun.count, begun)) == 2


def killed_beside_others(folder: Path, item: int) -> int:
    """As the kernel does it: while 1 runs, 3 is killed."""
    (folder / str(item)).touch()
    wait_for(lambda: (folder / "3").exists())
    if item == 3 and not (folder / "killed").exists():
        wait_for(lambda: (folder / "1").exists())
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    wait_for(lambda: (folder / "killed").exists())
    return item


def test_a_worker_killed_for_memory_beside_others_costs_no_piece(tmp_path: Path) -> None:
    with LocalExecutor(partial(killed_beside_others, tmp_path), 2) as executor:
        found = [result for _, result in executor.run([1, 3, 2])]
    assert sorted(map(str, found)) == ["1", "2", "3"]
    assert found[-1] == 3


def nap(item: float) -> int:
    """Sleeps deeply: asked to end, it goes on."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(item)
    return os.getpid()


def test_a_stuck_piece_is_cut_off_and_no_other_is_harmed() -> None:
    items = [60.0, 0.1, 0.2]
    with LocalExecutor(nap, 2, expected_seconds=lambda item: 0.01, stuck_seconds=1.5) as executor:
        found = dict(executor.run(items))
        again = dict(executor.run([0.3]))
    assert str(found[60.0]) == "cut off by the clock: stuck for 2 s, where about 0 s were expected"
    assert isinstance(found[60.0], TrialError)
    assert all(isinstance(found[item], int) for item in (0.1, 0.2))
    assert isinstance(again[0.3], int)


def test_a_piece_is_given_many_times_what_it_was_expected_to_take() -> None:
    with LocalExecutor(nap, 1, spawn=True, expected_seconds=lambda item: 0.2, stuck_seconds=0.1) as executor:
        assert [type(result) for _, result in executor.run([1.0])] == [int]


_held: list[int] = []


def hold(item: int) -> int:
    _held.append(item)
    return os.getpid()


def held() -> Usage:
    return Usage(resident_bytes=sum(_held), peak_bytes=sum(_held))


def test_a_worker_that_has_grown_is_replaced() -> None:
    with LocalExecutor(hold, 1, spawn=True, growth_bytes=10, gauge=held) as executor:
        pids = [result for _, result in executor.run([5, 4, 6, 1, 20, 1])]
    assert pids == [pids[0]] * 4 + [pids[4]] * 2
    assert pids[0] != pids[4]


def own_card(item: int) -> str:
    time.sleep(0.3)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_each_worker_sees_one_gpu_and_all_are_used() -> None:
    with LocalExecutor(own_card, 2, devices=["5", "GPU-7"]) as executor:
        assert {result for _, result in executor.run([1, 2, 3, 4])} == {"5", "GPU-7"}


def crowd(folder: Path, wanted: int, item: int) -> int:
    """How many are at work at once, waiting for as many as wanted; the first is content with itself."""
    mine = folder / str(item)
    mine.touch()
    seen = [1]
    wait_for(lambda: item == 0 or seen.append(len(list(folder.iterdir()))) or max(seen) >= wanted)
    time.sleep(0.2)
    seen.append(len(list(folder.iterdir())))
    mine.unlink()
    return max(seen)


def test_what_is_not_admitted_waits_until_others_have_ended(tmp_path: Path) -> None:
    inside: set[int] = set()

    def admit(item: int) -> bool:
        if len(inside) < 2:
            inside.add(item)
        return item in inside

    def ended(executor: LocalExecutor[int, int]) -> Iterator[int | Exception]:
        for item, result in executor.run([1, 2, 3, 4]):
            inside.discard(item)
            yield result

    with LocalExecutor(partial(crowd, tmp_path, 2), 4, admit=admit) as executor:
        found = list(ended(executor))
    assert found == [2, 2, 2, 2]


def test_alone_a_piece_runs_even_where_it_is_not_admitted() -> None:
    for spawn in (False, True):
        with LocalExecutor(hold, 1, spawn=spawn, admit=lambda item: False) as executor:
            assert len(list(executor.run([1, 2]))) == 2


def test_auto_begins_with_one_alone_and_goes_on_with_as_many_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "n_cores", lambda: 3)
    with LocalExecutor(partial(crowd, tmp_path, 3), "auto") as executor:
        found = [result for _, result in executor.run([0, 1, 2, 3])]
    assert found == [1, 3, 3, 3]
