"""The mask of an output column, and the column as the server describes it."""

from __future__ import annotations

from dataclasses import dataclass

from querywarden.masking.operators import Operator, operator_of
from querywarden.model.catalogue import DataClass


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column of a result as the server describes it; `relation_id` 0: no origin, an expression."""

    name: str
    relation_id: int
    column_number: int


@dataclass(frozen=True, slots=True)
class ColumnMask:
    """The mask of an output column; `is_derived` says that the column isn't a classified column itself, but may hold one.

    `is_citext`: the column is of the extension type citext, whose OID differs from database to database.
    """

    data_class: DataClass
    operator: Operator
    is_derived: bool
    is_citext: bool = False


DERIVED = ColumnMask(DataClass.OPAQUE, Operator.NULL, is_derived=True)
"""The mask of what may hold classified values in a form that isn't known."""


def mask_of_class(data_class: DataClass, operator: str | None = None) -> ColumnMask:
    """The mask of a class of data: the class's own, or that of an operator that the policy names."""
    return ColumnMask(data_class, operator_of(data_class, operator), is_derived=data_class is DataClass.OPAQUE)
