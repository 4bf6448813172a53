"""Decisions on how many run at once, each by head."""

import pytest

from selection.executors.memory import Room, Usage
from selection.executors.packing import (
    DEVICE_CONTEXT_BYTES,
    MARGIN,
    RECOVERY,
    SETTLED_SECONDS,
    Ended,
    Packing,
    Running,
    packing_of,
)

GB = 1 << 30
WIDE = Room(100 * GB, 100 * GB)


def ended(
    level: float = 1, seconds: float = 10, expected: float | None = 10, peak: int = 2 * GB, oom: bool = False
) -> Ended:
    return Ended(level, seconds, Usage(peak, peak), expected, oom)


def running(n: int, resident: int = 2 * GB, seconds: float = 1.0) -> list[Running]:
    return [Running(seconds, Usage(resident, resident))] * n


def most(packing: Packing, room: Room, resident: int = 2 * GB) -> int:
    """How many run at once in the end, where each that starts takes its memory from the room."""
    n = 0
    while packing.may_start(running(n, resident), Room(room.total_bytes, room.available_bytes - n * resident)):
        n += 1
    return n


def test_the_first_runs_alone_until_its_memory_is_known() -> None:
    packing = Packing(4)
    assert packing.may_start([], WIDE)
    assert not packing.may_start(running(1), WIDE)
    packing.learn(ended())
    assert packing.may_start(running(1), WIDE)


def test_a_long_first_piece_is_known_by_what_it_held_so_far_and_a_margin() -> None:
    packing = Packing(4)
    long = running(1, seconds=SETTLED_SECONDS)
    assert packing.may_start(long, WIDE)
    growth = round((MARGIN - 1) * 2 * GB)  # of the running one; the next needs its peak and the same margin
    needed = growth + 2 * GB + growth
    assert packing.may_start(long, Room(0, needed))
    assert not packing.may_start(long, Room(0, needed - 1))


def test_as_many_run_as_cores_or_as_fit_the_memory_less_a_reserve() -> None:
    packing = Packing(8)
    packing.learn(ended(peak=2 * GB))
    assert most(packing, WIDE) == 8
    assert most(packing, Room(10 * GB, 10 * GB)) == 4  # 9 of 10 GB, 2 each
    assert most(packing, Room(1 * GB, 1 * GB)) == 1  # what runs alone runs


def test_what_running_ones_will_still_take_is_set_aside() -> None:
    packing = Packing(8)
    packing.learn(ended(peak=4 * GB))
    assert packing.may_start(running(2, resident=1 * GB), Room(0, 10 * GB))
    assert not packing.may_start(running(2, resident=1 * GB), Room(0, 10 * GB - 1))
    assert packing.may_start(running(2, resident=1 * GB), Room(0, 10 * GB - 1), held_bytes=1)


def test_where_the_system_does_not_tell_memory_cores_alone_decide() -> None:
    packing = Packing(3)
    packing.learn(ended())
    assert packing.may_start(running(2), None)
    assert not packing.may_start(running(3), None)


def on_card(n: int, peak: int, total: int, seconds: float = 1.0, device: str | None = None) -> list[Running]:
    """n pieces on a card, and what they leave free of it."""
    free = total - n * (peak + DEVICE_CONTEXT_BYTES)
    return [Running(seconds, Usage(GB, GB, peak, free, total), device)] * n


def most_on_card(packing: Packing, peak: int, total: int) -> int:
    n = 0
    while packing.may_start(on_card(n, peak, total), WIDE):
        n += 1
    return n


def test_a_card_takes_as_many_as_fit_by_measured_peak_with_their_contexts() -> None:
    packing = Packing(16)
    packing.learn(Ended(1, 10, Usage(GB, GB, 4 * GB, 0, 0), 10))
    assert most_on_card(packing, 4 * GB, 140 * GB) == 16
    each = 4 * GB + DEVICE_CONTEXT_BYTES
    total = round(3 * each / 0.95) + 1
    assert most_on_card(packing, 4 * GB, total) == 3
    assert most_on_card(packing, 4 * GB, total - 2) == 2


def test_what_has_just_begun_on_a_card_and_told_nothing_yet_counts_in_full() -> None:
    packing = Packing(16)
    packing.learn(Ended(1, 10, Usage(GB, GB, 4 * GB, 0, 0), 10))
    each = 4 * GB + DEVICE_CONTEXT_BYTES
    told = Running(5, Usage(GB, GB, 4 * GB, 2 * each, round(2 * each / 0.9)))
    assert packing.may_start([told], WIDE)
    assert not packing.may_start([told, Running(0, Usage())], WIDE)


def test_pieces_of_one_card_do_not_count_on_another() -> None:
    packing = Packing(16)
    packing.learn(Ended(1, 10, Usage(GB, GB, 4 * GB, 0, 0), 10))
    full = on_card(2, 4 * GB, 10 * GB, device="0")
    assert not packing.may_start(full, WIDE, "0")
    assert packing.may_start(full, WIDE, "1")


def test_after_one_ran_out_of_memory_one_fewer_runs_and_later_as_many_again() -> None:
    packing = Packing(4)
    packing.learn(ended(level=4, oom=True))
    assert most(packing, WIDE) == 3
    for _ in range(RECOVERY - 1):
        packing.learn(ended(level=3))
    assert most(packing, WIDE) == 3
    packing.learn(ended(level=3))
    assert most(packing, WIDE) == 4


def test_the_last_one_is_never_taken_away() -> None:
    packing = Packing(2)
    for _ in range(3):
        packing.learn(ended(level=1, oom=True))
    assert packing.limit == 1


def test_more_at_once_is_given_up_where_it_gets_less_done() -> None:
    packing = Packing(2)
    packing.learn(ended(level=1, seconds=10))
    packing.learn(ended(level=2, seconds=25))
    assert packing.limit == 2  # one of two may be a bad guess
    packing.learn(ended(level=2, seconds=25))
    assert packing.limit == 1


def test_more_at_once_stays_where_it_gets_more_done_however_unlike_the_pieces() -> None:
    packing = Packing(2)
    packing.learn(ended(level=1, seconds=10, expected=10))
    for expected in (1, 100, 40):
        packing.learn(ended(level=1.8, seconds=1.3 * expected, expected=expected))
    assert packing.limit == 2


def test_pieces_of_no_known_length_or_done_before_say_nothing_of_throughput() -> None:
    packing = Packing(2)
    packing.learn(ended(level=1, seconds=10, expected=None))
    packing.learn(ended(level=1, seconds=0.01, expected=10))
    for _ in range(3):
        packing.learn(ended(level=2, seconds=100))
    assert packing.limit == 2


def test_a_number_asked_for_is_kept_to_whatever_is_measured() -> None:
    packing = packing_of(3)
    packing.learn(ended(level=1, seconds=1))
    for _ in range(3):
        packing.learn(ended(level=3, seconds=100))
    assert most(packing, Room(GB, 0)) == 3


@pytest.mark.parametrize(("threads", "wanted"), [(1, 6), (2, 3), (4, 1), (16, 1)])
def test_auto_is_at_most_cores_by_threads(threads: int, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selection.executors.packing.n_cores", lambda: 6)
    assert packing_of("auto", threads).ceiling == wanted
