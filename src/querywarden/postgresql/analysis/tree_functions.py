"""Functions and operators in node trees: what the catalogue knows of them, and the bodies of those that can be followed."""

from __future__ import annotations

from collections.abc import Mapping

from querywarden.model.catalogue import Catalogue, Function
from querywarden.postgresql.analysis.functions import HARMLESS
from querywarden.postgresql.analysis.node_tree import Node, NodeTree, NodeTreeError, parse_node_tree

_EQUALITIES = frozenset({"=", "<>"})
_EXTENSION_EQUALITIES = frozenset({"citext_eq", "citext_ne", "hstore_eq", "hstore_ne", "ltree_eq", "ltree_ne"})
"""Functions of extensions that are an equality of all of a value."""
_FIRST_OWN_ID = 16384
"""The server's own objects have ids below this one."""
_FOLLOWED_MAX = 200

_FUNCTION_FIELDS = {
    "FUNCEXPR": ("funcid",),
    "OPEXPR": ("opfuncid",),
    "DISTINCTEXPR": ("opfuncid",),
    "NULLIFEXPR": ("opfuncid",),
    "SCALARARRAYOPEXPR": ("opfuncid",),
    "AGGREF": ("aggfnoid",),
    "WINDOWFUNC": ("winfnoid",),
    "TABLESAMPLECLAUSE": ("tsmhandler",),
    "WINDOWCLAUSE": ("startInRangeFunc", "endInRangeFunc"),
}
_OPERATOR_FIELDS = {
    "OPEXPR": ("opno",),
    "DISTINCTEXPR": ("opno",),
    "NULLIFEXPR": ("opno",),
    "SCALARARRAYOPEXPR": ("opno",),
    "SORTGROUPCLAUSE": ("eqop", "sortop"),
    "CTECYCLECLAUSE": ("cycle_mark_neop",),
}


class Functions:
    """The functions and operators of a catalogue, and the bodies of its own functions in SQL.

    `wanted` are the functions whose bodies are text that nobody has asked the server about yet.
    """

    def __init__(self, catalogue: Catalogue, bodies: Mapping[int, str]) -> None:
        self._catalogue = catalogue
        self._bodies = bodies
        self._read: dict[int, NodeTree | None] = {}
        self.wanted: set[int] = set()

    def function(self, number: int) -> Function | None:
        """What is known of a function; None for one that was made since."""
        return self._catalogue.functions.get(number)

    def is_known(self, number: int) -> bool:
        """Whether what a function computes is computed from its arguments alone."""
        found = self._catalogue.functions.get(number)
        return found is not None and not found.is_own

    def name(self, number: int) -> str:
        """The name of a function, or its id where the catalogue doesn't have it."""
        found = self._catalogue.functions.get(number)
        return found.name if found is not None else f"function {number}"

    def is_count(self, number: int) -> bool:
        """Whether it is the server's count."""
        return number < _FIRST_OWN_ID and self.is_known(number) and self.name(number) == "count"

    def of_operator(self, node: Node) -> int:
        """The id of the function of an operation; 0 where the operator isn't known. Raises: NodeTreeError."""
        # Trees that are kept, those of bodies and views, leave the function out.
        return node.number("opfuncid") or self.of_operator_id(node.number("opno"))

    def of_operator_id(self, number: int) -> int:
        """The id of an operator's function; 0 where the operator isn't known."""
        found = self._catalogue.operators.get(number)
        return found.function if found is not None else 0

    def operator_name(self, node: Node) -> str | None:
        """The name of the server's own operator that an operation is of; None for any other. Raises: NodeTreeError."""
        found = self._catalogue.operators.get(node.number("opno"))
        if found is None or not self.is_known(found.function):
            return None
        return found.name if found.is_built_in else None

    def is_equality(self, node: Node) -> bool:
        """Whether an operation asks whether values are the same, and nothing else. Raises: NodeTreeError."""
        found = self._catalogue.operators.get(node.number("opno"))
        if found is None or found.name not in _EQUALITIES or not self.is_known(found.function):
            return False
        return found.is_built_in or self.name(found.function) in _EXTENSION_EQUALITIES

    def body(self, number: int) -> NodeTree | None:
        """The queries of a function's body; None where they aren't known."""
        if number not in self._read:
            self._read[number] = self._body(number) if len(self._read) < _FOLLOWED_MAX else None
        return self._read[number]

    def _body(self, number: int) -> NodeTree | None:
        found = self._catalogue.functions.get(number)
        if found is None or found.body is None:
            return None
        text = found.body.tree if found.body.tree is not None else self._bodies.get(number)
        if text is None:
            if found.body.text is not None:
                self.wanted.add(number)
            return None
        try:
            tree = parse_node_tree(text)
            return tree if tree.queries() and self._is_harmless(tree) else None
        except NodeTreeError:
            return None

    def _is_harmless(self, tree: NodeTree) -> bool:
        """Whether a body calls none of the server's functions that do more than compute: what they read or do isn't seen in a tree."""
        called = (self._catalogue.functions.get(number) for number in self.called_in(tree.nodes))
        return all(each is not None and (each.is_own or each.id >= _FIRST_OWN_ID or each.name in HARMLESS) for each in called)

    def called_in(self, nodes: list[Node]) -> set[int]:
        """The ids of all functions that are called by some nodes; those in them aren't looked at. Raises: NodeTreeError."""
        found: set[int] = set()
        for node in nodes:
            for name in _FUNCTION_FIELDS.get(node.type, ()):
                found.add(node.number(name))
            for name in _OPERATOR_FIELDS.get(node.type, ()):
                found.add(self.of_operator_id(node.number(name)))
            if node.type == "ROWCOMPAREEXPR":
                operators = node.fields["opnos"]
                items = operators[1:] if type(operators) is list else ()
                found.update(self.of_operator_id(int(item)) for item in items if type(item) is str and item.isdecimal())
        return found - {0}

    def reached(self, nodes: list[Node]) -> tuple[set[int], list[Node]]:
        """The functions that some nodes call and those that the bodies of these do, and all nodes. Raises: NodeTreeError."""
        called: set[int] = set()
        pending, every = [nodes], list(nodes)
        while pending:
            new = self.called_in(pending.pop()) - called
            called |= new
            for function in new:
                body = None if self.is_known(function) else self.body(function)
                if body is not None:
                    pending.append(body.nodes)
                    every += body.nodes
        return called, every

    def reached_by(self, function: int) -> tuple[set[int], list[Node]]:
        """The same of a function's body. Raises: NodeTreeError."""
        body = self.body(function)
        return self.reached(body.nodes) if body is not None else (set(), [])
