"""What the admin API says of configuration, audit trail and logs; the rest of the wire is in `tui.wire`."""

from typing import Any

import msgspec


class Setting(msgspec.Struct):
    """One key of the configuration."""

    key: str
    value: Any = None
    default: Any = None
    doc: str = ""
    origin: str = "default"
    file: str = ""
    line: int | None = None
    restart: bool = False


class Settings(msgspec.Struct):
    file: str = ""
    settings: list[Setting] = []


class Change(msgspec.Struct):
    """A key that the file sets otherwise than the running process."""

    key: str
    running: Any = None
    file: Any = None
    restart: bool = False


class Fault(msgspec.Struct):
    line: int | None = None
    key: str = ""
    message: str = ""
    hint: str = ""


class Diff(msgspec.Struct):
    """What a re-load would do."""

    file: str = ""
    changes: list[Change] = []
    faults: list[Fault] = []


class AuditEntry(msgspec.Struct):
    when: str = ""
    who: str = ""
    what: str = ""
    user: str = ""
    address: str = msgspec.field(default="", name="from")
    target: str = ""
    count: int = 0
    detail: dict[str, Any] = {}
    outcome: str = "done"


class AuditPage(msgspec.Struct):
    audit: list[AuditEntry] = []


class LogLine(msgspec.Struct):
    id: int = 0
    when_ms: int = 0
    level: str = ""
    logger: str = ""
    event: str = ""
    fields: dict[str, Any] = {}


class LogLines(msgspec.Struct):
    logs: list[LogLine] = []
    after: int = 0
