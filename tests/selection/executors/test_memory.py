import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from selection.executors import memory

MB = 1 << 20


def test_a_peak_is_told_until_it_is_forgotten() -> None:
    memory.forget_peak()
    before = memory.usage()
    block = bytearray(64 * MB)
    block[:: memory._KIB] = b"x" * len(block[:: memory._KIB])
    held = memory.usage().resident_bytes
    del block
    after = memory.usage()
    assert held >= before.resident_bytes + 50 * MB
    assert after.peak_bytes > held - MB > after.resident_bytes  # the kernel counts with some delay
    memory.forget_peak()
    assert memory.usage().peak_bytes < held - MB
    assert after.device_total_bytes == 0


def test_the_room_and_the_cores_are_this_machines() -> None:
    room = memory.room()
    assert room is not None
    assert 0 < room.available_bytes <= room.total_bytes
    assert 1 <= memory.n_cores() <= (os.cpu_count() or 1)


def container(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def test_a_containers_limits_count_where_they_are_tighter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    container(
        tmp_path,
        memory_max=str(100 * MB),
        memory_current=str(60 * MB),
        memory_stat=f"anon 1\ninactive_file {10 * MB}\n",
        cpu_max="100000 100000\n",
    )
    assert memory.room() == memory.Room(100 * MB, 50 * MB)
    assert memory.n_cores() == 1
    container(tmp_path, memory_max="max\n", cpu_max="max 100000\n")
    room = memory.room()
    assert room is not None
    assert room.total_bytes > 100 * MB


def test_where_the_system_tells_nothing_there_is_no_room_to_speak_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "Path", lambda path: tmp_path / str(path).lstrip("/"))
    assert memory.room() is None


def test_gpus_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, wanted in (("1, 3", ("1", "3")), ("", ()), ("-1", ()), ("GPU-1f", ("GPU-1f",))):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
        assert memory.gpus() == wanted


class Card:
    """What torch tells of a GPU, by hand."""

    kept = 700

    @staticmethod
    def is_initialized() -> bool:
        return True

    def mem_get_info(self) -> tuple[int, int]:
        return 1000 - self.kept, 1000

    def max_memory_reserved(self) -> int:
        return self.kept

    def empty_cache(self) -> None:
        self.kept = 0

    def reset_peak_memory_stats(self) -> None:
        pass


def test_a_gpu_that_torch_works_on_is_told_of_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=Card()))
    told = memory.usage()
    assert (told.device_peak_bytes, told.device_free_bytes, told.device_total_bytes) == (700, 300, 1000)
    memory.forget_peak()
    assert memory.usage().device_free_bytes == 1000
