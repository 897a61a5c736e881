"""Is the store's file sound? A quick look before it is mapped, and the thorough walk of `sternpost wal verify`.

A damaged page kills the process that maps it (SIGBUS, SIGSEGV), so the quick walk runs in a child: its death is the
finding.
"""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
from lmdb import verify as pages

from appliance.core.errors import DamagedRecord
from appliance.wal import block, child, keys

_META = struct.Struct("=IIQQ")
_LAST_PAGE = struct.Struct("=QQ")
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_PAGE_HEADER, _DBS, _DB = 16, 2, 48
_FOUND, _SOUND = 3, 0
_PROBE_BYTES = 32_768


def length_fault(data: Path) -> str:
    """Whether the file is shorter than its newest meta page says; "" for sound. Reads two pages, maps nothing.

    Source: LMDB 0.9, `mdb.c`, struct MDB_meta: magic, version, address, map size, two table roots, last page,
    transaction id.
    """
    size = data.stat().st_size
    if size == 0:
        return ""
    with data.open("rb") as file:
        head = file.read(_PROBE_BYTES)
    page = _page_bytes(head)
    if page == 0:
        return "its first page is not LMDB's"
    metas = [meta for meta in (_meta(head, at) for at in (0, page)) if meta is not None]
    if not metas:
        return "neither of its meta pages can be read"
    _, last_page = max(metas)
    if (last_page + 1) * page > size:
        return f"the file has {size} bytes and should have {(last_page + 1) * page}"
    return ""


def walk_in_child(folder: Path) -> str:
    """Walk all keys in a child process; what it found, or what killed it, or "".

    Raises:
        OSError: the child could not be started, or could not look.
    """
    code = child.result(child.fork(lambda: _walk(folder)))
    if code == _SOUND:
        return ""
    if code == _FOUND:
        return "its tree of pages is broken"
    if code < 0:
        return f"reading it killed a process with signal {-code}"
    raise OSError(f"the log in {folder} could not be checked after the restart; see the lines above")


def thorough(folder: Path) -> Iterator[str]:
    """Everything wrong with a store that no process has open: pages, trees, free list, then each block's checksum.

    Yields one line per finding; a sound store yields none. Safe on any file: the walk over pages maps nothing, and
    blocks are read only where that walk found nothing.
    """
    fault = length_fault(folder / "data.mdb")
    if fault:
        yield fault
        return
    try:
        findings: list[str] = pages.verify(os.fspath(folder))  # type: ignore[no-untyped-call]  # the package is typed, this module is not
    except pages.VerifyError as error:
        findings = [str(error)]
    yield from findings
    if not findings:
        yield from damaged_blocks(folder)


def damaged_blocks(folder: Path) -> Iterator[str]:
    """One line per block that does not match its checksum."""
    env = lmdb.open(os.fspath(folder), readonly=True, lock=False, max_dbs=16, lib_version=0)
    try:
        with env.begin() as probe:
            if not probe.get(b"blocks"):
                return
        with env.begin(db=env.open_db(b"blocks", create=False), buffers=True) as txn, txn.cursor() as cursor:
            for key, value in cursor:
                try:
                    block.decode(value)
                except DamagedRecord as error:
                    yield f"block {keys.key_number(bytes(key))}: {error}"
    finally:
        env.close()


def _walk(folder: Path) -> int:
    try:
        env = lmdb.open(os.fspath(folder), readonly=True, lock=False, max_dbs=16, lib_version=0)
        with env.begin() as txn:
            names = [bytes(name) for name, _ in txn.cursor()]
        tables = [env.open_db(name, create=False) for name in names]
        with env.begin(buffers=True) as txn:
            for table in tables:
                count = sum(1 for _ in txn.cursor(table).iternext(values=False))
                if count != txn.stat(table)["entries"]:
                    return _FOUND
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    except lmdb.Error as error:
        print(error, file=sys.stderr)
        return _FOUND
    return _SOUND


def _page_bytes(head: bytes) -> int:
    """Page size: the second meta page begins at it."""
    if _meta(head, 0) is None and _meta(head, 4096) is None:
        return 0
    return next((size for size in (4096, 8192, 16_384) if _meta(head, size) is not None), 4096)


def _meta(head: bytes, at: int) -> tuple[int, int] | None:
    """(transaction id, last page) of a meta page."""
    start = at + _PAGE_HEADER
    end = start + _META.size + _DBS * _DB
    if len(head) < end + _LAST_PAGE.size:
        return None
    magic, version, _, _ = _META.unpack_from(head, start)
    if magic != _MAGIC or version & 0xFFFF != _VERSION:
        return None
    last_page, transaction = _LAST_PAGE.unpack_from(head, end)
    return transaction, last_page
