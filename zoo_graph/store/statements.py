"""Which Cypher a user may send: one reading statement. Knows tokens, no grammar and no store.

The stores refuse writes themselves (a read-only login, a READ transaction); this check is for what they let through:
files and addresses read by LOAD CSV, SHOW and TERMINATE, procedures that act on the server.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from zoo_graph.errors import QueryRefusedError

OPENING_WORDS = frozenset({"MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL", "EXPLAIN", "PROFILE"})
# Words that start a clause no reading statement has.
REFUSED_WORDS = frozenset({
    "ALTER", "CREATE", "DEALLOCATE", "DELETE", "DENY", "DETACH", "DROP", "ENABLE", "FOREACH", "GRANT", "INSERT", "LOAD",
    "MERGE", "NODETACH", "REALLOCATE", "REMOVE", "RENAME", "REVOKE", "SET", "SHOW", "TERMINATE", "TRANSACTIONS", "USE",
})  # fmt: skip
ALLOWED_PROCEDURES = frozenset({
    "db.labels", "db.propertykeys", "db.relationshiptypes",
    "db.schema.nodetypeproperties", "db.schema.reltypeproperties", "db.schema.visualization",
})  # fmt: skip
# First parts of the dotted names of built-in functions.
ALLOWED_NAMESPACES = frozenset({
    "date", "datetime", "duration", "localdatetime", "localtime", "math", "point", "text", "time", "vector",
})  # fmt: skip
TOKEN = re.compile(
    r"""(?P<comment>//[^\n\r]*|/\*.*?(?:\*/|\Z))
    |(?P<string>'(?:\\.|[^'\\])*(?:'|\Z)|"(?:\\.|[^"\\])*(?:"|\Z))
    |(?P<quoted>`(?:``|[^`])*(?:`|\Z))
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>\S)""",
    re.VERBOSE | re.DOTALL,
)
UNICODE_ESCAPE = re.compile(r"\\u+[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a statement that is neither space nor comment; `kind` is one of TOKEN's groups."""

    kind: str
    text: str


def check(cypher: str) -> None:
    """Pass a statement that only reads, and only the graph.

    Raises:
        QueryRefusedError: it is empty, or a word, procedure or function in it is not allowed; the message names it.
    """
    if UNICODE_ESCAPE.search(cypher):
        raise _refusal("an escape like \\u0041", "plain characters", "write the character itself")
    tokens = tokenize(cypher)
    if not tokens:
        raise _refusal("no statement", "one that reads the graph", "start it with MATCH or RETURN")
    if tokens[0].text.upper() not in OPENING_WORDS:
        raise _refusal(
            f"a statement that starts with {tokens[0].text!r}",
            "one that reads the graph",
            f"start it with one of {', '.join(sorted(OPENING_WORDS))}",
        )
    _check_words(tokens)
    _check_calls(tokens)


def tokenize(cypher: str) -> list[Token]:
    """Return the statement's tokens without comments; one left open reaches to the end."""
    found = ((match.lastgroup or "", match.group()) for match in TOKEN.finditer(cypher))
    return [Token(kind, text) for kind, text in found if kind != "comment"]


def _check_words(tokens: list[Token]) -> None:
    for place, token in enumerate(tokens):
        if token.kind == "word" and token.text.upper() in REFUSED_WORDS and not _is_name(tokens, place):
            raise _refusal(
                f"{token.text.upper()}",
                "a statement that only reads",
                "write through `zoo import`; if it is a name here, put it in `backticks`",
            )


def _is_name(tokens: list[Token], place: int) -> bool:
    """Whether the word is a property, a parameter, a label or a map's key, so no clause."""
    before = tokens[place - 1].text if place else ""
    after = tokens[place + 1].text if place + 1 < len(tokens) else ""
    if before == ".":
        owner = tokens[place - 2] if place > 1 else Token("sign", "")
        return owner.kind in ("word", "quoted") or owner.text in ")]}"
    return before in ("$", ":") or after == ":"


def _check_calls(tokens: list[Token]) -> None:
    for place, (token, following) in enumerate(pairwise(tokens)):
        if token.text.upper() == "CALL" and token.kind == "word" and not _is_name(tokens, place):
            if following.text not in ("{", "("):
                _check_procedure(_dotted_name(tokens, place + 1))
        elif following.text == "(" and place > 1 and tokens[place - 1].text == ".":
            _check_function(_dotted_name_before(tokens, place))


def _check_procedure(name: str) -> None:
    if name.lower() not in ALLOWED_PROCEDURES:
        raise _refusal(f"CALL {name}", "a procedure that only describes the graph", _one_of(ALLOWED_PROCEDURES))


def _check_function(name: str) -> None:
    called_procedure = name.lower() in ALLOWED_PROCEDURES
    if not called_procedure and name.split(".")[0].lower() not in ALLOWED_NAMESPACES:
        raise _refusal(
            f"{name}(...)", "a function of Cypher itself", f"names may start with {_one_of(ALLOWED_NAMESPACES)}"
        )


def _dotted_name(tokens: list[Token], start: int) -> str:
    end = start + 1
    while end + 1 < len(tokens) and tokens[end].text == ".":
        end += 2
    return "".join(token.text for token in tokens[start:end])


def _dotted_name_before(tokens: list[Token], end: int) -> str:
    start = end
    while start > 1 and tokens[start - 1].text == ".":
        start -= 2
    return "".join(token.text for token in tokens[start : end + 1])


def _one_of(names: frozenset[str]) -> str:
    return f"one of {', '.join(sorted(names))}"


def _refusal(got: str, wanted: str, advice: str) -> QueryRefusedError:
    return QueryRefusedError(f"a query may not hold {got}; wanted {wanted}: {advice}")
