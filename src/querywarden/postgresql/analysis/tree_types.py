"""Types of expressions in a node tree: what the server has settled for each output, by type id and modifier."""

from __future__ import annotations

from querywarden.postgresql.analysis.node_tree import Node

_BOOLEAN, _INTEGER, _XML = 16, 23, 142
_XML_DOCUMENT = 7
"""`IS DOCUMENT`, the one operation of an XMLEXPR that gives a truth value."""
_UNTIL_FOUND = 64

_BOOLEANS = frozenset({"BOOLEXPR", "NULLTEST", "BOOLEANTEST", "SCALARARRAYOPEXPR", "ROWCOMPAREEXPR", "CURRENTOFEXPR", "JSONISPREDICATE"})
_TYPE_FIELDS = {
    "VAR": ("vartype", "vartypmod"),
    "CONST": ("consttype", "consttypmod"),
    "PARAM": ("paramtype", "paramtypmod"),
    "AGGREF": ("aggtype", ""),
    "WINDOWFUNC": ("wintype", ""),
    "MERGESUPPORTFUNC": ("msftype", ""),
    "SUBSCRIPTINGREF": ("refrestype", "reftypmod"),
    "FUNCEXPR": ("funcresulttype", ""),
    "OPEXPR": ("opresulttype", ""),
    "DISTINCTEXPR": ("opresulttype", ""),
    "NULLIFEXPR": ("opresulttype", ""),
    "FIELDSELECT": ("resulttype", "resulttypmod"),
    "FIELDSTORE": ("resulttype", ""),
    "RELABELTYPE": ("resulttype", "resulttypmod"),
    "COERCEVIAIO": ("resulttype", ""),
    "ARRAYCOERCEEXPR": ("resulttype", "resulttypmod"),
    "CONVERTROWTYPEEXPR": ("resulttype", ""),
    "COERCETODOMAIN": ("resulttype", "resulttypmod"),
    "CASEEXPR": ("casetype", ""),
    "CASETESTEXPR": ("typeId", "typeMod"),
    "ARRAYEXPR": ("array_typeid", ""),
    "ROWEXPR": ("row_typeid", ""),
    "COALESCEEXPR": ("coalescetype", ""),
    "MINMAXEXPR": ("minmaxtype", ""),
    "SQLVALUEFUNCTION": ("type", "typmod"),
    "COERCETODOMAINVALUE": ("typeId", "typeMod"),
    "SETTODEFAULT": ("typeId", "typeMod"),
    "NEXTVALUEEXPR": ("typeId", ""),
    "JSONRETURNING": ("typid", "typmod"),
}
"""The fields in which a node says its type and its type's modifier."""
_INSIDE = {
    "COLLATEEXPR": "arg",
    "NAMEDARGEXPR": "arg",
    "RETURNINGEXPR": "retexpr",
    "JSONVALUEEXPR": "formatted_expr",
    "JSONCONSTRUCTOREXPR": "returning",
    "JSONEXPR": "returning",
}
"""Nodes of the type of what they hold."""


def type_of(node: Node) -> tuple[int, int]:
    """The type id and modifier of an expression: 0 where its tree doesn't say, -1 for no modifier. Raises: NodeTreeError."""
    for _ in range(_UNTIL_FOUND):
        kind = node.type
        if kind in _TYPE_FIELDS:
            type_field, modifier_field = _TYPE_FIELDS[kind]
            return node.number(type_field), node.number(modifier_field) if modifier_field else -1
        if kind in _BOOLEANS:
            return _BOOLEAN, -1
        if kind == "GROUPINGFUNC":
            return _INTEGER, -1
        if kind == "XMLEXPR":
            return (_BOOLEAN if node.number("op") == _XML_DOCUMENT else node.number("type") or _XML), -1
        if kind == "SUBLINK":
            link = node.number("subLinkType")
            if link != 4:
                # EXISTS, ALL, ANY and row comparisons are true or false; of an array the tree has the element's type alone.
                return (_BOOLEAN if link <= 3 else 0), -1
            outputs = [entry for entry in node.the("subselect").nodes("targetList") if not entry.flag("resjunk")]
            inside = outputs[0].the("expr") if outputs else None
        else:
            inside = node.node(_INSIDE[kind]) if kind in _INSIDE else None
        if inside is None:
            break
        node = inside
    return 0, -1
