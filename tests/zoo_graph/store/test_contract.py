from zoo_graph.store import Connection


class TestContract:
    def test_what_is_written_is_read(self, store: Connection) -> None:
        store.write(lambda tx: tx.run("CREATE (:Model {id: $id})", id="a/b"))
        assert store.read("MATCH (m:Model) RETURN m.id AS id") == [{"id": "a/b"}]

    def test_the_next_test_finds_an_empty_store(self, store: Connection) -> None:
        assert store.read("MATCH (m:Model) RETURN count(m) AS n") == [{"n": 0}]
        assert store.version() == 0
