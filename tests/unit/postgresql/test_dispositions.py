"""Dispositions are total: every phase and every byte has one, and what nobody named is refused."""

import pytest

from querywarden.postgresql.dispositions import Disposition, Phase, disposition

KNOWN = {Phase.LOGIN: set(b"p"), Phase.STATEMENTS: set(b"QPBDECHSXdcf"), Phase.COPY_IN: set(b"QPBDECHSXdcf")}


@pytest.mark.parametrize("phase", list(Phase))
def test_everything_but_the_named_messages_is_refused(phase: Phase) -> None:
    refused = {kind for kind in range(256) if disposition(phase, kind) is Disposition.REFUSE}
    assert set(range(256)) - KNOWN[phase] == refused


def test_copy_data_outside_a_copy_is_dropped_as_the_server_would() -> None:
    assert {Disposition.DROP} == {disposition(Phase.STATEMENTS, kind) for kind in b"dcf"}


def test_the_fast_path_function_call_is_refused_everywhere() -> None:
    assert {Disposition.REFUSE} == {disposition(phase, ord("F")) for phase in Phase}
