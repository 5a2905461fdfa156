"""What all tests share: hypothesis keeps to seconds, and the same examples come again in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("local", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """What a test makes of the operator's log ends with it: commands set it up for their process."""
    yield
    structlog.reset_defaults()
