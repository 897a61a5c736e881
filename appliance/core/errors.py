"""Every error that crosses a room's door; the file reads as a glossary."""


class SternpostError(Exception):
    """Anything we raise on purpose. Its text says what happened, what was kept and what to do next."""


class ConfigError(SternpostError):
    """The configuration cannot be used; `faults` lists every reason, not only the first."""

    def __init__(self, faults: "list[Fault]") -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class Fault:
    """One thing wrong in the configuration: where it stands and how to mend it."""

    __slots__ = ("file", "hint", "key", "line", "message")

    def __init__(self, file: str, line: int, key: str, message: str, hint: str = "") -> None:
        self.file, self.line, self.key, self.message, self.hint = file, line, key, message, hint

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class Overloaded(SternpostError):
    """Nothing was accepted: the disk budget is spent or the commit queue is full. Try again in `retry_after_s`."""

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s


class LogFailed(SternpostError):
    """A write or fsync of the log failed. Final for this process: nothing is accepted any more."""


class FolderLocked(SternpostError):
    """Another process owns the data folder; the text names it."""


class DamagedRecord(SternpostError):
    """A stored record does not match its checksum; `sternpost wal verify` tells how far the damage goes."""


class PluginFault(SternpostError):
    """A plug-in broke its contract or could not be loaded; the other plug-ins go on."""


class CannotMatch(SternpostError):
    """People cannot be compared: libraries are missing, or too little is known of them. Nothing was changed."""
