"""One readable line per record, safe to print: whatever could move the cursor, change colours or reorder text is shown as its code."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from querywarden.admin.audit_tail import Entry
from querywarden.audit.log_format import COMPLETED, DECIDED

_WHO_WIDTH = 24
_DATABASE_WIDTH = 12
_EFFECTS = {"allow": "green", "deny": "bold red", "hold": "bold yellow"}
_OUTCOMES = {"ok": "green", "error": "red", "refused": "red", "cancelled": "yellow", "skipped": "yellow", "unknown": "yellow"}
_KNOWN = frozenset({"v", "log", "seq", "prev", "n", "id", "t", "mono", "boot", "type", "who", "db", "session"})


def visible(text: str) -> str:
    """A text with its control, formatting and invisible characters as codes: an escape sequence can't act, bidi can't reorder."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in text)


def visible_json(line: bytes) -> str:
    """A stored line for a terminal: the same JSON value, with characters that act on terminals as JSON escapes."""
    text = line.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "".join(f"\\u{unit:04x}" for unit in _units(c)) for c in text)


def render(entry: Entry) -> Text:
    """The line of an entry."""
    record = entry.record
    if record is None:
        return Text(f"{'':12}  not a record: {visible(entry.line[:200].decode('utf-8', 'replace'))}", style="bold red")
    if record.get("type") == DECIDED:
        return _decided(record)
    if record.get("type") == COMPLETED:
        return _completed(record, entry.decided)
    return _other(record)


def _prefix(record: dict[str, Any], who: dict[str, Any]) -> Text:
    line = Text()
    line.append(visible(str(record.get("t"))[11:23]), style="dim")
    line.append("  " + _fit(_label(who), _WHO_WIDTH), style="bold")
    line.append("  " + _fit(_database(who), _DATABASE_WIDTH), style="cyan")
    return line


def _decided(record: dict[str, Any]) -> Text:
    effect = str(record.get("effect"))
    statement = _object(record, "stmt")
    line = _prefix(record, record)
    line.append("  " + _fit(effect, 5), style=_EFFECTS.get(effect, "bold"))
    line.append("  " + _fit(str(record.get("verb")), 11))
    if record.get("stage") == "parse":
        line.append("(prepare) ", style="dim")
    if effect != "allow":
        line.append(visible(f"{record.get('rule')} ({record.get('reason')})  "), style=_EFFECTS.get(effect, "bold"))
    line.append(visible(str(statement.get("norm"))))
    if effect == "allow":
        line.append(visible(f"  [{record.get('rule')}]"), style="dim")
    return line


_CHANGES = ("INSERT ", "UPDATE ", "DELETE ", "MERGE ", "COPY ")


def _completed(record: dict[str, Any], decided: dict[str, Any] | None) -> Text:
    outcome = str(record.get("outcome"))
    line = _prefix(record, decided or record)
    line.append("  " + _fit(f"└ {visible(outcome)}", 18), style=_OUTCOMES.get(outcome, "bold"))
    rows = record.get("rows", 0)
    parts = [f"{rows} row" if rows == 1 else f"{rows} rows"]
    tag = str(record.get("tag", ""))
    if tag.startswith(_CHANGES):
        # The server's tag tells how many rows were changed; those returned stand beside it.
        parts = [tag, *parts] if rows else [tag]
    masked = record.get("masked")
    if isinstance(masked, list) and masked:
        classes = sorted({str(column.get("class")) for column in masked if isinstance(column, dict)})
        parts.append(f"{record.get('masked_cells', 0)} cells masked ({', '.join(classes)})")
    if record.get("sqlstate"):
        parts.append(f"SQLSTATE {record['sqlstate']}")
    duration = record.get("duration_us")
    if isinstance(duration, int):
        parts.append(f"{duration / 1000:.1f} ms")
    line.append(visible("  ".join(parts)))
    if decided is None:
        line.append(visible(f"  of {record.get('decided')}"), style="dim")
    return line


def _other(record: dict[str, Any]) -> Text:
    kind = str(record.get("type"))
    line = _prefix(record, record)
    is_bad = kind.endswith((".failed", ".refused", ".recovered", ".gap"))
    line.append("  " + visible(kind), style="bold red" if is_bad else "magenta")
    details = [_detail(key, value) for key, value in sorted(record.items()) if key not in _KNOWN]
    line.append("  " + visible("  ".join(details)), style="dim")
    return line


def _detail(key: str, value: object) -> str:
    if isinstance(value, dict):
        return " ".join(_detail(f"{key}.{name}", inner) for name, inner in sorted(value.items()))
    text = str(value)
    return f"{key}={text[:12]}…" if len(text) == 64 and text.isalnum() else f"{key}={text}"


def _label(record: dict[str, Any]) -> str:
    who = _object(record, "who")
    actors = who.get("act")
    if isinstance(actors, list) and actors and isinstance(actors[0], dict):
        return f"{actors[0].get('sub')} for {who.get('sub')}"
    return str(who.get("sub") or record.get("claimed_user") or "")


def _database(record: dict[str, Any]) -> str:
    return str(_object(record, "db").get("name") or record.get("claimed_database") or "")


def _object(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _fit(text: str, width: int) -> str:
    text = visible(text)
    return f"{text:{width}}" if len(text) <= width else text[: width - 1] + "…"


def _units(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
