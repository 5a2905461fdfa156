"""The pages about identity keep to the code: every cause is explained, every example is a valid configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from querywarden.config.models import IdentitySettings
from querywarden.identity.rejection import Cause
from querywarden.runtime.credentials import issuer_rules

DOCS = Path(__file__).parents[3] / "docs"
GUIDE = (DOCS / "how-to" / "connect-an-identity-provider.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def test_every_cause_is_explained_once_and_in_order() -> None:
    page = (DOCS / "reference" / "identity.md").read_text().split("## Causes")[1]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [cause.value for cause in Cause]


def test_remedies_are_for_causes_that_exist() -> None:
    remedies = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE)))
    assert len(remedies) == 9
    assert set(remedies) <= {cause.value for cause in Cause}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: str(yaml.safe_load(text)["identity"]["issuers"][0]["issuer"]))
def test_example_is_a_valid_configuration(example: str) -> None:
    rules = issuer_rules(IdentitySettings.model_validate(yaml.safe_load(example)["identity"]))
    assert len(rules) == 1


def test_there_are_examples_for_the_usual_providers() -> None:
    assert len(EXAMPLES) == 7
