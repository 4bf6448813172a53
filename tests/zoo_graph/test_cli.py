"""The command line: what a user types, what comes out, and how it ends."""

import csv
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import broken, config_only, sentiment_csv, tiny_bert

from zoo_graph import cli

Run = Callable[..., tuple[int, str, str]]

RESULTS = "name,data,top1\nacme/a,x,81.5\nacme/b,x,79.0\nacme/a,y,61.0\nacme/b,y,66.0\nacme/c,y,70.0\n"


@pytest.fixture
def zoo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `zoo ARGS` on a zoo of the test's own; returns exit code, stdout and stderr."""
    monkeypatch.setenv("ZOO", str(tmp_path / "zoo.db"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def filled(zoo: Run, tmp_path: Path) -> Run:
    (tmp_path / "results.csv").write_text(RESULTS)
    columns = "model=name,dataset=data,score=top1"
    code, out, err = zoo("import", "results.csv", "--columns", columns, "--metric", "accuracy")
    assert code == 0, err
    assert "5" in out
    return zoo


def test_help_lists_every_command(zoo: Run) -> None:
    code, out, _ = zoo("--help")
    assert code == 0
    for name in (
        "init",
        "import",
        "forget",
        "query",
        "status",
        "refresh",
        "recommend",
        "plan",
        "select",
        "measure",
        "demo",
    ):
        assert f"\n  {name} " in out


def test_import_query_forget_is_a_round_trip(filled: Run) -> None:
    ask = "MATCH (m:Model)-[r:MEASURED]->(:Dataset {id: $d}) RETURN m.id AS m, r.score AS s ORDER BY s DESC"
    code, out, _ = filled("query", ask, "-p", "d=x", "--csv")
    assert code == 0
    assert list(csv.reader(out.splitlines())) == [["m", "s"], ["acme/a", "0.815"], ["acme/b", "0.79"]]
    _, out, _ = filled("status", "--json")
    status = json.loads(out)
    assert status["counts"]["results"] == 5
    (run,) = (one["id"] for one in status["runs"] if one["kind"] == "import")
    assert filled("forget", run)[0] == 0
    _, out, _ = filled("status", "--json")
    assert json.loads(out)["counts"]["results"] == 0


def test_importing_twice_equals_importing_once(filled: Run) -> None:
    filled("import", "results.csv", "--columns", "model=name,dataset=data,score=top1", "--metric", "accuracy")
    _, out, _ = filled("query", "MATCH ()-[r:MEASURED]->() RETURN count(r) AS n", "--jsonl")
    assert json.loads(out) == {"n": 5}


def test_dry_run_writes_nothing(zoo: Run, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("model,dataset,accuracy\na/b,x,0.5\n")
    code, out, _ = zoo("import", "r.csv", "--dry-run")
    assert code == 0
    assert "nothing written" in out
    _, out, _ = zoo("query", "MATCH (m:Model) RETURN count(m) AS n", "--jsonl")
    assert json.loads(out) == {"n": 0}


def test_bad_rows_are_reported_and_the_good_ones_go_in(zoo: Run, tmp_path: Path) -> None:
    rows = "model,dataset,accuracy\na/b,x,0.5\na/c,x,NaN\na/d,x,high\na/e,x,7.5\n,x,0.4\n"
    (tmp_path / "r.csv").write_text(rows)
    code, out, _ = zoo("import", "r.csv", "--unit", "fraction", "--rejects", "bad.csv")
    assert code == 0
    assert "rejected: 4" in out
    bad = list(csv.DictReader((tmp_path / "bad.csv").read_text().splitlines()))
    assert [row["line"] for row in bad] == ["3", "4", "5", "6"]


def test_refresh_then_recommend_from_history(filled: Run) -> None:
    assert filled("refresh")[0] == 0
    code, out, err = filled("recommend", "y", "-k", "2", "--jsonl")
    assert code == 0, err
    picks = [json.loads(line) for line in out.splitlines()]
    assert [pick["rank"] for pick in picks] == [1, 2]
    assert picks[0]["model"] == "acme/c"  # it was measured best on y
    assert picks[0]["low"] <= picks[0]["score"] <= picks[0]["high"]


def test_the_whole_path_from_two_checkpoints_to_a_winner(zoo: Run, tmp_path: Path) -> None:
    first, second = tiny_bert(tmp_path / "m" / "first"), tiny_bert(tmp_path / "m" / "second", seed=1, layers=1)
    data = sentiment_csv(tmp_path / "films.csv")
    code, out, err = zoo(
        "recommend", data, "--models", f"{first},{second},{broken(tmp_path / 'm' / 'torn')}", "--jsonl"
    )
    assert code == 0, err
    assert {json.loads(line)["model"] for line in out.splitlines()} >= {"local/first", "local/second"}
    assert "torn" in err
    (tmp_path / "picks.jsonl").write_text(out)
    race = ("--epochs", "1", "--batch-size", "16", "--learning-rate", "1e-3", "--max-length", "16")
    code, plan, err = zoo("plan", data, "--candidates", "picks.jsonl", *race)
    assert code == 0, err
    assert "local/first" in plan + err
    assert "torn" in plan + err
    code, out, err = zoo("select", data, "--candidates", "picks.jsonl", "--folder", "race", *race)
    assert code == 0, err
    assert "best" in out
    assert (tmp_path / "race" / "best" / "config.json").exists()
    assert (tmp_path / "race" / "report.html").exists()
    _, out, _ = zoo(
        "query", "MATCH (:Model)-[r:MEASURED {split: 'test'}]->(d:Dataset) RETURN d.id AS d, r.score AS s", "--jsonl"
    )
    assert json.loads(out)["d"] == "films"
    again = zoo("select", data, "--candidates", "picks.jsonl", "--folder", "race", *race)
    assert again[0] == 0
    assert "best" in again[1]


def test_measure_fills_an_empty_zoo_and_goes_on(zoo: Run, tmp_path: Path) -> None:
    model = tiny_bert(tmp_path / "tiny")
    data = sentiment_csv(tmp_path / "films.csv")
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"film {i},same\n" for i in range(20)))
    options = ("--models", model, "--models", config_only(tmp_path / "empty"), "--epochs", "0.5", "--max-length", "16")
    code, out, err = zoo("measure", data, tmp_path / "one.csv", *options)
    assert code == 1  # one dataset and one model could not be used, and it says so
    assert "one class" in err
    assert "empty" in err
    assert out.count("local/tiny on films") == 1
    _, out, _ = zoo("query", "MATCH (:Model)-[p:PROXY]->(:Dataset) RETURN collect(p.name) AS names", "--jsonl")
    assert {"logme", "parc", "ridge_probe"} <= set(json.loads(out)["names"])
    code, out, _ = zoo("measure", data, "--models", model, "--epochs", "0.5", "--max-length", "16")
    assert code == 0
    _, out, _ = zoo(
        "query", "MATCH ()-[r:MEASURED]->() RETURN count(r) AS n, size(collect(r.curve)[0]) AS points", "--jsonl"
    )
    assert json.loads(out) == {"n": 1, "points": 8}


UNUSABLE = [
    (("import", "nowhere.csv"), "nowhere.csv"),
    (("import", "text.csv"), "text.csv"),
    (("import", "results.csv", "--columns", "model=nmae,score=top1", "--metric", "accuracy"), "name"),
    (("import", "results.csv", "--columns", "model=name,dataset=data,score=top1", "--metric", "acuracy"), "accuracy"),
    (("import", "results.csv", "--columns", "modelname"), "--columns"),
    (("forget", "import-000"), "import-"),
    (("query", "CREATE (n:Model) RETURN n"), "CREATE"),
    (("query", "MATCH (n RETURN n"), "store"),
    (("query", "RETURN 1", "-p", "novalue"), "name=value"),
    (("refresh", "--exclude", "nosuch"), "nosuch"),
    (("recommend", "nosuch"), "nosuch"),
    (("recommend", "x", "--max-parameters", "lots"), "lots"),
    (("select", "nowhere.csv", "--candidates", "acme/a"), "nowhere.csv"),
    (("select", "films.csv", "--candidates", "acme/aa"), "acme/a"),
    (("select", "films.csv", "--candidates", "acme/a", "--metric", "acc"), "accuracy"),
    (("select", "films.csv", "--candidates", "acme/a", "--budget", "soon"), "soon"),
    (("select", "films.csv", "--candidates", "acme/a", "--label", "lable"), "label"),
    (("select", "one.csv", "--candidates", "acme/a"), "one class"),
    (("select", "unlabelled.csv", "--candidates", "acme/a"), "label"),
    (("select", "films.csv", "--candidates", "empty"), "weights"),
    (("select", "films.csv", "--candidates", "acme/a"), "source"),
    (("--zoo",), "--zoo"),
]


@pytest.mark.parametrize(
    ("arguments", "told"), UNUSABLE, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_unusable_input_ends_with_two_and_a_sentence(
    filled: Run, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "text.csv").write_text("just a line of text\n")
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"film {i},same\n" for i in range(20)))
    (tmp_path / "unlabelled.csv").write_text("text,label\n" + "".join(f"film {i},\n" for i in range(20)))
    sentiment_csv(tmp_path / "films.csv")
    config_only(tmp_path / "empty")
    code, _, err = filled(*arguments)
    assert code == 2, err
    assert told in err


def test_a_query_over_its_time_ends_with_one(filled: Run) -> None:
    product = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(a * b) AS n"
    code, _, err = filled("query", product, "--timeout", "1")
    assert code == 1
    assert "longer than its 1 s" in err


def test_a_server_that_is_down_is_told(zoo: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    code, _, err = zoo("status", "--zoo", f"bolt://127.0.0.1:{port}")
    assert code == 2
    assert str(port) in err


def test_no_zoo_there_is_told(zoo: Run) -> None:
    code, _, err = zoo("status", "--zoo", "elsewhere.db")
    assert code == 2
    assert "zoo init" in err


@pytest.mark.neo4j
def test_a_wrong_password_is_told(zoo: Run, neo4j_address: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_USER", "neo4j")
    monkeypatch.setenv("ZOO_PASSWORD", "not the password")
    code, _, err = zoo("status", "--zoo", neo4j_address.where)  # type: ignore[attr-defined]
    assert code == 2
    assert "password" in err


@pytest.mark.neo4j
def test_a_server_holds_a_zoo_like_a_folder(
    zoo: Run, neo4j_address: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text(neo4j_address.password + "\n")  # type: ignore[attr-defined]
    monkeypatch.setenv("ZOO", neo4j_address.where)  # type: ignore[attr-defined]
    monkeypatch.setenv("ZOO_USER", "neo4j")
    monkeypatch.setenv("ZOO_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "r.csv").write_text("model,dataset,accuracy\na/b,x,0.5\na/c,x,0.6\n")
    assert zoo("import", "r.csv")[0] == 0
    assert zoo("refresh")[0] == 0
    code, out, _ = zoo("recommend", "x", "-k", "1", "--jsonl")
    assert code == 0
    assert json.loads(out)["model"] == "a/c"


def test_no_text_of_the_user_reaches_graph_or_cache(zoo: Run, tmp_path: Path) -> None:
    secret = "zanzibar"
    rows = [f"{secret} good film {i},pos\n{secret} bad film {i},neg\n" for i in range(40)]
    (tmp_path / "films.csv").write_text("text,label\n" + "".join(rows))
    code, _, err = zoo("recommend", "films.csv", "--models", tiny_bert(tmp_path / "tiny"))
    assert code == 0, err
    files = [Path(folder) / name for folder, _, names in os.walk(tmp_path / "zoo.db") for name in names]
    assert not [file for file in files if secret.encode() in file.read_bytes()]
