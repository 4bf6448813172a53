import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tiny import some_texts

from selection.datasets import Dataset, from_rows
from selection.errors import InputError, TrialError
from selection.features import FeatureCache
from selection.measure import JOURNAL, Run, measure, measure_one, measurement_from
from selection.probing import probe
from selection.proxies import PROXIES
from selection.records import Candidate, Failure, Measurement, Recipe

SHORT = Recipe(learning_rate=5e-3, batch_size=8, total_steps=4, warmup_steps=1)


def journal_lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def numbers(found: Measurement) -> tuple[Any, ...]:
    """What must not depend on workers or pauses."""
    scores = tuple((proxy.name, str(proxy.score), proxy.sample_digest) for proxy in found.proxies)
    return found.model, found.recipe, found.progress.curve_steps, found.progress.curve, found.test_score, scores


@pytest.fixture(scope="module")
def tiny_data() -> Dataset:
    rows, labels = some_texts(40, seed=3)
    return from_rows("small", "text", rows, labels)


@pytest.fixture(scope="module")
def measured(tiny_data: Dataset, bert: Path, opt: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two workers over a good checkpoint, one of a family without a mean head, a torn one and an unknown one."""
    folder = tmp_path_factory.mktemp("measured")
    torn = tmp_path_factory.mktemp("torn")
    for path in bert.iterdir():
        (torn / path.name).write_bytes(path.read_bytes()[:200] if path.suffix == ".safetensors" else path.read_bytes())
    candidates = [
        Candidate("torn", str(torn)),
        Candidate("bert", str(bert)),
        Candidate("nowhere"),
        Candidate("opt", str(opt)),
        Candidate("bert", str(bert)),
    ]
    found = list(measure([tiny_data], candidates, folder, recipe=SHORT, seeds=(0, 1), points=3, workers=2))
    return folder, candidates, found


def test_curves_have_points_where_they_are_wanted(tiny_data: Dataset, bert: Path, tmp_path: Path) -> None:
    (one,) = measure([tiny_data], [Candidate("bert", str(bert))], tmp_path, recipe=SHORT, points=2, stops=(3, 4))
    assert isinstance(one, Measurement)
    assert one.progress.curve_steps == (3, 4)


def test_each_pair_is_measured_once_and_a_failing_checkpoint_harms_no_other(measured: Any) -> None:
    folder, _, found = measured
    good = [one for one in found if isinstance(one, Measurement)]
    assert sorted((one.model, one.recipe.seed) for one in good) == [("bert", 0), ("bert", 1), ("opt", 0), ("opt", 1)]
    bad = {one.model: one.reason for one in found if isinstance(one, Failure)}
    assert set(bad) == {"torn", "nowhere"}
    assert "torn on small:" in bad["torn"]
    assert "does not load as a checkpoint" in bad["torn"]
    assert "does not know where its weights are" in bad["nowhere"]
    assert len(found) == 8
    for one in good:
        assert one.progress.curve_steps == (1, 2, 4)
        assert (one.n_train, one.n_test, one.metric) == (26, 8, "accuracy")
        assert [proxy.name for proxy in one.proxies] == (list(PROXIES) if one.recipe.seed == 0 else [])
        assert one.recipe.head == ("mean" if one.model == "bert" else "native")
    assert {line["measurement"]["model"] for line in journal_lines(folder)} == {"bert", "opt"}


def test_two_workers_give_the_numbers_of_one(measured: Any, tiny_data: Dataset, tmp_path: Path) -> None:
    _, candidates, found = measured
    of_two = {one.model: numbers(one) for one in found if isinstance(one, Measurement) and one.recipe.seed == 0}
    for candidate in (candidates[1], candidates[3]):
        alone = measure_one(Run(candidate, tiny_data, SHORT, with_proxies=True), 3, tmp_path)
        assert numbers(alone) == of_two[candidate.model]


def test_what_is_measured_is_yielded_again_without_work(measured: Any, tiny_data: Dataset) -> None:
    folder, candidates, found = measured
    good = [one for one in found if isinstance(one, Measurement) and one.recipe.seed == 0]
    again = list(measure([tiny_data], candidates, folder, recipe=SHORT, points=3, hours=0))
    assert sorted(map(numbers, again)) == sorted(map(numbers, good))  # type: ignore[arg-type]
    other = replace(SHORT, total_steps=5)
    assert list(measure([tiny_data], candidates, folder, recipe=other, hours=0)) == []


def test_a_dataset_of_the_same_name_and_other_content_is_measured_anew(measured: Any, tiny_data: Dataset) -> None:
    folder, candidates, _ = measured
    rows, labels = some_texts(40, seed=4)
    other = from_rows("small", "text", rows, labels)
    assert list(measure([other], candidates, folder, recipe=SHORT, points=3, hours=0)) == []
    assert len(list(measure([tiny_data], candidates, folder, recipe=SHORT, points=3, hours=0))) == 2


def test_proxies_see_texts_of_the_recipes_length_and_cost_the_train_rows(
    tiny_data: Dataset, bert: Path, tmp_path: Path
) -> None:
    bert_candidate, short = Candidate("bert", str(bert)), replace(SHORT, max_length=4)
    found = measure_one(Run(bert_candidate, tiny_data, short, with_proxies=True), 3, tmp_path)
    probed = probe(tiny_data, [bert_candidate], FeatureCache(tmp_path), max_length=4)
    assert [str(one.score) for one in found.proxies] == [str(one.score) for one in probed.scores["bert"]]
    assert found.feature_seconds == pytest.approx(probed.row_seconds["bert"] * found.n_train)  # cached with its cost


def test_a_torn_last_line_is_cut_off_and_a_damaged_one_refused(
    measured: Any, tiny_data: Dataset, tmp_path: Path
) -> None:
    folder, candidates, _ = measured
    whole = (folder / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole + whole[:100])
    assert list(measure([tiny_data], candidates, tmp_path, recipe=SHORT, points=3, hours=0))
    assert (tmp_path / JOURNAL).read_bytes() == whole
    for damage in (b"\0" * 50 + b"\n", b'{"key": "a"}\n', b"7\n"):
        (tmp_path / JOURNAL).write_bytes(whole + damage)
        with pytest.raises(InputError, match=r"in line 5 of .*measurements.jsonl, wanted a measurement"):
            list(measure([tiny_data], candidates, tmp_path, recipe=SHORT, hours=0))


def test_a_measurement_survives_its_journal(measured: Any) -> None:
    folder, _, found = measured
    good = [one for one in found if isinstance(one, Measurement)]
    assert [str(measurement_from(line["measurement"])) for line in journal_lines(folder)] == [str(one) for one in good]


def test_two_at_once_on_one_folder_are_refused(measured: Any, tiny_data: Dataset) -> None:
    folder, candidates, _ = measured
    first = measure([tiny_data], candidates, folder, recipe=SHORT, hours=0)
    next(first)
    with pytest.raises(InputError, match="is in use by another measurement"):
        next(measure([tiny_data], candidates, folder, recipe=SHORT, hours=0))
    first.close()  # type: ignore[attr-defined]
    assert next(measure([tiny_data], candidates, folder, recipe=SHORT, hours=0))


def test_nothing_to_measure_is_refused(tiny_data: Dataset, tmp_path: Path) -> None:
    for data, candidates, workers in (
        ([], [Candidate("a")], 1),
        ([tiny_data], [], 1),
        ([tiny_data], [Candidate("a")], 0),
    ):
        with pytest.raises(InputError, match="wanted one of each"):
            next(measure(data, candidates, tmp_path, recipe=SHORT, workers=workers))


def test_a_checkpoint_of_another_modality_fails_before_it_trains(tiny_data: Dataset, vit: Path, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="it reads image and small holds text"):
        measure_one(Run(Candidate("vit", str(vit)), tiny_data, SHORT, with_proxies=True), 3, tmp_path)
    with pytest.raises(TrialError, match="it reads image and the dataset holds text"):
        measure_one(Run(Candidate("vit", str(vit)), tiny_data, SHORT, with_proxies=False), 3, tmp_path)


def test_each_dataset_has_its_own_recipe_and_models_of_another_modality_are_left_out(
    tiny_data: Dataset, bert: Path, tmp_path: Path
) -> None:
    other = from_rows("other", "text", *some_texts(60, seed=4))
    steps = {tiny_data.name: 2, other.name: 3}
    candidates = [Candidate("bert", str(bert), "text"), Candidate("vision", "nowhere", "image")]
    found = measure(
        [tiny_data, other],
        candidates,
        tmp_path,
        recipe=lambda dataset: replace(SHORT, total_steps=steps[dataset.name]),
        points=1,
    )
    assert [(one.model, one.recipe.total_steps) for one in found if isinstance(one, Measurement)] == [
        ("bert", 2),
        ("bert", 3),
    ]


def test_a_killed_worker_takes_only_its_own_run(tiny_data: Dataset, bert: Path, tmp_path: Path) -> None:
    def kill_the_first() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    candidates = [Candidate("first", str(bert)), Candidate("second", str(bert))]
    first, second = measure([tiny_data], candidates, tmp_path, recipe=SHORT)
    killer.join()
    assert isinstance(first, Failure)
    assert "killed by signal 9" in first.reason
    assert isinstance(second, Measurement)


SCRIPT = """
import sys
from pathlib import Path
from selection.datasets import from_rows
from selection.measure import measure
from selection.records import Candidate
from test_measure import SHORT
from tiny import some_texts

if __name__ == "__main__":
    rows, labels = some_texts(40, seed=3)
    data = from_rows("small", "text", rows, labels)
    candidates = [Candidate(f"bert{i}", sys.argv[1]) for i in range(3)]
    for found in measure([data], candidates, Path(sys.argv[2]), recipe=SHORT, points=3, workers=2):
        print(found.model, found.test_score, flush=True)
"""


def still_running(mark: str) -> list[int]:
    """Processes that inherited the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            ended = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            if not ended and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


def left_behind(mark: str, seconds: float) -> list[int]:
    """Who still runs after so many seconds; nobody once five looks in a row found none.

    One look is not enough: a process that is just being started has no environment to read for a moment.
    """
    deadline, empty = time.monotonic() + seconds, 0
    while empty < 5:
        found = still_running(mark)
        if found and time.monotonic() > deadline:
            return found
        empty = 0 if found else empty + 1
        time.sleep(0.2)
    return []


def started(bert: Path, folder: Path, script: Path, mark: str) -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(map(str, (root, root / "tests", Path(__file__).parent)))
    environment = {**os.environ, "PYTHONPATH": paths, "MEASURE_MARK": mark}
    return subprocess.Popen(
        [sys.executable, str(script), str(bert), str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_measurement_killed_at_any_moment_goes_on_and_leaves_no_workers(bert: Path, tmp_path: Path) -> None:
    script, mark, folder = tmp_path / "script.py", uuid4().hex, tmp_path / "zoo"
    script.write_text(SCRIPT)
    rng, told = random.Random(5), set()
    for _ in range(2):
        with started(bert, folder, script, mark) as process:
            if process.stdout is not None and rng.random() < 0.9:
                told |= {process.stdout.readline().strip()} - {""}  # killed as soon as one is acknowledged
            process.send_signal(signal.SIGKILL)
        assert left_behind(mark, seconds=60) == []
    with started(bert, folder, script, mark) as process:
        lines = process.communicate(timeout=300)[0].splitlines()
    assert process.returncode == 0
    assert told <= set(lines)
    assert sorted(line.split()[0] for line in lines) == ["bert0", "bert1", "bert2"]
    assert len({line.split()[1] for line in lines}) == 1  # the same weights under three names
    assert len(journal_lines(folder)) == 3
