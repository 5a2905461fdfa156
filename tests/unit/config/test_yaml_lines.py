"""YAML with line numbers."""

import pytest

from querywarden.config.yaml_lines import load_yaml, nearest_name, parse_yaml, suggestion
from querywarden.errors import ConfigurationError

TEXT = b"""\
# a comment
listeners:
  - host: 127.0.0.1
    port: 6432

  - host: ::1
databases:
  shop: {server: {host: db}}
empty:
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 2),
        (("listeners",), 2),
        (("listeners", 0), 3),
        (("listeners", 0, "port"), 4),
        (("listeners", 1, "host"), 6),
        (("listeners", 1, "tls", "key"), 6),  # not there: the nearest place around it
        (("databases", "shop", "server", "host"), 8),
        (("empty",), 9),
    ],
)
def test_every_value_knows_its_line(place, line):
    assert parse_yaml(TEXT, "f.yaml")[1].line(place) == line


def test_values_are_those_of_yaml():
    data = b"a: 1\nb: [x, 1.5, true, null]\nc: {d: '1'}\n8: eight\n"

    assert parse_yaml(data, "f")[0] == {"a": 1, "b": ["x", 1.5, True, None], "c": {"d": "1"}, "8": "eight"}


def test_an_empty_file_has_no_lines():
    data, lines = parse_yaml(b"", "f")

    assert data is None
    assert lines.line(("a",)) is None


def test_load_reads_a_file(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert load_yaml(path)[0] == {"a": 1}


def test_anchors_that_multiply_are_stopped():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for number in range(1, 9):
        text += f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n"

    with pytest.raises(ConfigurationError, match="too many values"):
        parse_yaml(text.encode(), "f")


def test_nesting_without_end_is_stopped():
    with pytest.raises(ConfigurationError):
        parse_yaml(b"[" * 2000 + b"]" * 2000, "f")


def test_a_value_that_contains_itself_is_stopped():
    with pytest.raises(ConfigurationError):
        parse_yaml(b"a: &a [*a]\n", "f")


def test_duplicate_keys_deep_inside_are_errors():
    with pytest.raises(ConfigurationError) as caught:
        parse_yaml(b"a:\n  - b: 1\n    c: 2\n    b: 3\n", "f.yaml")

    assert str(caught.value) == "f.yaml:4: the key 'b' stands twice (first on line 2)"


def test_the_nearest_name():
    assert nearest_name("Delte", ["select", "delete"]) == "delete"
    assert nearest_name("xyz", ["select", "delete"]) is None
    assert suggestion("xyz", ["select", "delete"]) == "valid: delete, select"
