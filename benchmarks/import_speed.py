"""Import speed on a fresh embedded store: `python benchmarks/import_speed.py --json OUT [--data ../shared/data]`.

Each file is imported, imported again (nothing may change), and the first one is forgotten. Seconds are wall clock of
the whole `import_file`: opening, inferring units, parsing, writing. CPU seconds are this process's and the engine's,
which run side by side. `load` is the machine's load average before each step: figures from a busy machine say so.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from zoo_graph.ingest import forget, import_file
from zoo_graph.store import Connection, open_store

FILES: dict[str, dict[str, Any]] = {
    "mteb/mteb_long.parquet": {},
    "timm/timm_long.parquet": {
        "metrics": ["top1", "top5"],
        "columns": {"model.n_parameters": "param_count:M"},
        "ignore": ["tag"],
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "zoo.db", create=True) as store:
        steps = measure(store, arguments.data)
        steps.append({"step": "disk", "megabytes": round(disk_bytes(Path(folder)) / 1e6, 1)})
    for step in steps:
        print(json.dumps(step))
    if arguments.json:
        arguments.json.write_text(json.dumps(steps, indent=1) + "\n", encoding="utf-8")


def measure(store: Connection, data: Path) -> list[dict[str, Any]]:
    steps, runs = [], []
    for name, said in FILES.items():
        for attempt in ("first", "second"):
            cpu, engine, load = time.process_time(), engine_seconds(store), os.getloadavg()[0]
            report = import_file(store, data / name, **said)
            runs.append(report.run)
            results = report.counts.results
            steps.append(
                {
                    "step": f"{name} {attempt}",
                    "new": results.new,
                    "already": results.already,
                    "rejected": report.n_rejected,
                    "seconds": round(report.seconds, 2),
                    "results_per_second": round(results.total / report.seconds),
                    "cpu_seconds_client": round(time.process_time() - cpu, 2),
                    "cpu_seconds_engine": round(engine_seconds(store) - engine, 2),
                    "load": round(load, 1),
                }
            )
    started, load = time.monotonic(), os.getloadavg()[0]
    gone = forget(store, runs[0])
    seconds = time.monotonic() - started
    steps.append(
        {"step": "forget the first", "gone": gone.results.new, "seconds": round(seconds, 2), "load": round(load, 1)}
    )
    return steps


def engine_seconds(store: Connection) -> float:
    """CPU seconds the store's child process has used so far (Linux; 0 elsewhere)."""
    server = json.loads((store.folder / "store" / "server.json").read_text()) if store.folder else {}
    stat = Path(f"/proc/{server.get('pid')}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
