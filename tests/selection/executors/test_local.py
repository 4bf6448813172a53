import os
import signal
import time
from pathlib import Path

import pytest

from selection.errors import InputError, TrialError
from selection.executors.local import LocalExecutor, most_workers


def halved(item: int) -> float:
    """4 crashes on purpose, 5 dies, the others answer."""
    if item == 4:
        raise TrialError("four is unlucky")
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 6:
        raise KeyError(item)
    return item / 2


def whose(item: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def outcomes(workers: int, items: list[int]) -> dict[int, str]:
    with LocalExecutor(halved, workers) as executor:
        return {item: str(result) for item, result in executor.run(items)}


@pytest.mark.parametrize("workers", [1, 2])
def test_one_failure_leaves_the_others_alone(workers: int) -> None:
    said = outcomes(workers, [1, 4, 2, 6, 3])
    assert said == {1: "0.5", 2: "1.0", 3: "1.5", 4: "four is unlucky", 6: said[6]}
    assert "6" in said[6]


def test_a_worker_that_dies_fails_its_item_and_is_replaced() -> None:
    said = outcomes(2, [5, 1, 2, 3])
    assert said == {1: "0.5", 2: "1.0", 3: "1.5", 5: said[5]}
    assert "killed by signal 9" in said[5]


def test_one_worker_works_here_and_in_order() -> None:
    with LocalExecutor(whose, 1) as executor:
        assert list(executor.run([3, 1, 2])) == [(3, os.getpid()), (1, os.getpid()), (2, os.getpid())]


def test_workers_outlive_a_batch_and_end_with_the_executor() -> None:
    with LocalExecutor(whose, 2) as executor:
        first = {result for _, result in executor.run([1, 2, 3, 4])}
        second = {result for _, result in executor.run([5, 6, 7, 8])}
    assert len(first) == 2
    assert second == first
    for pid in first:
        assert isinstance(pid, int)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def interrupted(item: int) -> int:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return item


def test_a_ctrl_c_is_for_the_process_that_started_the_workers() -> None:
    """The terminal sends it to all of them; a worker in the middle of an import would print a traceback."""
    # A background job of a shell starts with the signal ignored, and hands that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with LocalExecutor(interrupted, 1, spawn=True) as executor:
            assert list(executor.run([1, 2])) == [(1, 1), (2, 2)]
        with pytest.raises(KeyboardInterrupt):
            interrupted(3)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_lacks_memory_in_this_process_is_done_again_once() -> None:
    begun: list[int] = []

    def lacking(item: int) -> int:
        begun.append(item)
        if begun.count(item) < item:
            raise TrialError("no luck") from RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
        return item

    with LocalExecutor(lacking, 1) as executor:
        said = {item: str(result) for item, result in executor.run([1, 2, 3])}
    assert said == {1: "1", 2: "2", 3: "no luck"}
    assert begun == [1, 2, 2, 3, 3]


@pytest.mark.parametrize("workers", [0, most_workers() + 1, 100_000])
def test_more_workers_than_the_machine_can_carry_are_refused(workers: int) -> None:
    with pytest.raises(InputError, match=f"got {workers} workers; wanted 1 to {most_workers()}"):
        LocalExecutor(halved, workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_starts_once_told_to_stop_and_what_runs_is_brought_home(workers: int) -> None:
    begun = iter([False, False])
    with LocalExecutor(halved, workers) as executor:
        assert sorted(item for item, _ in executor.run([1, 2, 3], lambda: next(begun, True))) == [1, 2]


def at_once_or_after(sign: Path | None) -> int:
    """0 at once, or 1 a tenth of a second after the sign was given."""
    if sign is None:
        return 0
    while not sign.exists():
        time.sleep(0.01)
    time.sleep(0.1)
    return 1


def test_a_worker_whose_caller_has_gone_ends_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sign = tmp_path / "seen"
    with LocalExecutor(at_once_or_after, 2) as executor:
        assert next(iter(executor.run([None, sign])))[1] == 0
        sign.touch()
    assert "Traceback" not in capfd.readouterr().err
