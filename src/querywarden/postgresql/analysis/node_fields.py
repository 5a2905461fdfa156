"""Node fields: the types of node that a query may be made of once the server has analysed it, and the fields that each has.

The fields that PostgreSQL 15, 16 and 18 print were read from those servers; what 14 and 17 print is from knowledge of their sources: 17
has what 16 or 18 have, and 14 what 15 has, under shorter names for some types. A field that isn't listed may hold an expression, so a
node that has one isn't understood; nor is one that lacks a field.
"""

from __future__ import annotations

Fields = tuple[frozenset[str], frozenset[str]]
"""The fields that a node always has, and those that it may have: always ones included."""


def _fields(always: str, sometimes: str = "") -> Fields:
    required = frozenset(always.split())
    return required, required | frozenset(sometimes.split())


_OPERATION = _fields("opno opfuncid opresulttype opretset opcollid inputcollid args location")
_LITERAL_TYPE = _fields("typeId typeMod collation location")

NODE_FIELDS: dict[str, Fields] = {
    # Queries and their parts.
    "QUERY": _fields(
        "commandType querySource canSetTag utilityStmt resultRelation hasAggs hasWindowFuncs hasTargetSRFs hasSubLinks hasDistinctOn"
        " hasRecursive hasModifyingCTE hasForUpdate hasRowSecurity isReturn cteList rtable jointree targetList override onConflict"
        " returningList groupClause groupDistinct groupingSets havingQual windowClause distinctClause sortClause limitOffset limitCount"
        " limitOption rowMarks setOperations constraintDeps withCheckOptions stmt_location stmt_len",
        # 15: mergeActionList; 15, 16: mergeUseOuterJoin; 16: rteperminfos; 17: mergeTargetRelation, mergeJoinCondition; 18: the rest.
        "mergeActionList mergeUseOuterJoin rteperminfos mergeTargetRelation mergeJoinCondition hasGroupRTE returningOldAlias"
        " returningNewAlias",
    ),
    "TARGETENTRY": _fields("expr resno resname ressortgroupref resorigtbl resorigcol resjunk"),
    "FROMEXPR": _fields("fromlist quals"),
    "JOINEXPR": _fields("jointype isNatural larg rarg usingClause join_using_alias quals alias rtindex"),
    "RANGETBLREF": _fields("rtindex"),
    "ALIAS": _fields("aliasname colnames"),
    "RANGETBLFUNCTION": _fields("funcexpr funccolcount funccolnames funccoltypes funccoltypmods funccolcollations funcparams"),
    "TABLESAMPLECLAUSE": _fields("tsmhandler args repeatable"),
    "TABLEFUNC": _fields(
        "ns_uris ns_names docexpr rowexpr colnames coltypes coltypmods colcollations colexprs coldefexprs notnulls ordinalitycol location",
        "functype colvalexprs passingvalexprs plan",  # 17
    ),
    "JSONTABLEPATH": _fields("value name"),  # 17
    "JSONTABLEPATHSCAN": _fields("path errorOnError child colMin colMax", "plan"),  # 17
    "JSONTABLESIBLINGJOIN": _fields("lplan rplan", "plan"),  # 17
    "RTEPERMISSIONINFO": _fields("relid inh requiredPerms checkAsUser selectedCols insertedCols updatedCols"),  # 16
    "SETOPERATIONSTMT": _fields("op all larg rarg colTypes colTypmods colCollations groupClauses"),
    "SORTGROUPCLAUSE": _fields("tleSortGroupRef eqop sortop nulls_first hashable", "reverse_sort"),  # 18: reverse_sort
    "GROUPINGSET": _fields("kind content location"),
    "WINDOWCLAUSE": _fields(
        "name refname partitionClause orderClause frameOptions startOffset endOffset startInRangeFunc endInRangeFunc inRangeColl"
        " inRangeAsc inRangeNullsFirst winref copiedOrder",
        "runCondition",  # 15, 16
    ),
    "ROWMARKCLAUSE": _fields("rti strength waitPolicy pushedDown"),
    "COMMONTABLEEXPR": _fields(
        "ctename aliascolnames ctematerialized ctequery search_clause cycle_clause location cterecursive cterefcount ctecolnames"
        " ctecoltypes ctecoltypmods ctecolcollations"
    ),
    "CTESEARCHCLAUSE": _fields("search_col_list search_breadth_first search_seq_column location"),
    "CTECYCLECLAUSE": _fields(
        "cycle_col_list cycle_mark_column cycle_mark_value cycle_mark_default cycle_path_column location cycle_mark_type"
        " cycle_mark_typmod cycle_mark_collation cycle_mark_neop"
    ),
    "ONCONFLICTEXPR": _fields("action arbiterElems arbiterWhere constraint onConflictSet onConflictWhere exclRelIndex exclRelTlist"),
    "INFERENCEELEM": _fields("expr infercollid inferopclass"),
    "MERGEACTION": _fields("commandType override qual targetList updateColnos", "matched matchKind"),  # 17: matchKind
    "WITHCHECKOPTION": _fields("kind relname polname qual cascaded"),
    # Expressions.
    "VAR": _fields(
        "varno varattno vartype vartypmod varcollid varlevelsup varnosyn varattnosyn location", "varnullingrels varreturningtype"
    ),
    "CONST": _fields("consttype consttypmod constcollid constlen constbyval constisnull location constvalue"),
    "PARAM": _fields("paramkind paramid paramtype paramtypmod paramcollid location"),
    "AGGREF": _fields(
        "aggfnoid aggtype aggcollid inputcollid aggtranstype aggargtypes aggdirectargs args aggorder aggdistinct aggfilter aggstar"
        " aggvariadic aggkind agglevelsup aggsplit aggno aggtransno location",
        "aggpresorted",  # 16
    ),
    "GROUPINGFUNC": _fields("args refs cols agglevelsup location"),
    "WINDOWFUNC": _fields(
        "winfnoid wintype wincollid inputcollid args aggfilter winref winstar winagg location",
        "runCondition",  # 17
    ),
    "MERGESUPPORTFUNC": _fields("msftype msfcollid location"),  # 17
    "SUBSCRIPTINGREF": _fields(
        "refcontainertype refelemtype refrestype reftypmod refcollid refupperindexpr reflowerindexpr refexpr refassgnexpr"
    ),
    "FUNCEXPR": _fields("funcid funcresulttype funcretset funcvariadic funcformat funccollid inputcollid args location"),
    "NAMEDARGEXPR": _fields("arg name argnumber location"),
    "OPEXPR": _OPERATION,
    "DISTINCTEXPR": _OPERATION,
    "NULLIFEXPR": _OPERATION,
    "SCALARARRAYOPEXPR": _fields("opno opfuncid useOr inputcollid args location", "hashfuncid negfuncid"),  # 15: negfuncid
    "BOOLEXPR": _fields("boolop args location"),
    "SUBLINK": _fields("subLinkType subLinkId testexpr operName subselect location"),
    "FIELDSELECT": _fields("arg fieldnum resulttype resulttypmod resultcollid"),
    "FIELDSTORE": _fields("arg newvals fieldnums resulttype"),
    "RELABELTYPE": _fields("arg resulttype resulttypmod resultcollid relabelformat location"),
    "COERCEVIAIO": _fields("arg resulttype resultcollid coerceformat location"),
    "ARRAYCOERCEEXPR": _fields("arg elemexpr resulttype resulttypmod resultcollid coerceformat location"),
    "CONVERTROWTYPEEXPR": _fields("arg resulttype convertformat location"),
    "COLLATEEXPR": _fields("arg collOid location"),
    "CASEEXPR": _fields("casetype casecollid arg args defresult location"),
    "CASEWHEN": _fields("expr result location"),
    "CASETESTEXPR": _fields("typeId typeMod collation"),
    "ARRAYEXPR": _fields("array_typeid array_collid element_typeid elements multidims location", "list_start list_end"),  # 18
    "ROWEXPR": _fields("args row_typeid row_format colnames location"),
    "ROWCOMPAREEXPR": _fields("opnos opfamilies inputcollids largs rargs", "rctype cmptype"),  # 18: cmptype
    "COALESCEEXPR": _fields("coalescetype coalescecollid args location"),
    "MINMAXEXPR": _fields("minmaxtype minmaxcollid inputcollid op args location"),
    "SQLVALUEFUNCTION": _fields("op type typmod location"),
    "XMLEXPR": _fields("op name named_args arg_names args xmloption type typmod location", "indent"),  # 16: indent
    "JSONFORMAT": _fields("format_type encoding location"),  # 16, as all of JSON
    "JSONRETURNING": _fields("format typid typmod"),
    "JSONVALUEEXPR": _fields("raw_expr formatted_expr format"),
    "JSONCONSTRUCTOREXPR": _fields("type args func coercion returning absent_on_null unique location"),
    "JSONISPREDICATE": _fields("expr format item_type unique_keys location"),
    "JSONBEHAVIOR": _fields("btype expr coerce location"),  # 17
    "JSONEXPR": _fields(  # 17
        "op column_name formatted_expr format path_spec returning passing_names passing_values on_empty on_error use_io_coercion"
        " use_json_coercion wrapper omit_quotes collation location"
    ),
    "NULLTEST": _fields("arg nulltesttype argisrow location"),
    "BOOLEANTEST": _fields("arg booltesttype location"),
    "COERCETODOMAIN": _fields("arg resulttype resulttypmod resultcollid coercionformat location"),
    "COERCETODOMAINVALUE": _LITERAL_TYPE,
    "SETTODEFAULT": _LITERAL_TYPE,
    "CURRENTOFEXPR": _fields("cvarno cursor_name cursor_param"),
    "NEXTVALUEEXPR": _fields("seqid typeId"),
    "RETURNINGEXPR": _fields("retlevelsup retold retexpr"),  # 18
}
"""The fields of each type of node but RANGETBLENTRY, whose fields depend on its kind."""

_OF_ANY_ENTRY = "alias eref rtekind lateral inFromCl securityQuals"
# 15 prints the permissions with every kind, and inh as 16 does.
_OF_SOME_ENTRIES = " inh requiredPerms checkAsUser selectedCols insertedCols updatedCols extraUpdatedCols"


def _entry(always: str, sometimes: str = "") -> Fields:
    return _fields(f"{_OF_ANY_ENTRY} {always}", f"{sometimes} {_OF_SOME_ENTRIES}")


ENTRY_FIELDS: dict[str, Fields] = {
    "0": _entry("relid relkind rellockmode tablesample", "perminfoindex"),  # a relation
    "1": _entry("subquery security_barrier", "relid relkind rellockmode perminfoindex"),  # a sub-query; 16: also the view that it was
    "2": _entry("jointype joinmergedcols joinaliasvars joinleftcols joinrightcols join_using_alias"),  # a join
    "3": _entry("functions funcordinality"),  # functions
    "4": _entry("tablefunc"),  # XMLTABLE or JSON_TABLE
    "5": _entry("values_lists coltypes coltypmods colcollations"),  # VALUES
    "6": _entry("ctename ctelevelsup self_reference coltypes coltypmods colcollations"),  # a CTE
    "7": _entry("enrname enrtuples coltypes coltypmods colcollations", "relid"),  # a transition table of a trigger
    "8": _entry(""),  # one row without columns
    "9": _entry("groupexprs"),  # 18: what is grouped by
}
"""The fields of a RANGETBLENTRY by its kind."""

NAMES_OF_14 = {
    "RTE": "RANGETBLENTRY", "CASE": "CASEEXPR", "WHEN": "CASEWHEN", "ARRAY": "ARRAYEXPR", "ROW": "ROWEXPR",
    "ROWCOMPARE": "ROWCOMPAREEXPR", "COALESCE": "COALESCEEXPR", "MINMAX": "MINMAXEXPR", "COLLATE": "COLLATEEXPR",
}  # fmt: skip
"""What PostgreSQL 14 calls some types."""
