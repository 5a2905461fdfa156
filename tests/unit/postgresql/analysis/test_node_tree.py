"""The text of node trees: what is read, and that nothing else is."""

from __future__ import annotations

import pytest
from tests.unit.postgresql.analysis.query_trees import recorded

from querywarden.postgresql.analysis.node_fields import ENTRY_FIELDS, NODE_FIELDS
from querywarden.postgresql.analysis.node_tree import TREE_BYTES_MAX, Node, NodeTreeError, parse_node_tree, unescaped

ALIAS = r"{ALIAS :aliasname %s :colnames %s}"


def alias(name: str = "a", columns: str = "<>") -> Node:
    """An alias, read from its text."""
    [node] = parse_node_tree(ALIAS % (name, columns)).items
    assert isinstance(node, Node)
    return node


def test_a_node_has_its_type_and_its_fields() -> None:
    node = alias("person", '("id" "mail")')
    assert ("ALIAS", "person", ["id", "mail"]) == (node.type, node.word("aliasname"), node.names("colnames"))


def test_nothing_is_none_and_an_empty_list_of_queries_is_empty() -> None:
    assert alias("<>").fields == {"aliasname": None, "colnames": None}
    assert parse_node_tree("<>\n").queries() == []


def test_every_node_is_listed_at_whatever_depth() -> None:
    tree = parse_node_tree("({FROMEXPR :fromlist ({RANGETBLREF :rtindex 1} {RANGETBLREF :rtindex 2}) :quals <>})")
    assert ["FROMEXPR", "RANGETBLREF", "RANGETBLREF"] == [node.type for node in tree.nodes]


@pytest.mark.parametrize(
    ("printed", "meant"),
    [
        (r'"a\ b"', "a b"), (r'"c\(d\)"', "c(d)"), (r'"e"f"', 'e"f'), (r'"g\\h"', r"g\h"), ('":k"', ":k"), (r'"\{\}"', "{}"),
        ('"a\u00a0:b"', "a\u00a0:b"), ('"a\x0b:b"', "a\x0b:b"), ('""', ""),
    ],
)  # fmt: skip
def test_names_are_read_as_they_were_meant(printed: str, meant: str) -> None:
    assert [meant] == alias("a", f"({printed})").names("colnames")


def test_words_without_quotes_lose_their_backslashes() -> None:
    assert "<>x y" == unescaped(r"\<>x\ y")


def test_a_constant_has_bytes() -> None:
    text = (
        "{CONST :consttype 23 :consttypmod -1 :constcollid 0 :constlen 4 :constbyval true :constisnull false :location 7"
        " :constvalue 4 [ 1 0 -1 0 0 0 0 0 ]}"
    )
    [node] = parse_node_tree(text).nodes
    assert (23, False) == (node.number("consttype"), node.flag("constisnull"))
    with pytest.raises(NodeTreeError):
        parse_node_tree(text.replace("[ 1 ", "[ {ALIAS "))
    with pytest.raises(NodeTreeError):
        parse_node_tree("{ALIAS :aliasname 4 [ 1 ] :colnames <>}")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "(", ")", "()()", "<> <>", "x", "{", "{}", "{ALIAS", "{ALIAS}", "{ALIAS :aliasname a}", "{ALIAS :aliasname a :colnames <>",
        "{ALIAS :aliasname a :colnames <>}}", "({ALIAS :aliasname a :colnames <>}", "{ALIAS :aliasname a :colnames <>} x",
        "{ALIAS :aliasname a :colnames <> :more 1}",
        "{ALIAS :aliasname a :aliasname b :colnames <>}", "{ALIAS :aliasname a b :colnames <>}",
        "{ALIAS aliasname a :colnames <>}", "{ALIAS :aliasname :colnames <>}", "{ALIAS :aliasname } :colnames <>}", "{NOVEL :aliasname a}",
        "{ALIAS :aliasname ) :colnames <>}", "{ALIAS :aliasname a :colnames <>)", "({ALIAS :aliasname a :colnames <>}}", "(<>)\\",
        "{RANGETBLENTRY :rtekind 0}", "{RANGETBLENTRY :rtekind 99}", "{RANGETBLENTRY :rtekind (0)}", "{ALIAS :aliasname\ra :colnames <>}",
    ],
)  # fmt: skip
def test_nothing_else_is_read(text: str) -> None:
    with pytest.raises(NodeTreeError):
        parse_node_tree(text).queries()


@pytest.mark.parametrize(
    "line",
    [
        "x" * 78,  # a word of more than a line's length, broken
        " " + "x" * 77,
        r"\(" * 38 + "x\\",  # … between a backslash and what it stands before
    ],
)
def test_words_that_a_line_break_has_torn_are_not_read(line: str) -> None:
    with pytest.raises(NodeTreeError, match="too long"):
        parse_node_tree("{ALIAS :aliasname\n" + line + "\n} :colnames <>}")


def test_lines_that_break_at_spaces_are_read() -> None:
    assert "a b" == unescaped(alias("a\\\nb").word("aliasname")).replace("\n", " ")


def test_depth_and_size_are_bounded() -> None:
    with pytest.raises(NodeTreeError, match="too deep"):
        parse_node_tree("(" * 100_000 + ")" * 100_000)
    with pytest.raises(NodeTreeError, match="too large"):
        parse_node_tree("(" + "x" * TREE_BYTES_MAX + ")")


def test_fields_have_the_kind_that_is_asked_for() -> None:
    node = alias("x", '("a")')
    for ask in (node.number, node.flag, node.node, node.nodes, node.names, node.the):
        with pytest.raises(NodeTreeError):
            ask("aliasname")
    with pytest.raises(NodeTreeError):
        node.word("colnames")
    with pytest.raises(NodeTreeError):
        alias("x", "(a)").names("colnames")


@pytest.mark.parametrize("major", [15, 18])
def test_each_renamed_type_or_field_of_a_real_tree_is_unknown(major: int) -> None:
    trees, _, _ = recorded(major)
    seen: set[str] = set()
    for text in sorted(trees.values(), key=len):
        for node in parse_node_tree(text).nodes:
            if node.type in seen or len(text) > 20_000:
                continue
            seen.add(node.type)
            for name in (f"{{{node.type}", *(f":{field} " for field in node.fields)):
                changed = text.replace("\n", " ").replace(name, f"{name.rstrip()}2 ")
                with pytest.raises(NodeTreeError):
                    parse_node_tree(changed)
    assert len(seen) > 40


def test_the_tables_name_each_field_once() -> None:
    for required, allowed in [*NODE_FIELDS.values(), *ENTRY_FIELDS.values()]:
        assert required
        assert required <= allowed
