"""Node trees: the text that PostgreSQL prints of a query's parts, as nodes of Python's own.

`{TYPE :field value …}` is a node, `(…)` a list, `<>` nothing, `4 [ 1 0 0 0 ]` the bytes of a constant; all else is a word, in which a
backslash stands before each character that would mean something. Names in quotes keep their quotes. Reading is strict: what isn't
understood in full is a NodeTreeError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from querywarden.postgresql.analysis.node_fields import ENTRY_FIELDS, NAMES_OF_14, NODE_FIELDS

TREE_BYTES_MAX = 1024 * 1024
"""Characters of a tree, which take some 35 ms to read; a query of the largest views of information_schema has 230,000."""
_DEPTH_MAX = 400
"""Lists and nodes inside each other."""

_WORD = re.compile(r"[(){}]|(?:[^ \n\t(){}\\]+|\\.)+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BYTES = re.compile(r"-?[0-9]{1,3}\Z")

_LINE = 78
"""Characters after which the server breaks a line: at a space before, or, where there is none, in the midst of a word."""


class NodeTreeError(Exception):
    """A tree isn't in the form that PostgreSQL prints, or holds what isn't known; the text has no part of it but names of types."""


class Node:
    """A node: its type, and its fields by name. A field's value is None, a word, a node or a list of those."""

    __slots__ = ("fields", "type")

    def __init__(self, type_name: str) -> None:
        self.type = type_name
        self.fields: dict[str, Value] = {}

    def word(self, name: str) -> str:
        """A field that is a word. Raises: NodeTreeError."""
        value = self.fields.get(name)
        if type(value) is not str:
            raise NodeTreeError(f"{self.type}.{name} is no word")
        return value

    def number(self, name: str) -> int:
        """A field that is a whole number. Raises: NodeTreeError."""
        try:
            return int(self.word(name))
        except ValueError:
            raise NodeTreeError(f"{self.type}.{name} is no number") from None

    def flag(self, name: str) -> bool:
        """A field that is true or false. Raises: NodeTreeError."""
        value = self.fields.get(name)
        if value == "true":
            return True
        if value == "false":
            return False
        raise NodeTreeError(f"{self.type}.{name} is neither true nor false")

    def node(self, name: str) -> Node | None:
        """A field that is a node or nothing. Raises: NodeTreeError."""
        value = self.fields.get(name)
        if value is None or type(value) is Node:
            return value
        raise NodeTreeError(f"{self.type}.{name} is no node")

    def the(self, name: str) -> Node:
        """A field that is a node. Raises: NodeTreeError."""
        value = self.fields.get(name)
        if type(value) is not Node:
            raise NodeTreeError(f"{self.type}.{name} is no node")
        return value

    def nodes(self, name: str) -> list[Node]:
        """A field that is a list of nodes or nothing. Raises: NodeTreeError."""
        value = self.fields.get(name)
        if value is None:
            return []
        if type(value) is list and all(type(item) is Node for item in value):
            return value  # type: ignore[return-value]  # just checked
        raise NodeTreeError(f"{self.type}.{name} is no list of nodes")

    def names(self, name: str) -> list[str]:
        """A field that is a list of names or nothing. Raises: NodeTreeError."""
        value = self.fields.get(name)
        if value is None:
            return []
        if type(value) is not list:
            raise NodeTreeError(f"{self.type}.{name} is no list")
        return [unquoted(item) for item in value]


Value = None | str | Node | list["Value"]


class NodeTree(NamedTuple):
    """What has been read: the items of the list, and every node of it at whatever depth, in the order of the text."""

    items: list[Value]
    nodes: list[Node]

    def queries(self) -> list[Node]:
        """The queries that it is a list of, be they in a list of their own. Raises: NodeTreeError."""
        items = self.items
        while len(items) == 1 and type(items[0]) is list:
            items = items[0]
        found = [item for item in items if type(item) is Node and item.type == "QUERY"]
        if len(found) != len(items):
            raise NodeTreeError("no list of queries")
        return found


def parse_node_tree(text: str) -> NodeTree:
    """What a server has printed: a list, `<>` for an empty one, or a single node. Raises: NodeTreeError."""
    if len(text) > TREE_BYTES_MAX:
        raise NodeTreeError("too large")
    words = _words(text)
    if words == ["<>"]:
        return NodeTree([], [])
    # A list around all of it gives the outermost value a place.
    root: list[Value] = []
    nodes: list[Node] = []
    rest = iter(words)
    try:
        _fill(root, nodes, rest)
    except StopIteration:
        raise NodeTreeError("the end is missing") from None
    if len(root) != 1 or next(rest, None) is not None:
        raise NodeTreeError("more than one value, or none")
    value = root[0]
    return NodeTree(value if type(value) is list else [value], nodes)


def _words(text: str) -> list[str]:
    """The words and brackets of a tree. Raises: NodeTreeError."""
    for line in text.split("\n")[:-1]:
        # Where there was no space, a word may have been broken: it can't be put together again, nor is its second half what it looks like.
        if " " not in line[1:] and (len(line) >= _LINE or line.endswith("\\")):
            raise NodeTreeError("a name is too long to be read")
    flat = text.replace("\n", " ")
    if "\\" not in flat and flat.isprintable():
        # The quicker way, where there is no other white space that would part words.
        return flat.replace("(", " ( ").replace(")", " ) ").replace("{", " { ").replace("}", " } ").split()
    if text.endswith("\\"):
        raise NodeTreeError("the end is missing")
    return _WORD.findall(text)


def _fill(root: list[Value], nodes: list[Node], words: Iterator[str]) -> None:
    """Read one value, a list or a node, into `root`, and all nodes in it into `nodes`. Raises: NodeTreeError, StopIteration."""
    stack: list[tuple[Node | None, list[Value]]] = []
    node: Node | None = None
    fields: dict[str, Value] = {}
    items = root
    for word in words:
        if node is not None:
            if word[0] == ":":
                name, word = word[1:], next(words)
                if name in fields:
                    raise NodeTreeError(f"{node.type} has a field twice")
                if word not in "(){}":
                    fields[name] = None if word == "<>" else word
                    continue
                stack.append((node, items))
                if word == "(":
                    node, items, outer = None, [], fields
                    outer[name] = items
                elif word == "{":
                    node = fields[name] = Node(next(words))
                    fields = node.fields
                    nodes.append(node)
                else:
                    raise NodeTreeError(f"{node.type} has a name without a value")
            elif word == "[":
                _skip_bytes(node, words)
                continue
            elif word == "}":
                _check(node)
            else:
                raise NodeTreeError(f"{node.type} has a value without a name")
        elif word == "(" or word == "{":
            stack.append((node, items))
            if word == "(":
                inside: list[Value] = []
                items.append(inside)
                items = inside
            else:
                node = Node(next(words))
                fields = node.fields
                items.append(node)
                nodes.append(node)
        elif word != ")":
            items.append(None if word == "<>" else word)
            continue
        if word in "})":
            if not stack or (word == "}") is (node is None):
                raise NodeTreeError("a bracket too many")
            node, items = stack.pop()
            if node is not None:
                fields = node.fields
            if not stack:
                return
        elif len(stack) > _DEPTH_MAX:
            raise NodeTreeError("too deep")
    raise StopIteration


def _skip_bytes(node: Node, words: Iterator[str]) -> None:
    """Read past the bytes of a constant, whose number has been read."""
    if node.type != "CONST" or next(reversed(node.fields), "") != "constvalue":
        raise NodeTreeError(f"{node.type} has bytes")
    number = node.number("constvalue")
    for word in words:
        if word == "]":
            break
        number -= 1
        if _BYTES.match(word) is None:
            raise NodeTreeError("a constant's bytes are no numbers")


def _check(node: Node) -> None:
    """Whether a node is of a known type and has the fields that this has. Raises: NodeTreeError."""
    known = NODE_FIELDS.get(node.type)
    if known is None:
        node.type = NAMES_OF_14.get(node.type, node.type)
        kind = node.fields.get("rtekind")
        known = ENTRY_FIELDS.get(kind) if node.type == "RANGETBLENTRY" and type(kind) is str else NODE_FIELDS.get(node.type)
        if known is None:
            raise NodeTreeError(f"unknown node {node.type[:40]}")
    required, allowed = known
    fields = node.fields.keys()
    if not required <= fields:
        raise NodeTreeError(f"{node.type} lacks a field")
    if not fields <= allowed:
        raise NodeTreeError(f"{node.type} has an unknown field")


def unescaped(word: str) -> str:
    """A word without its backslashes."""
    return _ESCAPED.sub(r"\1", word) if "\\" in word else word


def unquoted(value: Value) -> str:
    """A name in a list, without its quotes and backslashes. Raises: NodeTreeError."""
    if type(value) is not str or len(value) < 2 or value[0] != '"' or value[-1] != '"':
        raise NodeTreeError("a name has no quotes")
    return unescaped(value[1:-1])
