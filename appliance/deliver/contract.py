"""Loads one plug-in file and reads its contract from its annotations; `appliance/sdk.py` describes it."""

import inspect
import itertools
import sys
import traceback
import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from appliance.core.errors import PluginFault
from appliance.core.loads import Dialect
from appliance.core.settings import HOST_KEYS
from appliance.deliver.plugin_docs import field_docs
from appliance.sdk import Answer, Config, Event, Http, Known, Limits, Load, Log

RESERVED = HOST_KEYS | {"batch", "consent", "identity", "limits", "name", "options", "plan", "transformations"}
"""Keys of a destination that no plug-in may declare: the host's, today's and those the design foresees."""

FILE_BYTES_MAX = 1024 * 1024
_KINDS = ("deliver", "load")
_OTHER_KINDS = ("read", "transform")
_counter = itertools.count(1)

Injected = Literal["config", "http", "log", "opened"]
_BATCHES = (Sequence, list)
_YIELDS: dict[Any, bool] = {Iterator: False, Generator: False, AsyncIterator: True, AsyncGenerator: True}
"""What `open` may be annotated to return -> whether it is asynchronous."""


class Function(msgspec.Struct, frozen=True):
    """One function of a plug-in and what to call it with, in order."""

    call: Callable[..., Any]
    injects: tuple[Injected, ...]
    is_async: bool


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded plug-in file and its contract."""

    name: str
    """The file's name without .py; what `plugin = "..."` says."""
    path: Path
    kind: Literal["deliver", "load"] = "deliver"
    doc: str
    """The module's docstring."""
    config_type: type[Config]
    config_docs: dict[str, str]
    """Key -> its docstring, where it has one."""
    limits: Limits
    batch: Literal["single", "atomic", "independent"]
    is_async: bool
    injects: tuple[Injected, ...]
    """What `deliver` is called with behind the events."""
    deliver: Function
    """Of a warehouse: its `load`, which is called with a load."""
    dialect: str = ""
    """Of a warehouse, else ""."""
    inspect: Function | None = None
    """Every warehouse has it."""
    query: Function | None = None
    check: Function | None
    open: Function | None
    """A context manager; its `is_async` tells which."""
    limits_for: Callable[[Any], Limits] | None
    """The plug-in's own `limits(config)`."""
    forget: Callable[..., Any] | None

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.splitlines()[0]

    def limits_of(self, config: Config) -> Limits:
        """The limits under this configuration.

        Raises:
            PluginFault: the plug-in's `limits` failed or returned something else.
        """
        if self.limits_for is None:
            return self.limits
        try:
            limits = self.limits_for(config)
        except Exception as error:
            raise _fault(self.path, f"limits(config) failed: {error_words(error, self.path)}") from error
        if not isinstance(limits, Limits):
            raise _fault(self.path, f"limits(config) returned {type(limits).__name__}, not Limits")
        return limits


def load_plugin(path: Path) -> Plugin:
    """Execute one file and read its contract. Loading again executes it anew; what was loaded before stays as it is.

    Raises:
        PluginFault: with readable text, for every breach.
    """
    module, source = _execute(path)
    try:
        return _read_contract(path, module, source)
    except BaseException:
        del sys.modules[module.__name__]
        raise


def error_words(error: BaseException, path: Path | None = None) -> str:
    """An exception for people: its kind, its text and where in the plug-in it came from."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if path and frame.filename == str(path)]
    where = f" ({path.name} line {frames[-1].lineno})" if path and frames else ""
    return text[:500] + where


# Executing ------------------------------------------------------------------------------------------------------


def _execute(path: Path) -> tuple[types.ModuleType, str]:
    """Run the file as a module of its own: nothing is put on sys.path, no bytecode is written beside it."""
    try:
        content = path.read_bytes()
        if len(content) > FILE_BYTES_MAX:
            raise _fault(path, f"is larger than {FILE_BYTES_MAX} bytes")
        source = content.decode("utf-8-sig")
        code = compile(source, str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _fault(path, "is not UTF-8 text") from None
    except SyntaxError as error:
        raise _fault(path, f"line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL byte, absurd nesting
        raise _fault(path, f"is no Python: {error}") from None
    module = types.ModuleType(f"sternpost_plugin_{path.stem}_{next(_counter)}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # annotations are resolved through it
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise _fault(path, f"failed while loading: {error_words(error, path)}") from error
    return module, source


# The contract ---------------------------------------------------------------------------------------------------


def _read_contract(path: Path, module: types.ModuleType, source: str) -> Plugin:
    doc = inspect.cleandoc(module.__doc__ or "").strip()
    if not doc:
        raise _fault(path, "has no docstring; say in its first line what it does")
    reader = _Reader(path, module)
    opened, open_function = reader.open()
    kind = reader.kind()
    deliver, batches = reader.deliver(opened) if kind == "deliver" else (reader.asked("load", (Load,), opened), False)
    inspected, query = (None, None) if kind == "deliver" else reader.warehouse(opened)
    check = reader.function("check", 0, opened)
    limits = getattr(module, "LIMITS", Limits())
    if not isinstance(limits, Limits):
        raise _fault(path, f"LIMITS is {type(limits).__name__}; write LIMITS = Limits(...)")
    limits_for = reader.function("limits", 0, None)
    config_type = reader.config_type()
    return Plugin(
        name=path.stem,
        path=path,
        kind=kind,
        doc=doc,
        config_type=config_type,
        config_docs=field_docs(source, config_type.__name__),
        limits=limits,
        batch=limits.batch if batches else "single",
        is_async=deliver.is_async,
        injects=deliver.injects,
        deliver=deliver,
        dialect=reader.dialect() if kind == "load" else "",
        inspect=inspected,
        query=query,
        check=check,
        open=open_function,
        limits_for=_limits_function(path, limits_for),
        forget=getattr(module, "forget", None),
    )


def _limits_function(path: Path, function: Function | None) -> Callable[[Any], Limits] | None:
    if function is None:
        return None
    if function.is_async or function.injects != ("config",):
        raise _fault(path, "limits takes the configuration alone: def limits(config: Mine) -> Limits")
    return function.call


class _Reader:
    """Reads the functions of one module by their annotations; every breach is a PluginFault."""

    def __init__(self, path: Path, module: types.ModuleType) -> None:
        self._path, self._module = path, module
        self._config_types: list[type[Config]] = []

    def kind(self) -> Literal["deliver", "load"]:
        """Which of its functions makes it a plug-in."""
        found = [kind for kind in (*_KINDS, *_OTHER_KINDS) if callable(getattr(self._module, kind, None))]
        if not found:
            raise _fault(self._path, "defines no function deliver(event: Event, ...)")
        if len(found) > 1:
            raise _fault(self._path, f"defines {found[0]} and {found[1]}; a plug-in has one of them")
        if found[0] in _OTHER_KINDS:
            raise _fault(self._path, f"defines {found[0]}; this version runs plug-ins that define deliver or load")
        return "deliver" if found[0] == "deliver" else "load"

    def warehouse(self, opened: Any) -> tuple[Function, Function | None]:
        """`inspect`, and `query` where it has one."""
        if not hasattr(self._module, "inspect"):
            raise _fault(self._path, "defines load without inspect(stream: str, ...) -> Known")
        query = self.asked("query", (str, int), opened, Answer) if hasattr(self._module, "query") else None
        return self.asked("inspect", (str,), opened, Known), query

    def dialect(self) -> str:
        """The name of the warehouse's dialect."""
        dialect = getattr(self._module, "DIALECT", None)
        if dialect not in get_args(Dialect):
            words = f"defines load, and DIALECT is {dialect!r}; write one of {', '.join(get_args(Dialect))}"
            raise _fault(self._path, words)
        return str(dialect)

    def asked(self, name: str, given: tuple[type, ...], opened: Any, returned: type | None = type(None)) -> Function:
        """A function of a warehouse: its first parameters are of the types `given`, and it runs in a thread."""
        function = self.function(name, len(given), opened)
        if function is None:
            raise _fault(self._path, f"{name} is no function")
        hints = self._hints(getattr(self._module, name))
        first = list(hints.values())[: len(given)]
        if tuple(first) != given:
            shown = ", ".join(kind.__name__ for kind in given)
            raise _fault(self._path, f"{name}'s first parameters must be annotated {shown}")
        if function.is_async or "http" in function.injects:
            raise _fault(self._path, f"{name} is a plain `def` that runs in a thread, and brings a client of its own")
        if self._hints(getattr(self._module, name), returns=True).get("return", type(None)) is not returned:
            words = "None" if returned is type(None) else getattr(returned, "__name__", "something else")
            raise _fault(self._path, f"{name} must be annotated to return {words}")
        return function

    def deliver(self, opened: Any) -> tuple[Function, bool]:
        """`deliver`, and whether it takes batches."""
        function = self.function("deliver", 1, opened)
        assert function is not None
        first = next(iter(self._hints(self._module.deliver).items()))
        if first[1] is Event:
            return function, False
        if get_origin(first[1]) in _BATCHES and get_args(first[1]) == (Event,):
            return function, True
        words = f"deliver's first parameter {first[0]} must be annotated Event or Sequence[Event]"
        raise _fault(self._path, words)

    def open(self) -> tuple[Any, Function | None]:
        """The type that `open` yields, and `open` itself."""
        call = getattr(self._module, "open", None)
        if call is None:
            return None, None
        returned = self._hints(call, returns=True).get("return")
        kind = get_origin(returned)
        if kind not in _YIELDS or not hasattr(call, "__wrapped__"):
            words = "open must be a context manager: @contextmanager def open(config: Mine) -> Iterator[Thing], or "
            raise _fault(self._path, f"{words}@asynccontextmanager async def ... -> AsyncIterator[Thing]")
        function = self.function("open", 0, None)
        assert function is not None
        return get_args(returned)[0], Function(call, function.injects, _YIELDS[kind])

    def function(self, name: str, events: int, opened: Any) -> Function | None:
        """A function and what it asks for, without its first `events` parameters; None where there is none."""
        call = getattr(self._module, name, None)
        if call is None:
            return None
        if not callable(call) or inspect.isasyncgenfunction(call) or inspect.isgeneratorfunction(call):
            raise _fault(self._path, f"{name} is no plain function")
        hints = self._hints(call)
        asked = list(hints.items())[events:]
        if len(hints) < events:
            raise _fault(self._path, f"{name} takes no event; write {name}(event: Event, ...)")
        is_async = inspect.iscoroutinefunction(call)
        injects = tuple(self._injected(name, parameter, hint, opened) for parameter, hint in asked)
        if "http" in injects and not is_async and not inspect.isasyncgenfunction(inspect.unwrap(call)):
            words = f"{name} asks for http, which works in `async def` alone; a `def` brings a client of its own"
            raise _fault(self._path, words)
        if name in ("deliver", "check") and self._hints(call, returns=True).get("return", type(None)) is not type(None):
            raise _fault(self._path, f"{name} must return None; it raises Retry or Abort where it fails")
        return Function(call, injects, is_async)

    def config_type(self) -> type[Config]:
        """The one Config that the functions ask for; `Config` itself where none does."""
        kinds = list(dict.fromkeys(self._config_types))
        if len(kinds) > 1:
            names = " and ".join(kind.__name__ for kind in kinds)
            raise _fault(self._path, f"its functions ask for {names}; a plug-in has one Config")
        kind = kinds[0] if kinds else Config
        try:
            fields = [field.encode_name for field in msgspec.structs.fields(kind)]
            get_type_hints(kind)
        except Exception as error:
            raise _fault(self._path, f"{kind.__name__} has an unreadable annotation: {error}") from error
        taken = sorted(set(fields) & RESERVED)
        if taken:
            words = f"{kind.__name__} declares {', '.join(taken)}, which every destination has already; rename it"
            raise _fault(self._path, words)
        return kind

    def _hints(self, call: Callable[..., Any], returns: bool = False) -> dict[str, Any]:
        """Annotations of the parameters in order; every parameter must have one."""
        name = getattr(call, "__name__", "function")
        plain = inspect.unwrap(call)
        try:
            hints = get_type_hints(plain)
        except Exception as error:
            raise _fault(self._path, f"{name} has an annotation that cannot be read: {error}") from error
        if returns:
            return hints
        found = {}
        for parameter in inspect.signature(plain).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                raise _fault(self._path, f"{name} has the parameter {parameter}; plain parameters only")
            if parameter.name not in hints:
                raise _fault(self._path, f"{name}'s parameter {parameter.name} has no annotation")
            found[parameter.name] = hints[parameter.name]
        return found

    def _injected(self, name: str, parameter: str, hint: Any, opened: Any) -> Injected:
        if hint is Http:
            return "http"
        if hint is Log:
            return "log"
        if opened is not None and hint == opened:
            return "opened"
        if isinstance(hint, type) and issubclass(hint, Config):
            self._config_types.append(hint)
            return "config"
        known = "a Config, Http, Log" + (", or what open yields" if name != "open" else "")
        raise _fault(self._path, f"{name}'s parameter {parameter} asks for {_shown(hint)}; the host has {known}")


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _fault(path: Path, words: str) -> PluginFault:
    return PluginFault(f"{path}: {words}")
