"""The analysers: real workers, workers that hang or die, and answers that can't be trusted."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from querywarden.model.facts import StatementFacts, Unanalysable, Verb
from querywarden.model.resource import RelationName
from querywarden.runtime.analysers import WORKER_COMMAND, Analysers, load_analysis

PREAMBLE = "import sys,time,os,pickle; o=sys.stdout.buffer; o.write((5).to_bytes(4,'big')+b'ready'); o.flush(); i=sys.stdin.buffer; "
READ = "n=int.from_bytes(i.read(4),'big'); t=i.read(n); "


def script(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", PREAMBLE + code)


Make = Callable[..., Analysers]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Analysers] = []

    def make_one(command: tuple[str, ...] = WORKER_COMMAND, seconds: float = 20.0) -> Analysers:
        made.append(Analysers(1, seconds, command))
        return made[-1]

    yield make_one
    for analysers in made:
        await analysers.close()
    gc.collect()


async def test_a_real_worker_answers_one_text_after_the_other(make: Make) -> None:
    analysers = make()
    first = await analysers.analyse(b"SELECT a FROM t")
    assert isinstance(first, tuple)
    assert (first[0].verb, first[0].reads) == (Verb.SELECT, frozenset({RelationName(None, "t")}))
    second = await analysers.analyse(b"SELEKT")
    assert isinstance(second, Unanalysable)
    assert second.reason == "syntax"
    assert await analysers.analyse(b"") == ()


async def test_a_text_that_breaks_the_parser_costs_a_worker_at_most(make: Make) -> None:
    analysers = make()
    answer = await analysers.analyse(b"SELECT " + b"(" * 200_000 + b"1" + b")" * 200_000)
    assert isinstance(answer, Unanalysable)
    assert isinstance(await analysers.analyse(b"SELECT 1"), tuple)


async def test_a_worker_that_hangs_is_replaced(make: Make) -> None:
    analysers = make(script(READ + "i.read()"), seconds=0.2)
    for _ in range(2):
        assert await analysers.analyse(b"x") == Unanalysable("timeout", "the analysis of the statement took too long")


@pytest.mark.parametrize("code", ["os.abort()", READ + "os.kill(os.getpid(), 9)", READ + "o.write(b'\\xff\\xff\\xff\\xff'); o.flush()"])
async def test_a_worker_that_dies_is_replaced(make: Make, code: str) -> None:
    analysers = make(script(code))
    for _ in range(2):
        answer = await analysers.analyse(b"x")
        assert isinstance(answer, Unanalysable)
        assert answer.reason == "too_complex"


async def test_a_worker_sees_no_secrets_of_the_environment(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    code = "from querywarden.model.facts import Unanalysable as U; "
    code += READ + "d=pickle.dumps(U('syntax', str('SHOP_PASSWORD' in os.environ))); o.write(len(d).to_bytes(4,'big')+d); o.flush()"
    assert await make(script(code)).analyse(b"x") == Unanalysable("syntax", "False")


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize("value", [_Evil(), (_Evil(),), ["a list"], ("text",), os.getcwd])
def test_answers_that_name_anything_else_are_refused(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError):
        load_analysis(pickle.dumps(value))


def test_facts_survive_the_way() -> None:
    facts = (StatementFacts(Verb.DELETE, "DELETE FROM t", reads=frozenset({RelationName("s", "t")})),)
    assert load_analysis(pickle.dumps(facts)) == facts
