"""Query texts: the text of the query that a statement holds, for which the server prints what it understands.

It prints that for queries alone (SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE). Out of EXPLAIN, DECLARE, PREPARE, COPY and what
makes tables and views of a query, the query is cut between tokens of PostgreSQL's own scanner. A cut is proved: parsed by itself it must
give the tree that the whole statement has in that place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from querywarden.model.facts import StatementFacts, Unanalysable, Verb
from querywarden.postgresql.analysis.parse import Node, parse, placed_tokens

CUT_BYTES_MAX = 64 * 1024
"""A text that a query is cut out of, which takes about a tenth of a microsecond for each byte; a query itself may be of any size."""

PARAMETERS = "querywarden parameters"
"""The name of the CTE that gives the parameters of a prepared statement their declared types."""

_WHOLE = frozenset({Verb.SELECT, Verb.INSERT, Verb.UPDATE, Verb.DELETE, Verb.MERGE})
_HOLDING = frozenset({Verb.EXPLAIN, Verb.DECLARE, Verb.PREPARE, Verb.CREATE, Verb.COPY_OUT})
_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_PLACES = frozenset(
    {
        "location", "arg_location", "name_location", "type_location", "stmt_location", "stmt_len", "list_start", "list_end",
        "rexpr_list_start", "rexpr_list_end",
    }
)  # fmt: skip
"""Fields that say where in the text a node stands, and nothing else."""

_OPEN, _CLOSE, _DOT = "ASCII_40", "ASCII_41", "ASCII_46"
_PART = "\0"
"""Where the query stands in a frame of text around it; no text has this sign."""
_BEFORE_TABLE = frozenset({"TEMPORARY", "TEMP", "LOCAL", "GLOBAL", "UNLOGGED", "TABLE"})


@dataclass(frozen=True, slots=True)
class QueryText:
    """The text of a query, in bytes. Secrets: it has the literals of its statement.

    `is_whole`: it is the statement itself, not a part of it. `has_own_parameters`: it is a prepared statement's, and what the client said
    of parameters' types doesn't hold for it. `omits_generated`: it has all columns of a relation that is copied, though COPY leaves the
    generated ones out.
    """

    text: bytes
    is_whole: bool
    has_own_parameters: bool = False
    omits_generated: bool = False


class _NoCut(Exception):
    """The query can't be cut out."""


def query_texts(text: bytes, facts: StatementFacts) -> QueryText | None:
    """The query in the text of one statement, which may have comments and semicolons around it.

    Returns: None where there is no query in it, as in EXECUTE, or where it can't be cut out for certain.
    """
    if facts.verb in _WHOLE:
        return QueryText(text.rstrip(b"; \t\r\n\f\v"), is_whole=True)
    if facts.verb not in _HOLDING or len(text) > CUT_BYTES_MAX:
        return None
    parsed = parse(text)
    if isinstance(parsed, Unanalysable) or len(parsed) != 1:
        return None
    try:
        found, expected = _Cut(text.decode(), parsed[0][0]).cut()
        again = parse(found.text)
    except (_NoCut, KeyError, ValueError, TypeError, IndexError, AttributeError):
        # The last ones: a tree of a shape that isn't expected.
        return None
    if isinstance(again, Unanalysable) or len(again) != 1 or not is_same_tree(expected, again[0][0]):
        return None
    return found


def is_same_tree(left: Any, right: Any) -> bool:
    """Whether two parse trees are equal but for the places in the text."""
    stack = [(left, right)]
    while stack:
        one, other = stack.pop()
        if type(one) is not type(other):
            return False
        if type(one) is dict:
            names = one.keys() - _PLACES
            if names != other.keys() - _PLACES:
                return False
            stack += [(one[name], other[name]) for name in names]
        elif type(one) is list:
            if len(one) != len(other):
                return False
            stack += zip(one, other, strict=True)
        elif one != other:
            return False
    return True


class _Cut:
    """A statement's tokens and the part of them, with its tree, that has been reached."""

    def __init__(self, text: str, tree: Node) -> None:
        self.text = text
        self.tree = tree
        self.tokens = placed_tokens(text)
        while self.tokens and self.tokens[-1][0] == "ASCII_59":
            self.tokens.pop()
        while self.tokens and self.tokens[0][0] == "ASCII_59":
            self.tokens.pop(0)
        self.first, self.end = 0, len(self.tokens)
        self.types: list[Node] = []
        self.is_prepared = False
        self.frame = _PART

    def cut(self) -> tuple[QueryText, Node]:
        """The text and the tree that it must have."""
        while True:
            ((kind, body),) = self.tree.items()
            if kind in _QUERIES:
                break
            if kind == "CopyStmt" and "relation" in body:
                return _copied_relation(body)
            opened = _OPENERS.get(kind)
            if opened is None:
                raise _NoCut
            opened(self, body)
            if "query" not in body:
                raise _NoCut
            self.tree = body["query"]
        text = self.frame.replace(_PART, self._without_into(), 1)
        if self.types:
            text = self._with_types(text)
        return QueryText(text.encode(), is_whole=False, has_own_parameters=self.is_prepared), self.tree

    def _names(self, first: int, end: int) -> list[str]:
        return [name for name, _, _ in self.tokens[max(first, 0) : end]]

    def _skip_to(self, name: str) -> None:
        """Go behind the first token of this name that stands outside of parentheses."""
        depth = 0
        for index in range(self.first, self.end):
            token = self.tokens[index][0]
            if token == _OPEN:
                depth += 1
            elif token == _CLOSE:
                depth -= 1
            elif token == name and depth == 0:
                self.first = index + 1
                return
        raise _NoCut

    def _closing(self, opening: int) -> int:
        """The token that closes a parenthesis."""
        depth = 0
        for index in range(opening, self.end):
            depth += {_OPEN: 1, _CLOSE: -1}.get(self.tokens[index][0], 0)
            if depth == 0:
                return index
        raise _NoCut

    def _drop_end(self, *endings: tuple[str, ...]) -> None:
        """Leave out one of these rows of tokens where the part ends with it."""
        for ending in endings:
            if self._names(self.end - len(ending), self.end) == list(ending):
                self.end -= len(ending)
                return

    def open_explain(self, body: Node) -> None:
        """EXPLAIN (options) query, or EXPLAIN ANALYZE VERBOSE query."""
        self.first += 1
        if "options" in body and self.tokens[self.first][0] == _OPEN:
            self.first = self._closing(self.first) + 1
            return
        while self.tokens[self.first][0] in ("ANALYZE", "ANALYSE", "VERBOSE"):
            self.first += 1

    def open_declare(self, _body: Node) -> None:
        """DECLARE name CURSOR FOR query."""
        self._skip_to("CURSOR")
        self._skip_to("FOR")

    def open_prepare(self, body: Node) -> None:
        """PREPARE name (types) AS query."""
        self._skip_to("AS")
        self.is_prepared = True
        self.types = body.get("argtypes", [])

    def open_table(self, _body: Node) -> None:
        """CREATE TABLE or MATERIALIZED VIEW … AS query WITH NO DATA."""
        self._skip_to("AS")
        self._drop_end(("WITH", "NO", "DATA_P"), ("WITH", "DATA_P"))

    def open_view(self, body: Node) -> None:
        """CREATE VIEW … AS query WITH CHECK OPTION; RECURSIVE stands for a query around that."""
        start = self.first
        self._skip_to("VIEW")
        if "RECURSIVE" in self._names(start, self.first):
            name, columns = _quoted(body["view"]["relname"]), ", ".join(_quoted(item["String"]["sval"]) for item in body["aliases"])
            self.frame = f"WITH RECURSIVE {name} ({columns}) AS ({_PART}) SELECT {columns} FROM {name}"  # noqa: S608 - names are quoted
        self._skip_to("AS")
        self._drop_end(*(("WITH", *scope, "CHECK", "OPTION") for scope in ((), ("CASCADED",), ("LOCAL",))))

    def open_copy(self, _body: Node) -> None:
        """COPY (query) TO."""
        opening = self.first + 1
        if self.tokens[opening][0] != _OPEN:
            raise _NoCut
        self.first, self.end = opening + 1, self._closing(opening)

    def _without_into(self) -> str:
        """The text of the part, without INTO and the table that it names; the tree then has none either."""
        start, end = self.tokens[self.first][1], self.tokens[self.end - 1][2]
        ((kind, body),) = self.tree.items()
        into = _leftmost(body).get("intoClause") if kind == "SelectStmt" else None
        if into is None:
            return self.text[start:end]
        self.tree = {kind: _without_clause(body)}
        place = len(self.text.encode()[: into["rel"]["location"]].decode())
        index = [start for _, start, _ in self.tokens].index(place)
        before = index - 1
        while self.tokens[before][0] in _BEFORE_TABLE:
            before -= 1
        while self._names(index + 1, index + 2) == [_DOT]:
            index += 2
        if self.tokens[before][0] != "INTO":
            raise _NoCut
        return f"{self.text[start : self.tokens[before][1]]} {self.text[self.tokens[index][2] : end]}"

    def _with_types(self, text: str) -> str:
        """The query behind a CTE that is analysed first and settles the types of the parameters, whose names and uses stay as they are.

        A cast in each place would do so too, but would change the names of outputs.
        """
        if PARAMETERS in text:
            raise _NoCut
        casts = ", ".join(f"CAST(${number} AS {_type_text(item['TypeName'])})" for number, item in enumerate(self.types, 1))
        cte = f'"{PARAMETERS}" AS (SELECT {casts})'
        parsed = parse(f"WITH {cte} SELECT 1".encode())
        if isinstance(parsed, Unanalysable):
            raise _NoCut
        own = parsed[0][0]["SelectStmt"]["withClause"]
        ((kind, body),) = self.tree.items()
        clause = body.get("withClause")
        self.tree = {kind: {**body, "withClause": own if clause is None else {**clause, "ctes": own["ctes"] + clause["ctes"]}}}
        if clause is None:
            return f"WITH {cte} {text}"
        start = self.tokens[self.first][1]
        words = 2 if clause.get("recursive") else 1
        if self._names(self.first, self.first + words) != ["WITH", "RECURSIVE"][:words]:
            raise _NoCut
        rest = self.tokens[self.first + words][1] - start
        return f"{text[:rest]}{cte}, {text[rest:]}"


_OPENERS = {
    "ExplainStmt": _Cut.open_explain,
    "DeclareCursorStmt": _Cut.open_declare,
    "PrepareStmt": _Cut.open_prepare,
    "CreateTableAsStmt": _Cut.open_table,
    "ViewStmt": _Cut.open_view,
    "CopyStmt": _Cut.open_copy,
}


def _leftmost(body: Node) -> Node:
    """The first of the queries that a set operation is made of: where INTO stands."""
    while "larg" in body:
        body = body["larg"]
    return body


def _without_clause(body: Node) -> Node:
    """A query's tree without the INTO of its first part."""
    if "larg" in body:
        return {**body, "larg": _without_clause(body["larg"])}
    return {name: value for name, value in body.items() if name != "intoClause"}


def _copied_relation(body: Node) -> tuple[QueryText, Node]:
    """COPY relation (columns) TO, as the query that reads the same."""
    if body.get("is_from"):
        raise _NoCut
    relation = body["relation"]
    names = [relation[part] for part in ("catalogname", "schemaname", "relname") if part in relation]
    columns = [item["String"]["sval"] for item in body.get("attlist", ())]
    listed = ", ".join(map(_quoted, columns)) or "*"
    text = f"SELECT {listed} FROM ONLY {'.'.join(map(_quoted, names))}"  # noqa: S608 - names are quoted
    fields: list[Node] = [{"String": {"sval": name}} for name in columns]
    expected: Node = {
        "SelectStmt": {
            "targetList": [{"ResTarget": {"val": {"ColumnRef": {"fields": [field]}}}} for field in fields or [{"A_Star": {}}]],
            "fromClause": [{"RangeVar": {name: value for name, value in relation.items() if name != "inh"}}],
            "limitOption": "LIMIT_OPTION_DEFAULT",
            "op": "SETOP_NONE",
        }
    }
    return QueryText(text.encode(), is_whole=False, omits_generated=not columns), expected


def _type_text(type_name: Node) -> str:
    """A declared parameter type as SQL; a length is left out, as PREPARE does."""
    names = [item["String"]["sval"] for item in type_name["names"]]
    if type_name.get("setof") or type_name.get("pct_type") or names[-1] == "unknown":
        raise _NoCut
    return ".".join(map(_quoted, names)) + "[]" * len(type_name.get("arrayBounds", ()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
