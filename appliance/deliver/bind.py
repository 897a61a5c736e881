"""Brings configured destinations and plug-in files together: what can run, and every reason why something cannot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.core.errors import ConfigError, Fault, PluginFault
from appliance.core.settings import Loaded, examine
from appliance.core.tables import did_you_mean
from appliance.deliver.dispatcher import Bound
from appliance.deliver.plugins import (
    Plugin,
    build_config,
    discover,
    effective_limits,
    load_plugin,
    options_faults,
    plugin_folders,
)


class Shelf:
    """The plug-in files there are; a file is executed once, and again when it has changed.

    Args:
        data: the data folder, whose `plugins` is searched first.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._found: dict[str, Path] = {}
        self._loaded: dict[Path, tuple[tuple[int, int], Plugin]] = {}

    def look(self, folders: Sequence[Path]) -> None:
        """Find out which files there are now."""
        self._found = discover(plugin_folders(self._data, folders))

    @property
    def names(self) -> list[str]:
        """Of all plug-ins found."""
        return list(self._found)

    def take(self, name: str) -> Plugin:
        """The plug-in of this name, which must be one of `names`.

        Raises:
            PluginFault: its file cannot be used.
        """
        path = self._found[name]
        about = path.stat()
        mark = (about.st_mtime_ns, about.st_size)
        known = self._loaded.get(path)
        if known is None or known[0] != mark:
            known = self._loaded[path] = (mark, load_plugin(path))
        return known[1]


def bind(shelf: Shelf, loaded: Loaded, base: Path) -> tuple[dict[str, Bound], dict[str, str]]:
    """Every destination with its plug-in, and why those cannot run whose plug-in is broken: they wait, the others run.

    Args:
        base: folder that relative paths in options start from.

    Raises:
        ConfigError: a plug-in is not there, or options do not suit it; every fault is listed.
    """
    bound, broken, faults = _tried(shelf, loaded, base)
    if faults:
        raise ConfigError(sorted(faults, key=lambda fault: fault.line))
    return bound, broken


def everything_wrong(path: Path, shelf: Shelf, base: Path | None = None) -> tuple[list[Fault], list[Fault]]:
    """What is wrong with a file, all at once, though the core and the plug-ins look at different keys of it.

    Args:
        base: folder that relative paths in options start from; default: the file's.

    Returns:
        Why the file would be refused, in its order; and the plug-ins in it that are broken, which refuses no file.

    Raises:
        ConfigError: nothing in it can be looked at: no such file, no TOML.
    """
    loaded, faults = examine(path)
    shelf.look(loaded.config.plugins.folders)
    _, broken, more = _tried(shelf, loaded, path.parent if base is None else base)
    said = {(fault.line, fault.key) for fault in faults}
    faults += [fault for fault in more if (fault.line, fault.key) not in said]
    unusable = [loaded.fault(("destinations", name, "plugin"), words) for name, words in broken.items()]
    return sorted(faults, key=lambda fault: fault.line), unusable


def _tried(shelf: Shelf, loaded: Loaded, base: Path) -> tuple[dict[str, Bound], dict[str, str], list[Fault]]:
    """What can run, what has a broken plug-in, and what is wrong with keys."""
    bound: dict[str, Bound] = {}
    broken: dict[str, str] = {}
    faults: list[Fault] = []
    for name, destination in loaded.config.destinations.items():
        path = ("destinations", name)
        if destination.plugin not in shelf.names:
            hint = did_you_mean(destination.plugin, shelf.names) or f"known: {', '.join(sorted(shelf.names))}"
            faults.append(loaded.fault((*path, "plugin"), f'there is no plug-in "{destination.plugin}"', hint))
            continue
        try:
            plugin = shelf.take(destination.plugin)
            wrong = options_faults(
                plugin, destination.options, path=path, file=loaded.file, line_of=loaded.line_of, base=base
            )
            faults += wrong
            if not wrong:
                options = build_config(plugin, destination.options, base, name)
                effective_limits(plugin, options, destination)
                bound[name] = Bound(destination, plugin, options)
        except (PluginFault, OSError) as error:
            broken[name] = str(error)
    return bound, broken, faults


def known_options_faults(plugins: Mapping[str, Plugin], loaded: Loaded, base: Path) -> list[Fault]:
    """What is wrong with the options of destinations whose plug-in is known already; no plug-in is loaded for it.

    Args:
        plugins: by name.
        base: folder that relative paths in options start from.
    """
    faults: list[Fault] = []
    for name, destination in loaded.config.destinations.items():
        if plugin := plugins.get(destination.plugin):
            path = ("destinations", name)
            faults += options_faults(
                plugin, destination.options, path=path, file=loaded.file, line_of=loaded.line_of, base=base
            )
    return sorted(faults, key=lambda fault: fault.line)
