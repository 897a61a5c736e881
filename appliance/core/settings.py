"""Reads `sternpost.toml`: every fault at once, with file, line, key and a suggestion; without a file, the defaults."""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from appliance.core import units, write_keys
from appliance.core.config import (
    ID_TYPES,
    Config,
    DestinationConfig,
    LoadConfig,
    PluginsConfig,
    SourceConfig,
    TlsConfig,
)
from appliance.core.errors import ConfigError, Fault
from appliance.core.secret import TOKEN_CHARACTERS_MIN, Secret
from appliance.core.tables import BAD, Faults, KeyPath, convert, convert_struct, did_you_mean, shown
from appliance.core.toml_lines import key_lines

FILE_BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 64
HOST_KEYS = frozenset(field.encode_name for field in msgspec.structs.fields(DestinationConfig)) - {"options"}
"""Keys of a [destinations.NAME] table that are ours; all others belong to its plug-in."""
RESERVED_TOKENS = ("admin", "log")
"""Names that the audit trail gives to the token in DATA/admin.token and to what the log does by its own rules."""
WAREHOUSE_FILE = Path("warehouse/warehouse.duckdb")
"""The embedded warehouse, in the data folder. A folder of its own, as DuckDB puts files beside it. DuckDB calls the
database like the file, and one called `sternpost` would be mistaken for the schema of that name in it."""
WAREHOUSE_EVERY_S = 5.0
"""Between two of its loads: whoever has just sent an event wants to ask for it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_PLUGIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_BARE_WORD = re.compile(r"=\s*(?!(?:true|false)\b)[A-Za-z_./:]")
_SYNTAX = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


class Loaded:
    """A configuration and where each of its keys stands.

    Attributes:
        config: the whole, valid as far as the core knows; plug-in options are checked by their plug-ins.
        origins: key path -> line of the file, from 1; empty without a file.
        file: the file's path as shown to people; "" without a file.
        generated: whether sources and destinations are those of `default_config`.
    """

    __slots__ = ("config", "file", "generated", "origins")

    def __init__(self, config: Config, origins: dict[KeyPath, int], file: str, generated: bool = False) -> None:
        self.config, self.origins, self.file, self.generated = config, origins, file, generated

    def line_of(self, path: KeyPath) -> int:
        """Line of a key, of the nearest table around it, or 0; e.g. `line_of(("destinations", "crm", "url"))`."""
        return _line_of(self.origins, path)

    def fault(self, path: KeyPath, message: str, hint: str = "") -> Fault:
        """A fault at a key, for those who check what the core cannot know."""
        faults = Faults(self.file, self.line_of)
        faults.add(path, message, hint)
        return faults.found[0]


def host_key_hint(key: str) -> str:
    """`did you mean "retry"?` for an option unknown to its plug-in that is nearly a key of ours, else ""."""
    return did_you_mean(key, HOST_KEYS)


def load(path: Path, data: Path) -> Loaded:
    """Read and check one file.

    Relative paths in it start from the file's folder. A file that names neither sources nor destinations gets those
    of `default_config`.

    Args:
        path: the TOML file.
        data: the data folder, for the defaults.

    Raises:
        ConfigError: with every fault found, in the order of the file.
    """
    loaded, faults = examine(path)
    if faults:
        raise ConfigError(faults)
    if ("sources",) not in loaded.origins and ("destinations",) not in loaded.origins:
        defaults = default_config(data)
        loaded.config = msgspec.structs.replace(
            loaded.config, sources=defaults.sources, destinations=defaults.destinations
        )
        loaded.generated = True
    return loaded


def examine(path: Path) -> tuple[Loaded, list[Fault]]:
    """Read a file for those who go on looking for faults: what is sound in it, and what is not.

    Returns:
        With no fault the whole configuration; else one with the plug-in folders and with every destination that names
        a plug-in, so that this can look at its own keys, the rest as shipped; and the faults in the order of the file.

    Raises:
        ConfigError: nothing in it can be looked at: no such file, no TOML.
    """
    file = str(path)
    table, origins = _parse(_read(path), file)
    faults = Faults(file, lambda key: _line_of(origins, key), path.parent)
    _check_depth(table, faults)
    if faults.found:
        raise ConfigError(faults.found)
    config = _convert(table, faults)
    return Loaded(config, origins, file), sorted(faults.found, key=lambda fault: fault.line)


def load_or_default(path: Path | None, data: Path) -> Loaded:
    """`load`, or the defaults where no file is given."""
    return Loaded(default_config(data), {}, "", generated=True) if path is None else load(path, data)


def default_config(data: Path) -> Config:
    """What runs without a file: source `default` with a generated key, destination `files` writing to DATA/out, and
    `warehouse` with its tables in DATA/warehouse.

    The key is made once and kept in DATA/keys.toml (mode 0600).

    Raises:
        ConfigError: the kept keys cannot be read or written.
    """
    keys = write_keys.kept(data)
    files = DestinationConfig(plugin="jsonl", start="oldest", options={"folder": str(data.absolute() / "out")})
    tables = str(data.absolute() / WAREHOUSE_FILE)
    warehouse = DestinationConfig(
        plugin="duckdb", start="oldest", load=LoadConfig(every=WAREHOUSE_EVERY_S), options={"path": tables}
    )
    destinations = {"files": files, "warehouse": warehouse}
    return Config(sources={"default": generated_source(keys)}, destinations=destinations)


def generated_source(keys: write_keys.Kept) -> SourceConfig:
    """The source of a run without a file."""
    previous = Secret(keys.previous) if keys.previous else None
    return SourceConfig(
        write_key=Secret(keys.write_key), previous_write_key=previous, previous_write_key_until=keys.until
    )


def _line_of(origins: dict[KeyPath, int], path: KeyPath) -> int:
    while path and path not in origins:
        path = path[:-1]
    return origins.get(path, 0)


def _read(path: Path) -> str:
    file = str(path)
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        hint = "`sternpost init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([Fault(file, 0, "file", f"cannot be read: {error.strerror}", hint)]) from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError([Fault(file, 0, "file", f"is larger than {FILE_BYTES_MAX} bytes")])
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault(file, line, "file", "is not UTF-8 text", "save it as UTF-8")]) from None


def _parse(text: str, file: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        return tomllib.loads(text), key_lines(text)
    except RecursionError:
        raise ConfigError([Fault(file, 0, "syntax", "values are nested too deep")]) from None
    except ValueError as error:  # tomllib also lets through what int() and datetime() refuse
        found = _SYNTAX.fullmatch(str(error))
        if found is None:
            raise ConfigError([Fault(file, 0, "syntax", f"is no TOML: {error}")]) from None
        line = int(found[2]) if found[2] else text.count("\n") + 1
        hint = "text stands in quotes" if _BARE_WORD.search(text.split("\n")[line - 1]) else ""
        raise ConfigError([Fault(file, line, "syntax", found[1], hint)]) from None


def _check_depth(table: dict[str, Any], faults: Faults) -> None:
    level: list[tuple[KeyPath, Any]] = [((), table)]
    for _ in range(DEPTH_MAX):
        below: list[tuple[KeyPath, Any]] = []
        for path, value in level:
            items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            below += [((*path, key), item) for key, item in items]
        if not below:
            return
        level = below
    faults.add(level[0][0][:4], f"is nested more than {DEPTH_MAX} deep")


def _convert(table: dict[str, Any], faults: Faults) -> Config:
    """The struct of the whole file; what `examine` promises when there are faults."""
    rest = {key: value for key, value in table.items() if key != "destinations"}
    config = convert_struct(rest, Config, (), faults)
    if config is BAD:
        quiet = Faults(faults.file, faults.line_of, faults.base)
        plugins = convert_struct(table.get("plugins", {}), PluginsConfig, ("plugins",), quiet)
        config = Config()
        if plugins is not BAD:
            config = Config(plugins=plugins)
    converted = _destinations(table.get("destinations", {}), faults)
    _check_names(table, faults)
    _cross_check(table, faults)
    return msgspec.structs.replace(config, destinations=converted)


def _destinations(tables: Any, faults: Faults) -> dict[str, DestinationConfig]:
    """Destinations with the plug-ins' own keys set apart."""
    if not isinstance(tables, dict):
        convert(tables, dict[str, Any], ("destinations",), faults)
        return {}
    converted = {}
    for name, table in tables.items():
        path: KeyPath = ("destinations", name)
        options: dict[str, Any] = {}
        if isinstance(table, dict):
            options = {key: value for key, value in table.items() if key not in HOST_KEYS}
            table = {key: value for key, value in table.items() if key in HOST_KEYS}
            if "plugin" not in table and (hint := _near_plugin(options)):
                faults.add((*path, hint), "unknown key", 'did you mean "plugin"?')
                continue
        struct = convert_struct(table, DestinationConfig, path, faults)
        if struct is not BAD:
            converted[name] = msgspec.structs.replace(struct, options=options)
        elif isinstance(table, dict) and isinstance(table.get("plugin"), str):
            converted[name] = DestinationConfig(plugin=table["plugin"], options=options)
    return converted


def _near_plugin(options: dict[str, Any]) -> str:
    return next((key for key in options if did_you_mean(key, ["plugin"])), "")


def _check_names(table: dict[str, Any], faults: Faults) -> None:
    for kind in ("sources", "destinations"):
        for name in _tables(table, kind):
            if not _NAME.fullmatch(name):
                faults.add((kind, name), "is no name: up to 64 letters, digits, `-`, `_`, `.`; a letter or digit first")
    for name, destination in _tables(table, "destinations").items():
        plugin = destination.get("plugin")
        if isinstance(plugin, str) and not _PLUGIN_NAME.fullmatch(plugin):
            faults.add(("destinations", name, "plugin"), "is the name of a plug-in file, without folder and .py")


def _cross_check(table: dict[str, Any], faults: Faults) -> None:
    """What only two keys together show. Works on the raw tables, so that one faulty key hides no other fault."""
    _check_listeners(table, faults)
    _check_write_keys(_tables(table, "sources"), faults)
    _check_tokens(_tables(table, "control").get("tokens"), faults)
    _check_id_types(_tables(table, "identity").get("ids"), faults)
    for name, destination in _tables(table, "destinations").items():
        _check_sources_of(("destinations", name, "sources"), destination.get("sources"), table, faults)
        _check_order(("destinations", name, "retry"), destination.get("retry"), "delay_min", "delay_max", faults)
        _check_order(("destinations", name, "breaker"), destination.get("breaker"), "probe_min", "probe_max", faults)
    _check_order(("wal",), table.get("wal"), "dedup_ids_min", "dedup_ids_max", faults)
    _check_order(("collect",), table.get("collect"), "event_bytes_max", "body_bytes_max", faults)
    for section in ("collect", "control"):
        _check_files((section, "tls"), _tables(table, section).get("tls"), faults)
    folders = _tables(table, "plugins").get("folders")
    for index, folder in enumerate(folders if isinstance(folders, list) else ()):
        if isinstance(folder, str) and "\0" not in folder and not _there(faults.base, folder).is_dir():
            faults.add(("plugins", "folders", index), f"{shown(folder)} is not a folder", "create it, or leave it out")


def _tables(table: dict[str, Any], key: str) -> dict[str, Any]:
    """A table of tables without what is not a table; the converter has reported that."""
    inner = table.get(key)
    if not isinstance(inner, dict):
        return {}
    if key in ("sources", "destinations"):
        return {name: value for name, value in inner.items() if isinstance(value, dict)}
    return inner


def _there(base: Path, text: str) -> Path:
    try:
        return base / Path(text).expanduser()
    except RuntimeError:  # `~somebody` has no home folder; the converter has reported that
        return base


def _check_listeners(table: dict[str, Any], faults: Faults) -> None:
    """Two listeners on one port, a wildcard address included."""
    found: list[tuple[str, tuple[str, int]]] = []
    for section, default in (("collect", Config().collect.listen), ("control", Config().control.listen)):
        try:
            found.append((section, units.parse_address(str(_tables(table, section).get("listen", default)))))
        except ValueError:
            return
    (_, (host, port)), (section, (other_host, other_port)) = found
    wild = {"0.0.0.0", "::"}
    if port == other_port != 0 and (host == other_host or host in wild or other_host in wild):
        faults.add((section, "listen"), f"uses port {port} of collect.listen", "give each its own port")


def _check_write_keys(sources: dict[str, Any], faults: Faults) -> None:
    owners: dict[str, str] = {}
    for name, source in sources.items():
        for option in ("write_key", "previous_write_key"):
            quiet = Faults(faults.file, faults.line_of, faults.base)
            key = convert(source.get(option), Secret, ("sources", name, option), quiet)
            if key is BAD:
                continue
            owner = owners.setdefault(key.reveal(), name)
            if owner != name:
                faults.add(
                    ("sources", name, option),
                    f"is the write key of source {shown(owner)} too",
                    "give each source its own key",
                )


def _check_tokens(tokens: Any, faults: Faults) -> None:
    """Tokens that could be mistaken for one another, or guessed."""
    owners: dict[str, str] = {}
    for name, table in tokens.items() if isinstance(tokens, dict) else ():
        path: KeyPath = ("control", "tokens", name)
        if name in RESERVED_TOKENS or not _NAME.fullmatch(name):
            faults.add(
                path, "is no name for a token", f"letters and digits, and neither of {', '.join(RESERVED_TOKENS)}"
            )
        quiet = Faults(faults.file, faults.line_of, faults.base)
        token = convert(table.get("token") if isinstance(table, dict) else None, Secret, (*path, "token"), quiet)
        if token is BAD:
            continue
        if len(token.reveal()) < TOKEN_CHARACTERS_MIN:
            faults.add((*path, "token"), f"is shorter than {TOKEN_CHARACTERS_MIN} characters", "`openssl rand -hex 24`")
        elif owners.setdefault(token.reveal(), name) != name:
            faults.add((*path, "token"), f"is the token of {shown(owners[token.reveal()])} too", "give each its own")


def _check_id_types(types: Any, faults: Faults) -> None:
    """Names of types of ids: what is nearly one of ours, and says nowhere where it stands in an event, is a slip."""
    for name, table in types.items() if isinstance(types, dict) else ():
        path: KeyPath = ("identity", "ids", name)
        if not _NAME.fullmatch(name):
            faults.add(path, "is no name: up to 64 letters, digits, `-`, `_`, `.`; a letter or digit first")
        elif name not in ID_TYPES and not (isinstance(table, dict) and table.get("paths")):
            if meant := next((known for known in ID_TYPES if _nearly(name, known)), ""):
                faults.add(path, "is no type of ours", f'did you mean "{meant}"? one of your own needs `paths`')


def _nearly(name: str, known: str) -> bool:
    """Whether one was written for the other: `userId`, `e-mail`, `emial`."""
    first, second = (re.sub(r"[^a-z0-9]", "", word.lower()) for word in (name, known))
    return sorted(first) == sorted(second) or difflib.SequenceMatcher(None, first, second).ratio() > 0.88


def _check_sources_of(path: KeyPath, names: Any, table: dict[str, Any], faults: Faults) -> None:
    if not isinstance(names, list):
        return
    if not names:
        faults.add(path, "selects no source", "leave the key out for all sources, or set enabled = false")
    known = list(_tables(table, "sources"))
    for index, name in enumerate(names):
        if isinstance(name, str) and name not in known:
            hint = did_you_mean(name, known) or f"known sources: {', '.join(known) or 'none'}"
            faults.add((*path, index), f"there is no source {shown(name)}", hint)


def _check_order(path: KeyPath, table: Any, low: str, high: str, faults: Faults) -> None:
    """`low` must not exceed `high`, defaults included."""
    if not isinstance(table, dict) or not {low, high} & set(table):
        return
    kind = {"wal": Config().wal, "collect": Config().collect}.get(str(path[0])) or getattr(
        DestinationConfig(plugin=""), str(path[-1])
    )
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    quiet = Faults(faults.file, faults.line_of)
    values = [
        convert(table[key], fields[key].type, (*path, key), quiet) if key in table else getattr(kind, key)
        for key in (low, high)
    ]
    if BAD not in values and values[0] > values[1]:
        given = low if low in table else high
        faults.add((*path, given), f"{low} ({values[0]:g}) is more than {high} ({values[1]:g})")


def _check_files(path: KeyPath, table: Any, faults: Faults) -> None:
    for field in msgspec.structs.fields(TlsConfig):
        text = table.get(field.name) if isinstance(table, dict) else None
        if isinstance(text, str) and "\0" not in text and not os.access(_there(faults.base, text), os.R_OK):
            faults.add((*path, field.name), f"{shown(text)} cannot be read")
