"""The table of statements is complete, and what isn't in it is unknown."""

from __future__ import annotations

import pglast.ast
import pytest

from querywarden.model.facts import Hazard, Verb
from querywarden.model.functions import LARGE_OBJECT
from querywarden.postgresql.analysis.functions import HARMLESS, OTHERS, SYSTEM_RELATIONS, hazards_of_function
from querywarden.postgresql.analysis.gather import READERS, Gatherer
from querywarden.postgresql.analysis.statements import STATEMENTS

NEVER_ROOTS = {"RawStmt", "SetOperationStmt", "ReturnStmt", "PLAssignStmt", "ReplicaIdentityStmt"}


def test_every_statement_of_the_grammar_is_in_the_table() -> None:
    types = {name for name in dir(pglast.ast) if name.endswith("Stmt")}

    assert types - NEVER_ROOTS == set(STATEMENTS)


def test_every_reader_is_of_a_statement_of_the_table() -> None:
    assert set(READERS) - set(STATEMENTS) == {"nested SelectStmt"}


def test_statement_that_is_not_in_the_table_is_unknown() -> None:
    gatherer = Gatherer("", 0, 0)
    gatherer.read_statement({"ConquerWorldStmt": {"relation": {"relname": "x"}}}, frozenset())

    assert Verb.UNKNOWN is gatherer.facts().verb


def test_destructive_verbs_are_marked() -> None:
    for name, shape in STATEMENTS.items():
        if name.startswith("Drop"):
            assert Hazard.DESTRUCTIVE_DDL in shape.hazards, name
        if shape.verb in (Verb.CREATE, Verb.ALTER, Verb.DROP):
            assert Hazard.SCHEMA_CHANGE in shape.hazards, name
        if shape.verb in (Verb.GRANT, Verb.ROLE):
            assert Hazard.PRIVILEGE in shape.hazards, name


def test_lists_of_functions_do_not_overlap() -> None:
    assert not HARMLESS & OTHERS
    assert LARGE_OBJECT <= OTHERS
    assert len(HARMLESS) > 2500
    assert {"pg_class", "pg_settings", "pg_authid", "pg_proc"} <= SYSTEM_RELATIONS


@pytest.mark.parametrize(
    "name", ["lower", "now", "count", "random", "pg_table_is_visible", "pg_get_viewdef", "has_table_privilege", "to_regclass"]
)
def test_harmless_function_has_no_hazard(name: str) -> None:
    assert frozenset() == hazards_of_function(None, name, 1)
    assert frozenset() == hazards_of_function("pg_catalog", name, 1)


@pytest.mark.parametrize("name", sorted(OTHERS - LARGE_OBJECT - {"set_config"}))
def test_every_other_function_is_a_hazard_wherever_it_may_be_the_servers_own(name: str) -> None:
    assert Hazard.DANGEROUS_FUNCTION in hazards_of_function(None, name, 1)
    assert Hazard.DANGEROUS_FUNCTION in hazards_of_function("pg_catalog", name, 1)
    assert frozenset() == hazards_of_function("myschema", name, 1) or name.startswith(("pg_read_", "pg_file_"))
