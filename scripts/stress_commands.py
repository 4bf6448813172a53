"""The commands that are killed: how each is run, what it acknowledges, what its zoo keeps, and what it leaves."""

import hashlib
import json
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stress_processes import Attempt, Queries, Site, Victim, plain

ROOT = Path(__file__).resolve().parents[1]
ATTEMPT_SECONDS = 900
RACE = ("--epochs", "1", "--batch-size", "16", "--learning-rate", "1e-3", "--max-length", "16")

End = dict[str, Counter[str]]
Cut = Callable[[Path, int, int], Path]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the commands work on: a table to import, more of it, texts with labels, checkpoints."""

    table: Path
    first: Path
    later: Path
    datasets: tuple[Path, ...]
    models: tuple[Path, ...]


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

    def words(self, workers: int) -> list[str]:
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

    def words(self, workers: int) -> list[str]:
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

    def words(self, workers: int) -> list[str]:
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
    """`zoo select` among some models. A worker's death is no victim here: it means that its candidate failed."""

    name = "select"
    victims: tuple[Victim, ...] = ("command", "command and engine", "engine")
    seen: ClassVar[Queries] = {"result": "MATCH ()-[r:MEASURED]->() RETURN collect(r.id) AS x"}
    left: ClassVar[Queries] = edges("MEASURED") | nodes("Model") | nodes("Dataset") | RUNS

    def words(self, workers: int) -> list[str]:
        models = ",".join(map(str, self.inputs.models))
        where = ["--candidates", models, "--folder", str(self.site.race), "--workers", str(workers)]
        return ["select", str(self.inputs.datasets[0]), *where, *RACE]

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
        told = [{"digest": events[0]["digest"]}, *events[1:]]
        return {"journal": Counter(map(plain, told)), "best": Counter([weights, f"logits {shape}"])}


COMMANDS: dict[str, type[Import]] = {kind.name: kind for kind in (Import, Refresh, Measure, Select)}


def whole_lines(path: Path) -> list[str]:
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    return content[: content.rfind("\n") + 1].splitlines()


def make_inputs(folder: Path, *, data: Path | None = None, rows: int = 12_000, refreshed: int = 2_000) -> Inputs:
    """Tiny checkpoints and texts, and tables of so many results: cut from `data/mteb`, or made up."""
    sys.path.append(str(ROOT / "tests"))
    from tiny import sentiment_csv, tiny_bert

    folder.mkdir(parents=True, exist_ok=True)
    sizes = [("first", 2, 32), ("second", 1, 32), ("third", 1, 16)]
    models = [tiny_bert(folder / name, seed=i, layers=n, hidden=d) for i, (name, n, d) in enumerate(sizes)]
    datasets = (sentiment_csv(folder / "films.csv"), sentiment_csv(folder / "plots.csv", 90))
    real = data / "mteb" / "mteb_long.parquet" if data is not None else None
    cut = _cut_real(real) if real is not None and real.exists() else _made_up
    parts = (("table", 0, rows), ("early", 0, refreshed), ("later", refreshed, 2 * refreshed))
    tables = [cut(folder / name, start, stop) for name, start, stop in parts]
    return Inputs(*tables, datasets, tuple(models))


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
