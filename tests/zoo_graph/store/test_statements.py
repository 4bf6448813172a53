import pytest

from zoo_graph.errors import QueryRefusedError
from zoo_graph.store import statements


def words(cypher: str) -> list[str]:
    return [token.text for token in statements.tokenize(cypher)]


def test_comments_are_no_tokens_and_texts_are_one() -> None:
    assert words("RETURN 'a // b' /* x\ny */ AS `odd ``name` // end") == ["RETURN", "'a // b'", "AS", "`odd ``name`"]


def test_a_quote_behind_a_backslash_does_not_end_a_text() -> None:
    assert words(r"RETURN 'it\'s', 'end\\' AS x") == ["RETURN", r"'it\'s'", ",", r"'end\\'", "AS", "x"]


def test_what_is_left_open_reaches_to_the_end() -> None:
    assert words("RETURN 'open DELETE") == ["RETURN", "'open DELETE"]
    assert words("RETURN 1 /* open DELETE") == ["RETURN", "1"]


@pytest.mark.parametrize("word", sorted(statements.REFUSED_WORDS))
def test_each_refused_word_is_found_in_any_case_and_place(word: str) -> None:
    for cypher in (f"MATCH (n) {word} n", f"WITH 1 AS x\n{word.lower()}\tx", f"CALL {{ {word.title()} x }} RETURN 1"):
        with pytest.raises(QueryRefusedError, match=word):
            statements.check(cypher)


@pytest.mark.parametrize("word", sorted(statements.REFUSED_WORDS))
def test_each_refused_word_may_be_a_name(word: str) -> None:
    low = word.lower()
    statements.check(
        f"MATCH (n:{low})-[r:{word}]->() WHERE n.{low} = ${low} RETURN n.`{low}` AS `{low}`, {{{low}: 1}} AS m"
    )


@pytest.mark.parametrize(
    "cypher", ["MATCH (n) WITH 1.SET n.x = 2", "MATCH (n) WITH 1 .LOAD CSV FROM 'x' AS r RETURN r"]
)
def test_a_number_has_no_properties(cypher: str) -> None:
    with pytest.raises(QueryRefusedError):
        statements.check(cypher)


def test_the_message_says_what_was_got_what_is_wanted_and_what_to_do() -> None:
    with pytest.raises(QueryRefusedError, match=r"CREATE; wanted .* only reads: write through `zoo import`"):
        statements.check("MATCH (n) CREATE (m)")
    with pytest.raises(QueryRefusedError, match=r"CALL gds\.graph\.drop; wanted .*: one of db\.labels"):
        statements.check("CALL gds.graph.drop('x')")
    with pytest.raises(QueryRefusedError, match=r"starts with 'SELECT'.*MATCH"):
        statements.check("SELECT 1")
    with pytest.raises(QueryRefusedError, match=r"apoc\.text\.join\(\.\.\.\).*vector"):
        statements.check("RETURN apoc.text.join(['a'], ',')")
