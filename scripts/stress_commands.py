"""The commands that are killed: how each is run, what it acknowledges, what its zoo keeps, and what it leaves."""

import hashlib
import json
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, get_args

from stress_processes import Attempt, Queries, Site, Victim, plain, wait_until
from stress_races import whole_lines

from selection.records import Policy
from zoo_graph.store import locks

ROOT = Path(__file__).resolve().parents[1]
ATTEMPT_SECONDS = 900
RACE = ("--epochs", "1", "--batch-size", "16", "--learning-rate", "1e-3", "--max-length", "16")
Workers = int | str

End = dict[str, Counter[str]]
Cut = Callable[[Path, int, int], Path]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the commands work on: a table to import, more of it, texts with labels, checkpoints.

    `heavy` ones race: most of their bytes are of embeddings that cost no time, so that their states fill a disk.
    `tight_bytes` is the least disk budget for them.
    """

    folder: Path
    table: Path
    first: Path
    later: Path
    datasets: tuple[Path, ...]
    models: tuple[Path, ...]
    heavy: tuple[Path, ...]
    tight_bytes: int


def edges(kind: str) -> dict[str, str]:
    return {kind: f"MATCH (a)-[r:{kind}]->(b) RETURN collect([a.id, b.id, properties(r)]) AS x"}


def nodes(label: str) -> dict[str, str]:
    return {label: f"MATCH (n:{label}) RETURN collect(properties(n)) AS x"}


RUNS = {"Run": "MATCH (n:Run) RETURN collect([n.id, n.kind, n.status]) AS x"}


class Import:
    """`zoo import` of one table, with its progress bar read off a terminal."""

    name = "import"
    victims: tuple[Victim, ...] = ("command", "command and engine", "engine")
    bar = True
    races = False
    seen: ClassVar[Queries] = {"result": "MATCH ()-[r:MEASURED]->() RETURN collect(r.id) AS x"}
    left: ClassVar[Queries] = {
        "MEASURED": "MATCH (a)-[r:MEASURED]->(b) RETURN collect([a.id, b.id, r.id, r.score, r.config, r.runs]) AS x",
        **nodes("Model"),
        **nodes("Dataset"),
        **RUNS,
    }

    def __init__(self, site: Site, inputs: Inputs) -> None:
        from zoo_graph.importers import column_map, open_file
        from zoo_graph.records import Result

        self.site, self.inputs = site, inputs
        records = [record for record in open_file(inputs.table, column_map()).records() if isinstance(record, Result)]
        self.ids = [f"result {record.id}" for record in records]

    def begin(self) -> None:
        """Starts from nothing: also the making of the store is killed."""

    def words(self, workers: Workers) -> list[str]:
        return ["import", str(self.inputs.table)]

    def lines(self, told: str) -> list[str]:
        """The numbers of records that the bar said are in."""
        return re.findall(r"(\d+)/\d+", told)

    def said(self, lines: list[str]) -> set[str]:
        return set(self.ids[: max(map(int, lines), default=0)])

    def written(self) -> list[str]:
        return []

    def end(self) -> End:
        return {}


class Refresh(Import):
    """`zoo refresh` of a zoo that was refreshed before and got more results since: edges come, change and go."""

    name = "refresh"
    bar = False
    kinds = ("SCORED", "SIMILAR_TO", "PERFORMS_LIKE", "IN", "REPRESENTED_BY")
    seen: ClassVar[Queries] = {
        kind: f"MATCH (a)-[r:{kind}]->(b) RETURN collect(a.id + '|' + b.id) AS x" for kind in kinds
    }
    left: ClassVar[Queries] = (
        {name: text for kind in kinds for name, text in edges(kind).items()} | nodes("Community") | RUNS
    )

    def __init__(self, site: Site, inputs: Inputs) -> None:
        self.site, self.inputs = site, inputs
        self.base = site.folder / "base.db"
        site.clear()
        for words in (["import", str(inputs.first)], ["refresh"], ["import", str(inputs.later)]):
            with Attempt(site, words) as attempt:
                if not attempt.ends(ATTEMPT_SECONDS) or attempt.process.returncode:
                    raise RuntimeError(f"zoo {words[0]} failed undisturbed: {attempt.stderr()}")
        site.stop_engines()
        shutil.rmtree(self.base, ignore_errors=True)
        site.zoo.rename(self.base)

    def begin(self) -> None:
        shutil.copytree(self.base, self.site.zoo)

    def words(self, workers: Workers) -> list[str]:
        return ["refresh"]

    def lines(self, told: str) -> list[str]:
        return []

    def said(self, lines: list[str]) -> set[str]:
        return set()


class Measure(Import):
    """`zoo measure` of some models on some datasets; a line printed stands for one in the journal and the graph."""

    name = "measure"
    victims: tuple[Victim, ...] = ("command", "command and engine", "worker")
    bar = False
    seen: ClassVar[Queries] = {
        "result": "MATCH ()-[r:MEASURED]->() RETURN collect(r.id) AS x",
        "measured": "MATCH (m:Model)-[r:MEASURED]->(d:Dataset) "
        "RETURN collect(m.id + ' on ' + d.id + ' (seed ' + toString(r.seed) + ')') AS x",
        "proxy": "MATCH ()-[r:PROXY]->() RETURN collect(r.id) AS x",
    }
    left: ClassVar[Queries] = edges("MEASURED") | edges("PROXY") | nodes("Model") | nodes("Dataset") | RUNS

    def __init__(self, site: Site, inputs: Inputs) -> None:
        self.site, self.inputs = site, inputs

    def words(self, workers: Workers) -> list[str]:
        models = ",".join(map(str, self.inputs.models))
        short = ["--epochs", "0.5", "--max-length", "16", "--workers", str(workers)]
        return ["measure", *map(str, self.inputs.datasets), "--models", models, *short]

    def lines(self, told: str) -> list[str]:
        return re.findall(r"^.* on .* \(seed \d+\): validation .*$", told, re.MULTILINE)

    def said(self, lines: list[str]) -> set[str]:
        names = [line.partition(": validation")[0] for line in lines]
        return {f"measured {name}" for name in names} | {f"journal of {name}" for name in names}

    def written(self) -> list[str]:
        """The journal's whole lines, and whose they are: so neither may one go nor change (be measured again)."""
        lines = whole_lines(self.site.zoo / "measurements" / "measurements.jsonl")
        found = [json.loads(line)["measurement"] for line in lines]
        owners = [f"{one['model']} on {one['dataset']} (seed {one['recipe']['seed']})" for one in found]
        return [*lines, *(f"journal of {owner}" for owner in owners)]

    def end(self) -> End:
        lines = [line for line in self.written() if line.startswith("{")]
        return {"journal": Counter(plain(json.loads(line)) for line in lines)}


class Select(Measure):
    """`zoo select` by a policy, in a zoo that holds finished runs of the candidates on other datasets.

    With `tight_disk` it has the least budget there may be. A worker's death is no victim here: it means that its
    candidate failed.
    """

    victims: tuple[Victim, ...] = ("command", "command and engine", "engine")
    races = True
    seen: ClassVar[Queries] = {"result": "MATCH ()-[r:MEASURED]->() RETURN collect(r.id) AS x"}
    left: ClassVar[Queries] = edges("MEASURED") | nodes("Model") | nodes("Dataset") | RUNS

    def __init__(self, site: Site, inputs: Inputs, policy: Policy = "racing") -> None:
        super().__init__(site, inputs)
        self.policy = policy
        self.name = f"select {policy}"
        self.tight_disk = False
        self.base = inputs.folder / "past.db"
        if not self.base.exists():
            make_past(self.base, [f"local/{model.name}" for model in inputs.heavy])

    @property
    def notes(self) -> Path:
        return self.site.folder / "notes.txt"

    def begin(self) -> None:
        self.notes.unlink(missing_ok=True)
        shutil.copytree(self.base, self.site.zoo)

    def words(self, workers: Workers) -> list[str]:
        models = ",".join(map(str, self.inputs.heavy))
        where = ["--candidates", models, "--folder", str(self.site.race), "--workers", str(workers)]
        disk = ["--disk", str(self.inputs.tight_bytes)] if self.tight_disk else []
        return ["select", str(self.inputs.datasets[2]), "--policy", self.policy, *where, *RACE, *disk]

    def lines(self, told: str) -> list[str]:
        return re.findall(r"^(?:rung \d+(?: of \d+)?|winner .*): .*$", told, re.MULTILINE)

    def said(self, lines: list[str]) -> set[str]:
        return {f"event {number}" for number in range(len(lines))}

    def written(self) -> list[str]:
        lines = whole_lines(self.site.race / "journal.jsonl")
        return [*lines, *(f"event {number}" for number in range(len(lines) - 1))]

    def end(self) -> End:
        """The race's events as a set (two workers end in any order), and the winner's checkpoint, which opens."""
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        best = self.site.race / "best"
        model = AutoModelForTokenClassification.from_pretrained(best)
        inputs = AutoTokenizer.from_pretrained(best)("a good film", return_tensors="pt")
        shape = tuple(model(input_ids=inputs["input_ids"]).logits.shape)
        weights = hashlib.sha256((best / "model.safetensors").read_bytes()).hexdigest()
        events = [json.loads(line) for line in whole_lines(self.site.race / "journal.jsonl")]
        told = Counter(map(plain, [{"digest": events[0]["digest"]}, *events[1:]]))
        if self.tight_disk:  # a winner whose state gave way is trained again, and the journal says so again
            told = Counter({one: 1 if '"event": "trained"' in one else n for one, n in told.items()})
        return {"journal": told, "best": Counter([weights, f"logits {shape}"])}


COMMANDS: dict[str, Callable[[Site, Inputs], Import]] = {
    **{kind.name: kind for kind in (Import, Refresh, Measure)},
    **{f"select {policy}": partial(Select, policy=policy) for policy in get_args(Policy)},
}


def make_past(folder: Path, models: Sequence[str]) -> None:
    """A zoo that holds runs of these models on three datasets with curves: the later in the list, the slower at first
    and the better in the end."""
    from selection.records import Measurement, Progress, Recipe
    from zoo_graph.ingest import record_measurements
    from zoo_graph.records import Run
    from zoo_graph.store import Engine, open_store

    found = []
    for number, dataset in enumerate(("past-a", "past-b", "past-c")):
        for place, model in enumerate(models):
            final = 0.6 + 0.04 * place + 0.02 * number * (-1) ** place
            curve = tuple(final - (0.05 + 0.02 * place) * (1 - share) for share in (0.25, 0.5, 0.75, 1.0))
            progress = Progress(40, (10, 20, 30, 40), curve, 1.0, 1.0)
            found.append(Measurement(model, dataset, "accuracy", Recipe(total_steps=40), progress, final, 100, 50))
    with open_store(folder, create=True, engine=Engine(grace_seconds=0.1)) as store:
        record_measurements(store, found, Run("past", "measure", "2026-01-01T00:00:00+00:00"))
    wait_until(lambda: not locks.is_held(folder / "store" / "server.lock"), 60)


def make_inputs(
    folder: Path, *, data: Path | None = None, rows: int = 12_000, refreshed: int = 2_000, candidates: int = 6
) -> Inputs:
    """Tiny checkpoints and texts, and tables of so many results: cut from `data/mteb`, or made up."""
    sys.path.append(str(ROOT / "tests"))
    from tiny import sentiment_csv, tiny_bert

    folder.mkdir(parents=True, exist_ok=True)
    sizes = [("first", 2, 32), ("second", 1, 32), ("third", 1, 16)]
    models = [tiny_bert(folder / name, seed=i, layers=n, hidden=d) for i, (name, n, d) in enumerate(sizes)]
    datasets = (
        sentiment_csv(folder / "films.csv"),
        sentiment_csv(folder / "plots.csv", 90),
        _mixed_csv(folder / "mixed.csv"),
    )
    heavy = [_heavy_bert(folder / f"racer-{place}", place) for place in range(candidates)]
    real = data / "mteb" / "mteb_long.parquet" if data is not None else None
    cut = _cut_real(real) if real is not None and real.exists() else _made_up
    parts = (("table", 0, rows), ("early", 0, refreshed), ("later", refreshed, 2 * refreshed))
    tables = [cut(folder / name, start, stop) for name, start, stop in parts]
    tight = max(_tight_bytes(n_parameters) for _, n_parameters in heavy)
    return Inputs(folder, *tables, datasets, tuple(models), tuple(path for path, _ in heavy), tight)


def _heavy_bert(folder: Path, place: int) -> tuple[Path, int]:
    """A BERT of some 1.3 M parameters, nearly all in embeddings of token types that no text has; and how many."""
    from tiny import bert_config, bert_tokenizer, made, save
    from transformers import BertModel

    hidden, layers = ((32, 2), (32, 1), (16, 2), (16, 1), (48, 1), (8, 1))[place % 6]
    config = bert_config(num_hidden_layers=layers, hidden_size=hidden, type_vocab_size=1_300_000 // hidden)
    model: Any = made(lambda: BertModel(config, add_pooling_layer=False), place)
    return save(folder, model, bert_tokenizer()), sum(one.numel() for one in model.parameters())


def _tight_bytes(n_parameters: int) -> int:
    """The least disk budget for a race among models of this size."""
    from selection.disk import growth_bytes, saved_bytes, state_bytes
    from selection.records import Candidate, Recipe, Trial

    # heads and buffers take less than a fiftieth
    trial = Trial(Candidate("one", n_parameters=n_parameters + n_parameters // 50), Recipe(), (1,))
    return state_bytes(trial) + max(growth_bytes(trial, state_bytes(trial)), saved_bytes(trial))


def _mixed_csv(path: Path, n: int = 400) -> Path:
    """Texts labelled by whether good or bad words are more, one in eight wrongly: this tells models apart."""
    chance = random.Random(0)
    lines = ["text,label"]
    for _ in range(n):
        words = [chance.choice(("good", "fine", "bad", "awful", "the", "film", "plot", "not")) for _ in range(9)]
        is_good = sum(word in {"good", "fine"} for word in words) > sum(word in {"bad", "awful"} for word in words)
        lines.append(f"{' '.join(words)},{'pos' if is_good != (chance.random() < 0.125) else 'neg'}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _cut_real(source: Path) -> Cut:
    import pyarrow.parquet as parquet

    whole = parquet.read_table(source)

    def cut(path: Path, start: int, stop: int) -> Path:
        parquet.write_table(whole.slice(start, stop - start), path.with_suffix(".parquet"))
        return path.with_suffix(".parquet")

    return cut


def _made_up(path: Path, start: int, stop: int) -> Path:
    """Results of 40 models a dataset, two families of them."""
    chance = random.Random(start)
    lines = ["model,dataset,accuracy"]
    for row in range(start, stop):
        column, model = divmod(row, 40)
        score = 0.5 + 0.3 * ((column + model) % 2) + chance.gauss(0, 0.02)
        lines.append(f"acme/m{model:02},d{column:04},{score:.4f}")
    path.with_suffix(".csv").write_text("\n".join(lines) + "\n")
    return path.with_suffix(".csv")
