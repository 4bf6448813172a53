"""What every store promises (the contract in zoo_graph/store/connection.py), held on the embedded one and on Neo4j."""

import datetime
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from zoo_graph.errors import InputError, QueryLimitError, QueryRefusedError, StoreError, StoreUnavailableError
from zoo_graph.store import Connection, Transaction

if TYPE_CHECKING:
    from conftest import Address

# Statements that write, read files, reach out of the graph, or act on the server.
HOSTILE = [
    "CREATE (:Model {id: 'x'})",
    "MERGE (:Model {id: 'x'})",
    "MATCH (n) DETACH DELETE n",
    "MATCH (n) DELETE n",
    "MATCH (n) SET n.id = 'x'",
    "MATCH (n) SET (n).id = 'x'",
    "MATCH (n) SET n:Other",
    "MATCH (n) REMOVE n.id",
    "MATCH (n) WITH collect(n) AS ns FOREACH (n IN ns | SET n.id = 'x')",
    "match (n) /* only a comment */ detach /**/ delete n",
    "MATCH (n) // reads\nDETACH DELETE n",
    "RETURN 1; MATCH (n) DETACH DELETE n",
    "RETURN 'it''s' AS a; MATCH (n) DETACH DELETE n",
    "WITH \"'\" AS a MATCH (n) DETACH DELETE n RETURN '\"'",
    "RETURN `a'` MATCH (n) DETACH DELETE n //'",
    "MATCH (n) DETACH \\u0044ELETE n",
    "CREATE INDEX x IF NOT EXISTS FOR (n:Model) ON (n.name)",
    "CREATE CONSTRAINT x IF NOT EXISTS FOR (n:Model) REQUIRE n.name IS UNIQUE",
    "DROP CONSTRAINT model_id IF EXISTS",
    "CREATE USER eve SET PASSWORD 'secret-pw'",
    "ALTER CURRENT USER SET PASSWORD FROM 'a' TO 'b'",
    "UNWIND range(1, 10) AS i CALL { WITH i CREATE (:Model {id: toString(i)}) } IN TRANSACTIONS OF 5 ROWS",
    "LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row",
    "WITH 1 AS a LOAD CSV WITH HEADERS FROM 'http://127.0.0.1:1/x' AS row RETURN row",
    "CALL { LOAD CSV FROM 'file:///etc/passwd' AS row RETURN row } RETURN row",
    "SHOW USERS",
    "SHOW SETTINGS",
    "SHOW TRANSACTIONS",
    "SHOW DATABASES",
    "SHOW CONSTRAINTS",
    "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
    "CALL db.clearQueryCaches()",
    "CALL dbms.killConnections(['bolt-1'])",
    "CALL dbms.listConfig() YIELD name RETURN name",
    "CALL dbms . listConfig()",
    "CALL `dbms`.listConfig()",
    "CALL db.labels() YIELD label CALL dbms.listConfig() YIELD name RETURN name",
    "OPTIONAL CALL dbms.listConfig() YIELD name RETURN name",
    "CALL db.createLabel('x')",
    "CALL apoc.load.json('http://127.0.0.1:1') YIELD value RETURN value",
    "RETURN apoc.cypher.runFirstColumnSingle('RETURN 1', {}) AS a",
    "CALL algo.pageRank({writeProperty: 'rank'})",
    "CALL algo.louvain('Model', 'PERFORMS_LIKE', {writeProperty: 'community'}) YIELD node RETURN node",
    "USE system MATCH (n) RETURN n",
    "STOP DATABASE neo4j",
    "INSERT (:Model {id: 'x'})",
    "SELECT FROM Model",
    "",
    "   // nothing\n",
]
READING = [
    "MATCH (m:Model) RETURN m.id AS id",
    "match (m:Model) where m.name = 'create, set and delete' return m.id as id",
    "MATCH (m:Model {id: $id}) RETURN m.`set` AS a, m.set AS b, {delete: 1} AS c",
    "MATCH (create:Model) RETURN count(*) AS n",
    "OPTIONAL MATCH (m:Model)-[:MEASURED]->(d:Dataset) RETURN count { (m)--() } AS n",
    "UNWIND [1, 2] AS x WITH x WHERE x > 1 RETURN x",
    "MATCH (m:Model) CALL (m) { MATCH (m)-[r:MEASURED]->() RETURN count(r) AS c } RETURN m.id AS id, c",
    "CALL { MATCH (m:Model) RETURN count(m) AS n } RETURN n",
    "CALL db.labels() YIELD label RETURN label",
    "RETURN vector.similarity.cosine([1.0, 0.0], [1.0, 0.0]) AS s, date('2024-01-31') AS d",
    "EXPLAIN MATCH (m:Model) RETURN m",
    "RETURN 'SHOW USERS // LOAD CSV' AS text // SET this",
]


class TestReadingAndWriting:
    def test_what_is_written_is_read(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: $id, tags: $tags})", id="a/b", tags=["nlp", "en"]))
        assert store.read("MATCH (m:Model) RETURN m.id AS id, m.tags AS tags") == [{"id": "a/b", "tags": ["nlp", "en"]}]

    def test_a_write_returns_what_its_work_returns(self, store: Connection) -> None:
        assert store.write(lambda tx: tx.run("CREATE (m:Model {id: 'a'}) RETURN m.id AS id")) == [{"id": "a"}]

    def test_a_write_sees_its_own_changes(self, store: Connection) -> None:
        def work(tx: Transaction) -> int:
            tx.run("CREATE (:Model {id: 'a'})")
            return int(tx.run("MATCH (m:Model) RETURN count(m) AS n")[0]["n"])

        assert store.write(work) == 1

    def test_work_that_raises_leaves_nothing(self, store: Connection) -> None:
        def work(tx: Transaction) -> None:
            tx.run("CREATE (:Model {id: 'a'})")
            raise LookupError("a mistake of the caller")

        with pytest.raises(LookupError, match="a mistake of the caller"):
            store.write(work)
        assert store.read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 0}]
        assert store.version() == 0

    def test_a_write_inside_a_write_is_an_error_and_no_endless_wait(self, store: Connection) -> None:
        with pytest.raises(StoreError, match="write inside a write"):
            store.write(lambda tx: store.write(lambda inner: None))
        store.write(lambda tx: None)

    def test_each_write_raises_the_version_by_one(self, store: Connection) -> None:
        before = store.version()
        for _ in range(3):
            store.write(lambda tx: None)
        assert store.version() == before + 3

    def test_a_key_written_twice_is_an_error_of_ours(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'a'})"))
        with pytest.raises(StoreError):
            store.write(lambda tx: tx.run("CREATE (:Model {id: 'a'})"))

    def test_a_statement_of_ours_that_does_not_parse_is_a_store_error(self, store: Connection) -> None:
        with pytest.raises(StoreError, match="RETUR"):
            store.read("RETUR 1")

    def test_nodes_relationships_and_paths_come_as_plain_values(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'a'})-[:MEASURED {value: 0.5}]->(:Dataset {id: 'd'})"))
        row = store.read("MATCH p = (m:Model)-[r:MEASURED]->(d) RETURN m, r, p, [d] AS ds, {m: m} AS map")[0]
        model, result = {"_labels": ["Model"], "id": "a"}, {"_type": "MEASURED", "value": 0.5}
        dataset = {"_labels": ["Dataset"], "id": "d"}
        assert row == {"m": model, "r": result, "p": [model, result, dataset], "ds": [dataset], "map": {"m": model}}

    def test_date_times_keep_their_moment_and_carry_a_zone(self, store: Connection) -> None:
        zone = datetime.timezone(datetime.timedelta(hours=2))
        moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=zone)
        store.write(lambda tx: tx.run("CREATE (:Run {id: 'r', started: $moment})", moment=moment))
        started = store.read("MATCH (r:Run) RETURN r.started AS started")[0]["started"]
        assert started == moment
        assert started.tzinfo is not None

    def test_any_text_comes_back_as_it_was(self, store: Connection) -> None:
        texts = [
            "naïve Größe",
            "模型/数据",
            "🦓👩‍👩‍👧",
            "e\u0301",
            "'; MATCH (n) DETACH DELETE n //",
            '"\\n\t`$x`',
            "\u202eabc",
            "",
        ]
        store.write(lambda tx: tx.run("UNWIND $texts AS t CREATE (:Model {id: t})", texts=texts))
        assert sorted(row["id"] for row in store.read("MATCH (m:Model) RETURN m.id AS id")) == sorted(texts)

    def test_parameters_of_twenty_megabytes_go_through_and_come_back(self, store: Connection) -> None:
        numbers = [float(i) + 0.5 for i in range(1_000_000)]
        text = "x" * 12_000_000
        row = store.read("RETURN $numbers AS numbers, $text AS text", numbers=numbers, text=text)[0]
        assert row["numbers"] == numbers
        assert row["text"] == text

    def test_a_batch_of_five_thousand_rows_is_one_write(self, store: Connection) -> None:
        rows = [{"id": f"m{i}", "n": i} for i in range(5000)]
        store.write(lambda tx: tx.run("UNWIND $rows AS r CREATE (:Model {id: r.id, n_parameters: r.n})", rows=rows))
        assert store.read("MATCH (m:Model) RETURN count(m) AS n, sum(m.n_parameters) AS s") == [
            {"n": 5000, "s": sum(range(5000))}
        ]

    @pytest.mark.parametrize("value", [object(), 2**70, "\ud800", {1: "a"}], ids=["object", "int", "text", "map"])
    def test_a_value_no_graph_can_hold_is_an_input_error(self, store: Connection, value: object) -> None:
        for run in (
            lambda: store.read("RETURN $x AS x", x=value),
            lambda: store.query("RETURN $x AS x", {"x": value}),
            lambda: store.write(lambda tx: tx.run("CREATE (:Model {id: 'a', x: $x})", x=value)),
        ):
            with pytest.raises(InputError, match="cannot be sent"):
                run()
        assert store.read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 0}]


class TestConcurrentWriters:
    def test_no_increment_of_eight_threads_is_lost(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'counter', n: 0})"))
        before = store.version()

        def raise_ten_times() -> None:
            for _ in range(10):
                store.write(lambda tx: tx.run("MATCH (m:Model {id: 'counter'}) SET m.n = m.n + 1"))

        run_together([raise_ten_times] * 8)
        assert store.read("MATCH (m:Model) RETURN m.n AS n") == [{"n": 80}]
        assert store.version() == before + 80

    def test_a_value_read_in_a_write_is_still_true_when_it_commits(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'counter', n: 0})"))

        def read_then_set(tx: Transaction) -> None:
            n = tx.run("MATCH (m:Model {id: 'counter'}) RETURN m.n AS n")[0]["n"]
            tx.run("MATCH (m:Model {id: 'counter'}) SET m.n = $n", n=n + 1)

        run_together([lambda: [store.write(read_then_set) for _ in range(10)]] * 4)
        assert store.read("MATCH (m:Model) RETURN m.n AS n") == [{"n": 40}]

    def test_two_imports_of_the_same_rows_at_once_make_no_doubles(
        self, store: Connection, zoo_address: "Address"
    ) -> None:
        ids = [f"r{i}" for i in range(300)]
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'm'}), (:Dataset {id: 'd'})"))

        def ingest(tx: Transaction, batch: list[str]) -> None:
            known = tx.run("MATCH (:Model {id: 'm'})-[r:MEASURED]->() RETURN collect(r.id) AS ids")[0]["ids"]
            tx.run(
                "UNWIND $ids AS id MATCH (m:Model {id: 'm'}), (d:Dataset {id: 'd'})"
                " CREATE (m)-[:MEASURED {id: id}]->(d)",
                ids=sorted(set(batch) - set(known)),
            )

        def importer() -> None:
            with zoo_address.open() as connection:
                for start in range(0, len(ids), 50):
                    batch = ids[start : start + 50]
                    connection.write(lambda tx, batch=batch: ingest(tx, batch))  # type: ignore[misc]

        run_together([importer, importer])
        found = store.read("MATCH ()-[r:MEASURED]->() RETURN count(r) AS n, count(DISTINCT r.id) AS ids")
        assert found == [{"n": 300, "ids": 300}]

    def test_two_who_merge_new_keys_at_once_make_each_once(self, store: Connection) -> None:
        merge = "UNWIND range(0, 99) AS i MERGE (m:Model {id: 'm' + toString(i)})"
        run_together([lambda: store.write(lambda tx: tx.run(merge))] * 4)
        assert store.read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 100}]


class TestUsersQueries:
    def test_rows_come_with_their_columns_in_order(self, store: Connection) -> None:
        rows = store.query("UNWIND [2, 1] AS x RETURN x AS id, 'n' AS name", {})
        assert rows.columns == ("id", "name")
        assert list(rows) == [{"id": 2, "name": "n"}, {"id": 1, "name": "n"}]
        assert rows.cut is False

    def test_no_rows_are_no_error(self, store: Connection) -> None:
        rows = store.query("MATCH (m:Model) RETURN m.id AS id", {})
        assert (list(rows), rows.cut) == ([], False)

    def test_rows_are_cut_at_their_maximum_and_say_so(self, store: Connection) -> None:
        rows = store.query("UNWIND range(1, 5000) AS x RETURN x", {}, max_rows=3)
        assert ([row["x"] for row in rows], rows.cut) == ([1, 2, 3], True)
        rows = store.query("UNWIND range(1, 3) AS x RETURN x", {}, max_rows=3)
        assert ([row["x"] for row in rows], rows.cut) == ([1, 2, 3], False)

    def test_parameters_are_values_never_cypher(self, store: Connection) -> None:
        hostile = "' DETACH DELETE n //"
        assert store.query("RETURN $x AS x", {"x": hostile})[0] == {"x": hostile}

    @pytest.mark.parametrize("cypher", READING)
    def test_a_reading_statement_runs(self, store: Connection, cypher: str) -> None:
        store.query(cypher, {"id": "a"})

    @pytest.mark.parametrize("cypher", HOSTILE)
    def test_a_hostile_statement_is_refused(self, store: Connection, cypher: str) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'kept'})"))
        with pytest.raises(QueryRefusedError):
            store.query(cypher, {})
        assert store.read("MATCH (m:Model) RETURN m.id AS id") == [{"id": "kept"}]

    @pytest.mark.parametrize(
        "cypher",
        [
            "CREATE (:Model {id: 'x'})",
            "MATCH (n) DETACH DELETE n",
            "MATCH (n) SET n.id = 'x'",
            "CREATE INDEX x IF NOT EXISTS FOR (n:Model) ON (n.name)",
            "DROP CONSTRAINT model_id",
        ],
    )
    def test_the_store_itself_refuses_to_write_for_a_user(
        self, store: Connection, cypher: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("zoo_graph.store.statements.check", lambda cypher: None)
        with pytest.raises(QueryRefusedError):
            store.query(cypher, {})
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'a'})"))
        with pytest.raises(StoreError):
            store.write(lambda tx: tx.run("CREATE (:Model {id: 'a'})"))

    @pytest.mark.parametrize("limits", [{"seconds": 0}, {"seconds": float("nan")}, {"max_rows": -1}])
    def test_a_limit_that_is_none_is_an_input_error(self, store: Connection, limits: dict[str, float]) -> None:
        with pytest.raises(InputError, match="got limits of"):
            store.query("RETURN 1 AS x", {}, **limits)  # type: ignore[arg-type]

    def test_a_mistake_is_refused_in_the_stores_words(self, store: Connection) -> None:
        with pytest.raises(QueryRefusedError, match="RETUR"):
            store.query("MATCH (n) RETUR n", {})
        with pytest.raises(QueryRefusedError, match="missing"):
            store.query("RETURN $missing AS x", {})

    def test_a_long_match_ends_at_its_limit(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("UNWIND range(1, 3000) AS i CREATE (:Model {id: toString(i), n: i})"))
        start = time.monotonic()
        with pytest.raises(QueryLimitError):
            store.query(
                "MATCH (a:Model), (b:Model), (c:Model) WHERE a.n + b.n = c.n + 0.5 RETURN count(*)", {}, seconds=1
            )
        assert time.monotonic() - start < 4
        assert store.query("RETURN 1 AS x", {})[0] == {"x": 1}

    def test_a_statement_that_eats_memory_ends_and_the_store_goes_on(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: 'kept'})"))
        with pytest.raises(QueryLimitError):
            store.query("RETURN reduce(s = 'a', x IN range(1, 40) | s + s) AS s", {}, seconds=20)
        assert store.read("MATCH (m:Model) RETURN m.id AS id") == [{"id": "kept"}]


class TestOpening:
    def test_opening_again_changes_nothing(self, store: Connection, zoo_address: "Address") -> None:
        before = store.version()
        with zoo_address.open() as again:
            assert again.version() == before

    def test_a_connection_knows_what_it_is(self, store: Connection, zoo_address: "Address") -> None:
        assert store.uri == zoo_address.where
        assert store.embedded is (store.folder is not None)
        assert store.embedded is not zoo_address.where.startswith("bolt")

    def test_a_closed_connection_says_so(self, zoo_address: "Address") -> None:
        connection = zoo_address.open()
        connection.close()
        connection.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            connection.read("RETURN 1 AS x")


def run_together(works: list[Callable[[], object]]) -> None:
    """Run each in a thread; raise the first error of any."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
