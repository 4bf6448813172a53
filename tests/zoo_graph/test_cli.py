"""The command line: what a user types, what comes out, and how it ends."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import broken, config_only, sentiment_csv, tiny_bert

from selection.folders import locked
from zoo_graph import cli
from zoo_graph.lease import Lease
from zoo_graph.store import open_store

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
        "backtest",
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
    code, out, _ = filled("forget", run)
    assert code == 0
    assert "results: 5 removed" in out
    _, out, _ = filled("status", "--json")
    assert json.loads(out)["counts"]["results"] == 0


def test_importing_twice_equals_importing_once(filled: Run) -> None:
    filled("import", "results.csv", "--columns", "model=name,dataset=data,score=top1", "--metric", "accuracy")
    _, out, _ = filled("query", "MATCH ()-[r:MEASURED]->() RETURN count(r) AS n", "--jsonl")
    assert json.loads(out) == {"n": 5}


def test_dry_run_writes_nothing(zoo: Run, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("model,dataset,accuracy\na/b,x,0.5\n")
    code, out, err = zoo("import", "r.csv", "--dry-run")
    assert code == 0
    assert "nothing written" in out
    assert "results: 1 new" in out
    assert "there is no zoo" in err
    assert not (tmp_path / "zoo.db").exists()
    zoo("init")
    assert zoo("import", "r.csv", "--dry-run")[0] == 0
    _, out, _ = zoo("query", "MATCH (m:Model) RETURN count(m) AS n", "--jsonl")
    assert json.loads(out) == {"n": 0}


def test_the_file_to_import_is_not_taken_for_its_rejects(zoo: Run, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(RESULTS)
    code, _, err = zoo("import", "results.csv", "--rejects", "./results.csv")
    assert code == 2
    assert "is itself to be imported" in err
    assert (tmp_path / "results.csv").read_text() == RESULTS
    assert not (tmp_path / "zoo.db").exists()


def test_the_rejects_of_all_files_stand_in_one(zoo: Run, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("model,dataset,accuracy\na/b,x,0.5\na/c,x,high\n")
    assert zoo("import", "a.csv", "b.csv", "--rejects", "bad.csv")[0] == 0
    bad = list(csv.DictReader((tmp_path / "bad.csv").read_text().splitlines()))
    assert [(row["file"], row["line"]) for row in bad] == [("a.csv", "3"), ("b.csv", "3")]


def test_an_unusable_file_does_not_stop_the_others(zoo: Run, tmp_path: Path) -> None:
    (tmp_path / "mixed.csv").write_text("colour,weight\nred,5\n")
    (tmp_path / "bad.csv").write_text(f"model,dataset,accuracy,seed\na/b,x,0.5,{2**63}\na/c,x,0.4,1\n")
    (tmp_path / "good.csv").write_text("model,dataset,accuracy\na/b,y,0.5\n")
    code, out, err = zoo("import", "mixed.csv", "nowhere.csv", "bad.csv", "good.csv")
    assert code == 1
    assert "mixed.csv" in err
    assert "nowhere.csv" in err
    assert "seed is a whole number from -2^63" in out
    _, out, _ = zoo("query", "MATCH ()-[r:MEASURED]->() RETURN count(r) AS n", "--jsonl")
    assert json.loads(out) == {"n": 2}
    assert zoo("import", "nowhere.csv", "mixed.csv")[0] == 2


@pytest.mark.parametrize("text", ["model,dataset,accuracy\n", "model;dataset;accuracy\na;x;0,5\nb;x;0,7\n"])
def test_an_import_of_nothing_fails(zoo: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "r.csv").write_text(text)
    code, out, err = zoo("import", "r.csv")
    assert code == 1
    assert "nothing imported" in out
    assert "nothing was imported" in err
    assert ("write 0.5 for 0,5" in out) == (";" in text)


def test_an_empty_table_beside_a_full_one_is_no_failure(zoo: Run, tmp_path: Path) -> None:
    (tmp_path / "full.csv").write_text("model,dataset,accuracy\na/b,x,0.5\n")
    (tmp_path / "empty.csv").write_text("model,dataset,accuracy\n")
    (tmp_path / "bad.csv").write_text("model,dataset,accuracy\na/b,x,high\n")
    assert zoo("import", "full.csv", "empty.csv")[0] == 0
    assert zoo("import", "bad.csv", "full.csv")[0] == 1


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
    code, _, err = filled("recommend", "y", "--pareto", "seconds")
    assert code == 2
    assert "got no seconds of any candidate" in err


def never(*_: object, **__: object) -> None:
    raise AssertionError("it came that far")


def test_the_whole_path_from_two_checkpoints_to_a_winner(
    zoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tiny_bert(tmp_path / "m" / "first"), tiny_bert(tmp_path / "m" / "second", seed=1, layers=1)
    data = sentiment_csv(tmp_path / "films.csv")
    torn = broken(tmp_path / "m" / "torn")
    code, out, err = zoo("recommend", data, "--models", f"{first},{second},{torn}", "--jsonl")
    assert code == 1, err
    assert {json.loads(line)["model"] for line in out.splitlines()} == {"local/first", "local/second"}
    assert "local/torn could not be opened here" in err
    assert "1 of the models given could not be used" in err
    (tmp_path / "picks.jsonl").write_text(out)
    race = ("--epochs", "1", "--batch-size", "16", "--learning-rate", "1e-3", "--max-length", "16")
    code, plan, err = zoo("plan", data, "--candidates", "picks.jsonl", *race)
    assert code == 0, err
    assert "local/first" in plan + err
    code, _, err = zoo("plan", data, "--candidates", f"nofolder,{first},{torn}", *race)
    assert code == 1
    assert "failed: nofolder: no checkpoint folder" in err
    assert "failed: local/torn: " in err
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
    assert "the race in race is finished" in again[2]
    assert "going on" not in again[2]
    assert "rung" not in again[2]
    with locked(tmp_path / "race"):
        monkeypatch.setattr("zoo_graph.choice.begun_plan", never)
        code, _, err = zoo("select", data, "--candidates", "picks.jsonl", "--folder", "race", *race)
        assert (code, "race, in use by process" in err) == (2, True)
        monkeypatch.undo()
        monkeypatch.setenv("ZOO", str(tmp_path / "zoo.db"))
        monkeypatch.chdir(tmp_path)
    (tmp_path / "race" / "best" / "model.safetensors").unlink()
    code, out, err = zoo("select", data, "--candidates", "picks.jsonl", "--folder", "race", *race)
    assert (code, "best is incomplete: the same command with --candidates " in err) == (1, True), err
    shutil.rmtree(tmp_path / "race" / "best")
    code, out, err = zoo("select", data, "--candidates", "picks.jsonl", "--folder", "race", *race)
    assert (code, "best is not there any more: the same command with --candidates " in err) == (1, True), err
    winner = err.partition("--candidates ")[2].split()[0]
    code, _, err = zoo("select", data, "--candidates", winner, "--folder", "again", *race)
    assert (code, (tmp_path / "again" / "best" / "model.safetensors").exists()) == (0, True), err
    code, _, err = zoo("select", data, "--candidates", first, "--folder", "race", *race)
    assert (code, "holds a race among local/first, local/second" in err) == (2, True)
    code, _, err = zoo("select", data, "--candidates", "picks.jsonl", "--folder", "race", *race, "--metric", "mcc")
    assert (code, "metric mcc (there accuracy)" in err) == (2, True)


@pytest.mark.parametrize(
    ("method", "options"),
    [("lora", ("--lora-rank", "2", "--rate-factors", "1,3")), ("head", ("--class-weights", "balanced"))],
)
def test_a_method_is_chosen_by_name_and_recorded(
    zoo: Run, tmp_path: Path, method: str, options: tuple[str, ...]
) -> None:
    model, data = tiny_bert(tmp_path / "tiny"), sentiment_csv(tmp_path / "films.csv", 40)
    code, out, err = zoo("measure", data, "--models", model, "--epochs", "0.5", "--method", method, *options)
    assert code == 0, err
    assert "validation accuracy" in out
    _, out, _ = zoo("query", "MATCH ()-[r:MEASURED]->() RETURN r.method AS m, r.config AS c", "--jsonl")
    row = json.loads(out)
    assert row["m"] == method
    assert ("lora_rank" in row["c"], "class_weights" in row["c"]) == (method == "lora", method == "head")


def test_numbers_in_the_label_column_are_predicted(zoo: Run, tmp_path: Path) -> None:
    model = tiny_bert(tmp_path / "m")
    lines = [f"film {('good', 'bad')[i % 2]} {'the ' * (i % 5)},{i % 2 + i / 1000}" for i in range(80)]
    (tmp_path / "stars.csv").write_text("text,label\n" + "\n".join(lines))
    options = ("--epochs", "1", "--learning-rate", "1e-3", "--max-length", "16")
    code, out, err = zoo("select", "stars.csv", "--candidates", model, "--folder", "race", *options)
    assert code == 0, err
    assert "its labels are 80 different numbers: a regression" in err
    assert "r2" in out
    _, out, _ = zoo("query", "MATCH (d:Dataset) RETURN d.task AS t, d.n_classes AS n", "--jsonl")
    assert json.loads(out) == {"t": "regression", "n": None}
    assert "Regressor.open" in (tmp_path / "race" / "best" / "README.md").read_text()


def test_whole_numbers_are_predicted_where_the_task_says_so(zoo: Run, tmp_path: Path) -> None:
    model = tiny_bert(tmp_path / "m")
    lines = [f"film {('good', 'bad')[i % 2]} {'the ' * (i % 5)},{i}" for i in range(80)]
    (tmp_path / "counts.csv").write_text("text,label\n" + "\n".join(lines))
    options = ("--epochs", "0.5", "--learning-rate", "1e-3", "--max-length", "16")
    for command in (("plan", "--candidates"), ("select", "--candidates"), ("measure", "--models")):
        code, _, err = zoo(command[0], "counts.csv", command[1], model, *options)
        assert (code, "--task regression" in err) == (2, True), err
        code, out, err = zoo(command[0], "counts.csv", command[1], model, "--task", "regression", *options)
        assert code == 0, err
        assert "its labels are 80 different numbers: a regression" in err
    code, out, err = zoo("recommend", "counts.csv", "--models", model, "--task", "regression")
    assert (code, "r2" in out) == (0, True), err
    code, _, err = zoo("plan", "counts.csv", "--candidates", model, "--task", "ranking")
    assert (code, "--task" in err) == (2, True)


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
    (("select", "films.csv", "--candidates", "acme/a", "--folder", "films.csv"), "films.csv is a file"),
    (("select", "films.csv", "--candidates", "acme/a", "--seed", "-1"), "--seed"),
    (("select", "films.csv", "--candidates", "acme/a", "--threads", "100000"), "got 100000; wanted at most"),
    (("select", "films.csv", "--candidates", "acme/a", "--workers", "100000"), "got 100000; wanted at most"),
    (("plan", "films.csv", "--candidates", "acme/a", "--epochs", "inf"), "at most 1000"),
    (("plan", "films.csv", "--candidates", "acme/a", "--epochs", "1e300"), "at most 1000"),
    (("plan", "films.csv", "--candidates", "acme/a", "--learning-rate", "inf"), "above 0 and up to 1"),
    (("plan", "films.csv", "--candidates", "acme/a", "--learning-rate", "0"), "above 0 and up to 1"),
    (("plan", "films.csv", "--candidates", "acme/a", "--price", "inf"), "got inf; wanted"),
    (("plan", "films.csv", "--candidates", "acme/a", "--rate-factors", "1,x"), "got --rate-factors '1,x'"),
    (("plan", "films.csv", "--candidates", "acme/a", "--method", "adapters"), "--method"),
    (("plan", "films.csv", "--candidates", "acme/a", "--metric", "r2"), "wanted one of accuracy"),
    (("recommend", "x", "--max-parameters", "9" * 400), "at most 1e+18"),
    (("refresh", "--seed", "-1"), "--seed"),
    (("refresh", "--seed", "1" * 30), "--seed"),
    (("status", "--zoo", "bolt://neo4j:secret@127.0.0.1:1"), "ZOO_USER"),
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
    assert "secret" not in err


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


@pytest.mark.parametrize("command", [("recommend", "x"), ("backtest",), ("refresh",), ("query", "RETURN 1")])
def test_a_mistyped_zoo_is_not_made(zoo: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    data = sentiment_csv(tmp_path / "x")
    code, _, err = zoo(*command, "--zoo", "elsewhere.db")
    assert code == 2
    assert "there is no zoo at" in err
    assert "zoo init" in err
    assert not (tmp_path / "elsewhere.db").exists()
    assert data.exists()


def test_a_zoo_made_on_the_way_is_told(zoo: Run, tmp_path: Path) -> None:
    data, model = sentiment_csv(tmp_path / "films.csv"), tiny_bert(tmp_path / "one", layers=1)
    made = "zoo: there was no zoo at new.db: made one"
    code, out, err = zoo("recommend", data, "--models", model, "--zoo", "new.db")
    assert code == 0, err
    assert made in err
    assert "local/one" in out
    assert "made one" not in zoo("recommend", data, "--models", model, "--zoo", "new.db")[2]
    (tmp_path / "r.csv").write_text("model,dataset,accuracy\na,b,0.5\n")
    assert "there was no zoo at other.db: made one" in zoo("import", "r.csv", "--zoo", "other.db")[2]


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


def test_candidates_that_cannot_be_used_are_named_and_the_rest_is_selected_from(zoo: Run, tmp_path: Path) -> None:
    model, data = tiny_bert(tmp_path / "ok", layers=1), sentiment_csv(tmp_path / "films.csv")
    (tmp_path / "emptydir").mkdir()
    torn = broken(tmp_path / "torn")
    race = ("--epochs", "0.5", "--batch-size", "16", "--max-length", "16", "--folder", "race")
    for _ in range(2):  # the second time the recorded plan tells of the failures
        code, out, err = zoo("select", data, "--candidates", f"emptydir,{model},{torn},nofolder", *race)
        assert code == 1
        assert "best" in out
        assert [line.split(": ")[1] for line in err.splitlines() if line.startswith("failed: ")] == [
            "local/emptydir",
            "nofolder",
            "local/torn",
        ]


def test_nothing_to_recommend_is_a_sentence_and_no_table(zoo: Run, tmp_path: Path) -> None:
    model, data = tiny_bert(tmp_path / "ok", layers=1), sentiment_csv(tmp_path / "films.csv")
    code, out, err = zoo("recommend", data, "--models", model, "--max-parameters", "10")
    assert (code, out) == (1, "")
    assert "nothing to recommend, local/ok: n_parameters" in err
    code, out, err = zoo("recommend", data, "--models", "nofolder")
    assert (code, out) == (2, "")
    assert "local/nofolder: no checkpoint folder at nofolder" in err


def test_measuring_without_time_or_seeds_says_so(zoo: Run, tmp_path: Path) -> None:
    given = sentiment_csv(tmp_path / "films.csv"), "--models", tiny_bert(tmp_path / "ok", layers=1)
    code, _, err = zoo("measure", *given, "--hours", "0", "--seeds", "0,1")
    assert code == 1
    assert "2 not begun within --hours 0; the same command goes on with them" in err
    code, _, err = zoo("measure", *given, "--seeds", "")
    assert code == 2
    assert "got no seed" in err


def test_another_dataset_of_the_same_file_name_is_refused_until_it_has_a_name_of_its_own(
    zoo: Run, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    model, first = tiny_bert(tmp_path / "ok", layers=1), sentiment_csv(tmp_path / "a" / "train.csv")
    rows = [f"the {word} film {i},{word}" for i in range(8) for word in ("cat", "dog", "rain")]
    (tmp_path / "b" / "train.csv").write_text("\n".join(["text,label", *rows]))
    race = ("--epochs", "0.5", "--max-length", "16")
    assert zoo("select", first, "--candidates", model, *race)[0] == 0
    code, _, err = zoo("recommend", "b/train.csv")
    assert code == 2
    assert "the zoo knows another dataset of that name, with 2 classes" in err
    assert "--name" in err
    code, out, err = zoo("recommend", "b/train.csv", "--name", "animals")
    assert code == 0, err
    assert "measured on your data" not in out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"model": "a/b"}\n\xff\n', "picks.jsonl is no UTF-8 text"),
        (b'{"model": "a/b"}\n{"model": "a/c", "source": 5}\n', 'line 2: got \'{"model": "a/c", "source": 5}\''),
        (b'{"model": "a/b", "n_parameters": "many"}\n', "n_parameters: "),
        (b'{"source": "a"}\n', "model: "),
        (b"[1]\n", "wanted a pick as JSON"),
        (b"[" * 100_000, "wanted a pick as JSON"),
        (b"\n", "got no candidates"),
    ],
)
def test_lines_that_are_no_picks_are_refused(zoo: Run, tmp_path: Path, content: bytes, told: str) -> None:
    data = sentiment_csv(tmp_path / "films.csv")
    (tmp_path / "picks.jsonl").write_bytes(content)
    code, _, err = zoo("plan", data, "--candidates", "picks.jsonl")
    assert code == 2
    assert told in err


class Interrupting:
    """Finds the module of subcommands, and is stopped there."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "zoo_graph.cli.commands":
            raise KeyboardInterrupt


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


STOPPED = (130, "", "zoo: stopped; the same command goes on from here\n")


def test_a_ctrl_c_during_the_imports_ends_with_one_line(zoo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "zoo_graph.cli.commands", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert zoo("status") == STOPPED


@pytest.mark.parametrize("place", ["zoo_graph.cli.graph.open_zoo", "typer.core.TyperGroup.make_context"])
def test_a_ctrl_c_ends_with_one_line(zoo: Run, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr(place, interrupt)
    assert zoo("status") == STOPPED


def test_the_command_line_imports_little_before_a_ctrl_c_is_understood() -> None:
    code = "import zoo_graph.cli, sys; print([m for m in ('typer', 'logging', 'pydantic') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_reader_who_has_seen_enough_is_no_failure(filled: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = "import sys; sys.argv = ['zoo', 'status']; from zoo_graph.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", command], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_second_refresh_at_once_ends_with_one(filled: Run, tmp_path: Path) -> None:
    with open_store(tmp_path / "zoo.db") as store, Lease.take(store):
        code, _, err = filled("refresh")
    assert code == 1
    assert "another refresh is running" in err


def test_a_statement_that_fails_ends_with_one(filled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_graph.queries.STATUS_RUNS", "THIS IS NO CYPHER")
    code, _, err = filled("status")
    assert code == 1
    assert "a statement failed" in err


def test_a_password_file_that_is_not_there_is_told_by_its_variable(
    zoo: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_PASSWORD_FILE", str(tmp_path / "nofile"))
    code, _, err = zoo("status")
    assert code == 2
    assert "ZOO_PASSWORD_FILE" in err


def test_models_trained_on_the_dataset_are_marked_or_left_out(filled: Run, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("model,pretrained_on\nacme/b,y\nacme/c,x\n")
    assert filled("import", "m.csv")[0] == 0
    told = "pretrained on y: its score there may be inflated"
    assert told in filled("recommend", "y")[1]
    code, out, err = filled("recommend", "y", "--exclude-pretrained", "--hold-out", "x", "--jsonl")
    assert (code, told in out) == (0, False)
    assert [json.loads(line)["model"] for line in out.splitlines()] == ["acme/a"]
    assert "2 of 3 models excluded: trained on the data asked about" in err


@pytest.fixture
def judgeable(zoo: Run, tmp_path: Path) -> Run:
    """Six models on four datasets, the later the better, but on the last dataset."""
    rows = [f"acme/m{m}," + ",".join(str(0.5 + 0.05 * (m if d < 3 else -m)) for d in range(4)) for m in range(6)]
    (tmp_path / "wide.csv").write_text("\n".join(["model,w,x,y,z", *rows]) + "\n")
    assert zoo("import", "wide.csv", "--metric", "accuracy")[0] == 0
    return zoo


def test_a_backtest_shows_every_ranker_beside_history(judgeable: Run, tmp_path: Path) -> None:
    code, out, err = judgeable("backtest", "--json", "out/all.json", "--plot", "out/all.svg")
    assert code == 0, err
    for ranker in ("ours", "history", "random", "metadata_ridge"):
        assert f"\n{ranker} " in out
    assert "regret@1" in out
    assert out.splitlines()[-1].startswith("cold, ours against history: ")
    assert json.loads((tmp_path / "out/all.json").read_text())[1]["measure"].startswith("recall/zoo/cold/")
    assert (tmp_path / "out/all.svg").read_text().startswith("<?xml")
    assert (tmp_path / "zoo.db/backtest/backtest.png").exists()


def test_a_backtest_of_chosen_datasets_and_rankers_as_csv(judgeable: Run) -> None:
    code, out, err = judgeable("backtest", "--dataset", "w,z", "--ranker", "random", "--evaluated", "0,2", "--csv")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert {(row["regime"], row["ranker"]) for row in rows} == {
        (regime, ranker) for regime in ("cold", "warm2") for ranker in ("history", "random")
    }
    (regret,) = (row for row in rows if [row["regime"], row["ranker"], row["metric"]] == ["cold", "history", "regret1"])
    assert (regret["n"], float(regret["mean"])) == ("2", 1.0)  # nothing missed on w, twice the spread on z
    assert regret["difference"] == "0.0"


def test_a_dataset_held_out_with_the_target_does_not_count(judgeable: Run) -> None:
    def regret(*options: str) -> float:
        out = judgeable("backtest", "--dataset", "w", "--csv", *options)[1]
        return next(float(r["mean"]) for r in csv.DictReader(out.splitlines()) if r["metric"] == "regret1")

    assert regret() == 0.0
    assert regret("--hold-out", "w=x,w=y") == 2.0  # what is left says the opposite


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--dataset", "v"], "target 'v'"),
        (["--ranker", "best"], "ranker 'best'"),
        (["--hold-out", "w"], "wanted dataset=other"),
        (["--hold-out", "w=v"], "dataset 'v'"),
        (["--evaluated", "all"], "wanted whole numbers"),
        (["--plot", "x.pdf"], ".png or .svg"),
    ],
)
def test_a_backtest_that_cannot_be_says_what_it_wanted(judgeable: Run, options: list[str], told: str) -> None:
    code, out, err = judgeable("backtest", *options)
    assert (code, out) == (2, "")
    assert told in err


def test_a_zoo_of_two_datasets_cannot_be_backtested_and_says_why(zoo: Run, tmp_path: Path) -> None:
    rows = "".join(f"acme/m{m},0.{m},0.{m + 1}\n" for m in range(6))
    (tmp_path / "wide.csv").write_text(f"model,x,y\n{rows}")
    zoo("import", "wide.csv", "--metric", "accuracy")
    code, _, err = zoo("backtest")
    assert code == 2
    assert "got a zoo with 2 datasets (x, y)" in err
    assert "wanted 3 or more" in err
    assert "import or measure more" in err


def test_proxies_within_a_time_are_told_of(zoo: Run, tmp_path: Path) -> None:
    data = sentiment_csv(tmp_path / "films.csv")
    first, second = tiny_bert(tmp_path / "one", layers=1), tiny_bert(tmp_path / "two", seed=1, layers=1)
    options = "--models", f"{first},{second}", "--proxy-seconds", "90s", "--proxy-policy", "gain"
    code, _, err = zoo("recommend", data, *options)
    assert code == 0, err
    assert "note: proxies were computed for 2 of 2 models whose weights are known, in " in err
    code, _, err = zoo("recommend", data, *options[:3], "soon")
    assert code == 2
    assert "soon" in err
