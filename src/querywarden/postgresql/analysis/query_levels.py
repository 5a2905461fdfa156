"""Query levels: the queries of a tree with what is around them, and the calls of functions whose bodies are queries."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from querywarden.postgresql.analysis.node_tree import Node, NodeTreeError, unescaped
from querywarden.postgresql.analysis.value_flow import NOTHING, Flow


class Command(IntEnum):
    """What a query does, as its tree says by number."""

    SELECT = 1
    UPDATE = 2
    INSERT = 3
    DELETE = 4
    MERGE = 5


class Call:
    """A call of a function whose body is followed: its arguments, and the functions that it stands in."""

    __slots__ = ("arguments", "function", "inside", "levels", "name")

    def __init__(self, function: int, name: str, arguments: tuple[Flow, ...], around: Call | None) -> None:
        self.function = function
        self.name = name
        self.arguments = arguments
        self.inside: frozenset[int] = frozenset({function}) if around is None else around.inside | {function}
        self.levels: list[Level] = []
        """The queries of the body, with those that rules have added or put in their place."""

    def answering(self) -> Level | None:
        """The query whose outputs are the result; None where a rule has left none."""
        return next((level for level in reversed(self.levels) if level.query.flag("canSetTag")), None)


class Recursion:
    """What is known of a recursive CTE's columns: while they are found, a guess."""

    __slots__ = ("guess",)

    def __init__(self, columns: Iterable[int]) -> None:
        self.guess: dict[int, Flow] = dict.fromkeys(columns, NOTHING)


class Level:
    """A query, the level around it, and what has been found of it already.

    `is_clients`: its conditions are the statement's own, neither a view's nor a policy's. `call`: the call of the function whose body
    it is part of.
    """

    __slots__ = (
        "arms", "call", "calls", "columns", "command", "entries", "excluded", "flows", "inner", "is_clients", "outer", "outputs", "query",
        "recursions", "subqueries",
    )  # fmt: skip

    def __init__(self, query: Node, outer: Level | None, call: Call | None, is_clients: bool) -> None:
        self.query = query
        self.outer = outer
        self.call = call
        self.is_clients = is_clients
        self.command = _command(query)
        self.entries = query.nodes("rtable")
        self.outputs = _outputs(query, self.command)
        self.arms: list[int] = []
        if query.node("setOperations") is not None:
            self.arms = [leaf for leaf, _ in set_operation_arms(query)]
        conflict = query.node("onConflict")
        self.excluded = conflict.number("exclRelIndex") if conflict is not None else 0
        self.flows: dict[int, Flow] = {}
        self.columns: dict[tuple[int, int], Flow] = {}
        self.inner: dict[int, Level] = {}
        self.calls: dict[int, Call] = {}
        self.recursions: dict[int, Recursion] = {}
        self.subqueries: dict[int, Node] | None = None

    def up(self, levels: int) -> Level:
        """The level that many levels further out. Raises: NodeTreeError."""
        found: Level | None = self
        while levels > 0 and found is not None:
            found, levels = found.outer, levels - 1
        if found is None or levels < 0:
            raise NodeTreeError("a level that isn't there")
        return found

    def entry(self, number: int) -> Node:
        """An entry of the range table, from 1. Raises: NodeTreeError."""
        if not 0 < number <= len(self.entries):
            raise NodeTreeError("a range table entry that isn't there")
        return self.entries[number - 1]

    def below(self, query: Node, *, is_clients: bool = True) -> Level:
        """The level of a query in this one. Raises: NodeTreeError."""
        found = self.inner.get(id(query))
        if found is None:
            found = self.inner[id(query)] = Level(query, self, self.call, self.is_clients and is_clients)
        return found

    def common_table(self, name: str) -> Node:
        """A CTE of this level by its name as printed. Raises: NodeTreeError."""
        # Line breaks may stand for spaces in what the server prints: names that differ in that alone can't be told apart.
        flat = name.replace("\n", " ")
        found = [table for table in self.query.nodes("cteList") if table.word("ctename").replace("\n", " ") == flat]
        if len(found) != 1:
            raise NodeTreeError("a common table that isn't there")
        return found[0]

    def sorted_by(self, reference: int) -> Node:
        """The expression that a sort or group clause refers to. Raises: NodeTreeError."""
        for target in self.query.nodes("targetList"):
            if target.number("ressortgroupref") == reference:
                return target.the("expr")
        raise NodeTreeError("a sort key that isn't there")

    def window(self, reference: int) -> Node:
        """A window clause. Raises: NodeTreeError."""
        for window in self.query.nodes("windowClause"):
            if window.number("winref") == reference:
                return window
        raise NodeTreeError("a window that isn't there")

    def multiple_assignment(self, number: int) -> Level:
        """The sub-query of `(a, b) = (SELECT …)`. Raises: NodeTreeError."""
        if self.subqueries is None:
            self.subqueries = {}
            conflict = self.query.node("onConflict")
            targets = [*self.query.nodes("targetList"), *(conflict.nodes("onConflictSet") if conflict is not None else ())]
            for action in self.merge_actions():
                targets += action.nodes("targetList")
            for target in targets:
                value = target.node("expr")
                if value is not None and value.type == "SUBLINK":
                    self.subqueries[value.number("subLinkId")] = value.the("subselect")
        found = self.subqueries.get(number)
        if found is None:
            raise NodeTreeError("a sub-query that isn't there")
        return self.below(found)

    def merge_actions(self) -> list[Node]:
        """The actions of a MERGE."""
        return self.query.nodes("mergeActionList")

    def written(self) -> Node | None:
        """The entry of the relation that the query writes."""
        number = self.query.number("resultRelation")
        return self.entry(number) if number and self.command is not Command.SELECT else None

    def view(self, entry: Node, query: Node) -> int:
        """The id of the view that a sub-query in FROM stands for; 0 for the client's own sub-queries."""
        if entry.fields.get("relid") is not None:
            return entry.number("relid")
        # Up to PostgreSQL 15 a view's query begins with two entries for the view itself, which are in nobody's FROM.
        first = query.nodes("rtable")[:2]
        if len(first) < 2 or any(item.number("rtekind") != 0 or item.word("relkind") != "v" for item in first):
            return 0
        names = [item.the("eref").word("aliasname") for item in first]
        views = {item.number("relid") for item in first}
        return views.pop() if names == ["old", "new"] and len(views) == 1 else 0


def _command(query: Node) -> Command:
    number = query.number("commandType")
    # PostgreSQL 14 has no MERGE, and gives its number to what isn't a query.
    if query.node("utilityStmt") is not None or number not in (1, 2, 3, 4, 5) or (number == 5 and "mergeActionList" not in query.fields):
        raise NodeTreeError("utility")
    return Command(number)


def _outputs(query: Node, command: Command) -> dict[int, Node]:
    """The entries that make the result, by number."""
    entries = query.nodes("targetList" if command is Command.SELECT else "returningList")
    return {entry.number("resno"): entry for entry in entries if not entry.flag("resjunk")}


def output_name(entry: Node) -> str:
    """The name of an output, as the server gives it."""
    name = entry.fields.get("resname")
    return unescaped(name) if type(name) is str and name != '""' else ""


def set_operation_arms(query: Node) -> list[tuple[int, bool]]:
    """The entries of a set operation's arms, and of each whether UNION ALL alone joins it to the others. Raises: NodeTreeError."""
    found: list[tuple[int, bool]] = []
    pending: list[tuple[Node, bool]] = [(query.the("setOperations"), True)]
    while pending:
        node, is_all = pending.pop()
        if node.type == "RANGETBLREF":
            found.append((node.number("rtindex"), is_all))
        elif node.type == "SETOPERATIONSTMT":
            is_union_all = node.number("op") == 1 and node.flag("all")
            pending += [(node.the("rarg"), is_all and is_union_all), (node.the("larg"), is_all and is_union_all)]
        else:
            raise NodeTreeError(f"{node.type} in a set operation")
    return found
