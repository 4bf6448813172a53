"""The hub as the real client sees it: a small HTTP server that answers as the hub does, or nobody at all."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from selection import hub
from selection.errors import CheckpointError

SHA = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"w" * 2_000_000
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"p" * 3_000_000,
    "tokenizer.json": b"{}",
    "modeling_odd.py": b"import os",
    "onnx/model.onnx": b"o" * 5_000_000,
}


class Hub(BaseHTTPRequestHandler):
    """Answers for org/good, org/gated (guarded at the download), org/bare (no weights); anything else is not there."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.split("?")[0]
        parts = path.strip("/").split("/")
        if path.startswith("/api/models/org/"):
            self.information(parts[3], parts[5] if len(parts) > 5 else "main")
        elif path.startswith("/org/good/resolve/"):
            self.send(200, FILES["/".join(parts[4:])], {"ETag": f'"{parts[-1]}"', "X-Repo-Commit": SHA})
        elif path.startswith("/org/gated/resolve/"):
            self.send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def information(self, name: str, revision: str) -> None:
        if name not in ("good", "gated", "bare"):
            self.send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", SHA):
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            held = {"README.md": b"x"} if name == "bare" else FILES
            if "/tree/" in self.path:
                tree = [{"type": "file", "path": f, "size": len(c), "oid": f} for f, c in held.items()]
                self.send(200, json.dumps(tree).encode(), {"Content-Type": "application/json"})
                return
            siblings = [{"rfilename": file, "size": len(content)} for file, content in held.items()]
            content = {"id": f"org/{name}", "modelId": f"org/{name}", "sha": SHA, "siblings": siblings, "tags": []}
            self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


ASK = """
import json, sys
from selection import hub
from selection.errors import SelectionError
for source, max_bytes in json.loads(sys.argv[1]):
    said = []
    try:
        folder = hub.download(source, max_bytes=max_bytes, say=said.append)
        print(json.dumps([sorted(p.name for p in folder.iterdir()), said]))
    except SelectionError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def asked(endpoint: str, home: Path, *questions: tuple[str, int], **more: str) -> list[list[Any]]:
    """What `download` says to each question, in a process whose client knows only this hub."""
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_ETAG_TIMEOUT": "2",
        "PATH": "/usr/bin:/bin",
        "NO_PROXY": "*",
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(questions)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_hub_is_asked_for_what_is_needed_within_the_budget(endpoint: str, tmp_path: Path) -> None:
    answers = asked(
        endpoint,
        tmp_path,
        ("org/good", 1_000_000),
        ("org/good", 2_100_000),
        ("org/good@main", 10),
        ("org/gated", 10**9),
        ("org/bare", 10**9),
        ("org/missing", 10**9),
        ("org/good@nowhere", 10**9),
        ("org/a--b", 10**9),
    )
    budget, first, again, gated, bare, missing, revision, invalid = answers
    assert budget[0] == "BudgetError"
    assert "needs 2 MB and the budget is 1 MB" in budget[1]
    # neither code, nor the same weights twice; and the size was told
    assert first == [["config.json", "model.safetensors", "tokenizer.json"], ["org/good: 2 MB in 3 files"]]
    assert again == [first[0], []]  # it is here already: nothing to fetch, nothing to spend
    for answer, words in (
        (gated, "org/gated is gated: accept its terms"),
        (bare, "org/bare holds no config.json with safetensors or torch weights"),
        (missing, "the hub holds no model 'org/missing'"),
        (revision, "the hub's org/good has no revision 'nowhere'"),
        (invalid, "'org/a--b' is no folder here and cannot be a hub id"),
    ):
        assert answer[0] == "CheckpointError"
        assert words in answer[1]


def test_without_the_hub_the_cache_is_used_and_else_it_is_said(endpoint: str, tmp_path: Path) -> None:
    asked(endpoint, tmp_path, ("org/good", 10**9))
    nobody = "http://127.0.0.1:9"
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        cached, unknown = asked(nobody, tmp_path, ("org/good", 10**9), ("org/other", 10**9), **more)
        assert cached[0] == ["config.json", "model.safetensors", "tokenizer.json"]
        assert "org/other is no folder here and the hub could not be reached" in unknown[1]
    (weights,) = tmp_path.rglob("snapshots/*/model.safetensors")
    weights.unlink()
    (half,) = asked(nobody, tmp_path, ("org/good", 10**9))
    assert "could not be reached" in half[1]


def test_the_form_of_a_hub_id() -> None:
    assert [source for source in ("a/b", "a/b@v1.0", "A-1/b_2.c") if not hub.is_hub_id(source)] == []
    assert [source for source in ("b", "a/b/c", "../b", "a/b@", "/a/b", "a b/c", ".") if hub.is_hub_id(source)] == []


def test_shards_count_and_consolidated_copies_do_not() -> None:
    shards = {"model-00001-of-00002.safetensors": 5, "model-00002-of-00002.safetensors": 6}
    held = {"config.json": 1, "consolidated.safetensors": 99, "model.safetensors.index.json": 2, **shards}
    assert sum(size or 0 for size in hub._needed(held, "a/b").values()) == 14
    with pytest.raises(CheckpointError):
        hub._needed({"config.json": 1, "consolidated.safetensors": 99}, "a/b")
