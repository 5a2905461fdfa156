"""Asking a server what it understands of a statement, over a connection of the proxy's own, in the way that sessions ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from querywarden.admin.lineage_report import Gap, Output
from querywarden.errors import ConfigurationError, DependencyFailure
from querywarden.model.catalogue import Catalogue
from querywarden.model.data_flow import DataFlow, Unresolved, WantsBodies
from querywarden.model.facts import StatementFacts
from querywarden.postgresql.analysis.query_text import query_texts
from querywarden.postgresql.analysis.query_tree import data_flow_of
from querywarden.postgresql.error_response import MESSAGE, ErrorFields
from querywarden.postgresql.error_text import WITHHELD, withheld
from querywarden.postgresql.function_bodies import body_steps
from querywarden.postgresql.result import decode_row_description, output_columns
from querywarden.postgresql.tree_question import TEXT_BYTES_MAX, settings_on, tree_of
from querywarden.runtime.server_connection import Description, ServerConnection

_PARAMETER_PRIVILEGES_SINCE = 15
_SYNTAX_ERROR = b"42601"
"""Its message quotes the token that it stands at, which may be a literal."""

NO_QUERY = Gap("no_query", "The statement holds no query that a server could be asked about.")
TOO_LONG = Gap("too_long", f"Statements over {TEXT_BYTES_MAX} bytes are not asked about; names decide.")


@dataclass(frozen=True, slots=True)
class NameSpace:
    """What names are to mean: a search path and a role other than those that a client has after its login, or None."""

    search_path: str | None = None
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Understanding:
    """What a server says of a statement: its data flow, or why that isn't there; the columns of its result, None where it has none.

    `rejection`: the server's error, without anything that may be a value.
    """

    flow: DataFlow | None = None
    gap: Gap | None = None
    outputs: tuple[Output, ...] | None = None
    rejection: str | None = None


class Question:
    """One open connection and what its questions rest on."""

    def __init__(self, connection: ServerConnection, catalogue: Catalogue, names: NameSpace, server_major: int, role: str) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._names = names
        self._server_major = server_major
        self._role = role

    @classmethod
    async def prepare(cls, connection: ServerConnection, catalogue: Catalogue, names: NameSpace) -> Question:
        """Look what the server is, and whether names can mean what is wanted. Raises: ConfigurationError, DependencyFailure."""
        rows = await connection.query("SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.quote_ident(CURRENT_USER)")
        number, role = (b"" if cell is None else cell for cell in rows[0])
        question = cls(connection, catalogue, names, int(number) // 10000, role.decode())
        for option, setting, value in question._settings():
            try:
                await connection.query(f"BEGIN READ ONLY; SELECT pg_catalog.set_config('{setting}', {_literal(value)}, true)")
            except DependencyFailure as failure:
                raise ConfigurationError(f"{option} {value}: {failure}", hint="the database's role must be able to set it") from None
            await connection.query("ROLLBACK")
        return question

    async def ask(self, text: bytes, facts: StatementFacts) -> Understanding:
        """Ask about one statement. Raises: DependencyFailure."""
        cut = query_texts(text, facts)
        if cut is None or len(cut.text) > TEXT_BYTES_MAX:
            return Understanding(
                gap=NO_QUERY if cut is None else Gap("too_long", f"Texts over {TEXT_BYTES_MAX} bytes are not asked about.")
            )
        described, may_print = await self._described(cut.text)
        if described.error is not None:
            return Understanding(rejection=_told(described.error))
        outputs = await self._outputs(described)
        if not may_print:
            return Understanding(gap=self._no_right(), outputs=outputs)
        flow = await self._flow(described)
        if isinstance(flow, DataFlow):
            return Understanding(flow, outputs=outputs)
        reason = flow.reason if isinstance(flow, Unresolved) else "function_body"
        return Understanding(gap=Gap(reason, f"What the server printed isn't understood ({reason})."), outputs=outputs)

    async def _flow(self, described: Description) -> DataFlow | Unresolved | WantsBodies:
        tree = tree_of(described.notices)
        if tree is None:
            return Unresolved("no_tree")
        found = data_flow_of([tree], self._catalogue, {})
        if not isinstance(found, WantsBodies):
            return found
        bodies: dict[int, str] = {}
        for function, step in body_steps(self._catalogue, sorted(found.functions)):
            body, _ = await self._described(step.text, step.parameter_types)
            body_tree = tree_of(body.notices) if body.error is None else None
            if body_tree is not None:
                bodies.setdefault(function, body_tree)
        return data_flow_of([tree], self._catalogue, bodies)

    async def _described(self, text: bytes, types: Sequence[int] = ()) -> tuple[Description, bool]:
        """What the server says of a text, and whether it may print its tree; in a transaction of its own, of which nothing is left."""
        await self._connection.query("BEGIN READ ONLY")
        rows = await self._connection.query(settings_on(self._server_major).decode())
        # The role comes after: it may have other rights than the one that the proxy logs in by.
        for _, setting, value in self._settings():
            await self._connection.query(f"SELECT pg_catalog.set_config('{setting}', {_literal(value)}, true)")
        described = await self._connection.describe(text, types)
        await self._connection.query("ROLLBACK")
        return described, rows[0][0] is not None

    async def _outputs(self, described: Description) -> tuple[Output, ...] | None:
        if described.row_description is None:
            return None
        fields = decode_row_description(described.row_description)
        types = [f"pg_catalog.format_type({field.type_oid}, {field.type_modifier})" for field in fields]
        names = (await self._connection.query("SELECT " + ", ".join(types)))[0] if types else ()
        return tuple(
            Output(column, field.type_oid, field.type_modifier, (name or b"?").decode("utf-8", "replace"))
            for column, field, name in zip(output_columns(fields), fields, names, strict=True)
        )

    def _settings(self) -> list[tuple[str, str, str]]:
        """What names are to mean: the option that says so, the setting and its value."""
        wanted = (("--search-path", "search_path", self._names.search_path), ("--role", "role", self._names.role))
        return [(option, setting, value) for option, setting, value in wanted if value is not None]

    def _no_right(self) -> Gap:
        sentence = "The role may not keep the server's log quiet, so the server is not asked what it understands, and names decide."
        if self._server_major >= _PARAMETER_PRIVILEGES_SINCE:
            return Gap("no_right", sentence, f"GRANT SET ON PARAMETER log_min_messages TO {self._role};")
        return Gap("no_right", sentence, "before PostgreSQL 15 only a superuser may set log_min_messages")


def _told(error: ErrorFields) -> str:
    """The server's error as far as it holds names alone."""
    state = error.sqlstate.decode("ascii", "replace")
    message = next((value for code, value in withheld(error.fields) if code == MESSAGE), b"").decode("utf-8", "replace")
    if error.sqlstate == _SYNTAX_ERROR or message == WITHHELD or not message:
        return f"SQLSTATE {state}"
    return f"{message} (SQLSTATE {state})"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
