"""Finds plug-in files and checks a destination's options against them; one broken file never stops the others."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from appliance.core.config import DestinationConfig
from appliance.core.errors import ConfigError, Fault, PluginFault
from appliance.core.settings import host_key_hint
from appliance.core.tables import BAD, Faults, KeyPath, convert_struct, did_you_mean
from appliance.deliver.contract import Plugin, error_words, load_plugin
from appliance.sdk import Config, Limits

__all__ = [
    "Plugin",
    "build_config",
    "discover",
    "effective_limits",
    "find_plugin",
    "load_all",
    "load_plugin",
    "options_faults",
    "plugin_folders",
    "shipped_folder",
]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)


def shipped_folder() -> Path:
    """Where the shipped plug-ins are: inside an installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent / "plugins"


def plugin_folders(data: Path, configured: Sequence[Path] = ()) -> list[Path]:
    """The folders to search, in order: a file in an earlier one hides its namesakes in later ones."""
    return [data / "plugins", *configured, shipped_folder()]


def discover(folders: Sequence[Path]) -> dict[str, Path]:
    """Plug-in files by name, without executing any. Names starting with `_` or `.` and missing folders are skipped."""
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            for path in sorted(folder.glob("*.py")):
                if _NAME.fullmatch(path.stem):
                    found.setdefault(path.stem, path)
    return found


def find_plugin(name: str, folders: Sequence[Path]) -> Path:
    """The file of a plug-in.

    Raises:
        PluginFault: there is none; the text says what is near and where was looked.
    """
    found = discover(folders)
    if name not in found:
        hint = did_you_mean(name, found) or f"known: {', '.join(sorted(found)) or 'none'}"
        raise PluginFault(f'there is no plug-in "{name}" in {", ".join(map(str, folders))}; {hint}')
    return found[name]


def load_all(folders: Sequence[Path]) -> tuple[dict[str, Plugin], dict[str, PluginFault]]:
    """Every plug-in of these folders: those that load, and the faults of those that do not."""
    plugins: dict[str, Plugin] = {}
    faults: dict[str, PluginFault] = {}
    for name, path in discover(folders).items():
        try:
            plugins[name] = load_plugin(path)
        except PluginFault as fault:
            faults[name] = fault
    return plugins, faults


def options_faults(
    plugin: Plugin,
    options: dict[str, Any],
    *,
    path: KeyPath,
    file: str,
    line_of: Callable[[KeyPath], int],
    base: Path = Path(),
) -> list[Fault]:
    """Everything wrong with a destination's options, in the order found.

    Args:
        plugin: whose options they are.
        options: as they stand in the table.
        path: of the table, `("destinations", "crm")`.
        file: as shown to people.
        line_of: line of a key path, `core.settings.Loaded.line_of`.
        base: folder that relative paths start from: the file's.
    """
    faults = Faults(file, line_of, base)
    _convert(plugin, options, path, faults)
    return faults.found


def build_config(plugin: Plugin, options: dict[str, Any], base: Path = Path(), name: str = "") -> Config:
    """Options as the plug-in's own struct.

    Raises:
        ConfigError: with every fault.
    """
    faults = Faults("", lambda _: 0, base)
    config = _convert(plugin, options, ("destinations", name) if name else (), faults)
    if faults.found:
        raise ConfigError(faults.found)
    return config


def effective_limits(plugin: Plugin, config: Config, destination: DestinationConfig) -> Limits:
    """The plug-in's limits with the destination's own keys applied; `batch_events_max` can only be lowered.

    Raises:
        PluginFault: the plug-in's `limits` failed.
    """
    limits = plugin.limits_of(config)
    batch_max = 1 if plugin.batch == "single" else limits.batch_events_max
    return Limits(
        batch=limits.batch,
        batch_events_max=min(destination.batch_events_max or batch_max, batch_max),
        in_flight_max=destination.in_flight_max or limits.in_flight_max,
        timeout_s=limits.timeout_s if destination.timeout is None else destination.timeout,
        rate_per_s=limits.rate_per_s if destination.rate_per_s is None else destination.rate_per_s,
        load_every_s=limits.load_every_s,
    )


def _convert(plugin: Plugin, options: dict[str, Any], path: KeyPath, faults: Faults) -> Config:
    known = [field.encode_name for field in msgspec.structs.fields(plugin.config_type)]
    for key in options:
        if key not in known and not did_you_mean(key, known) and (hint := host_key_hint(key)):
            faults.add((*path, key), "unknown key", hint)
            options = {kept: value for kept, value in options.items() if kept != key}
    try:
        return convert_struct(options, plugin.config_type, path, faults)
    except Exception as error:  # its own __post_init__, with anything but the ValueError that it may raise
        faults.add(path, f"{plugin.config_type.__name__} of the plug-in failed: {error_words(error, plugin.path)}")
        return BAD  # type: ignore[no-any-return]
