"""The admin token and the names under which loopback may be called."""

import hmac
import stat
from pathlib import Path

import pytest

from appliance.control import tokens
from appliance.control.auth import TokenError, host_allowed, kept_token
from appliance.control.tokens import Holder, Keyring, Role
from appliance.core.config import TokenConfig
from appliance.core.secret import Secret


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = kept_token(tmp_path / "new")
    path = tmp_path / "new" / "admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 40 and kept_token(tmp_path / "new") == token
    assert kept_token(tmp_path / "other") != token


def test_a_token_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    token = kept_token(tmp_path)
    (tmp_path / "admin.token").chmod(0o644)
    assert kept_token(tmp_path) != token
    assert stat.S_IMODE((tmp_path / "admin.token").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff" * 40])
def test_a_file_without_a_token_is_said_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "admin.token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(TokenError, match=r"admin\.token"):
        kept_token(tmp_path)
    assert path.read_bytes() == content


TOKEN = "t" * 43


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", True),
        (f"Bearer  {TOKEN} ", True),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        ("Bearer ", False),
        ("", False),
        (None, False),
        ("Bearer \udcff", False),
        ("Bearer ü", False),
    ],
)
def test_only_the_whole_token_as_bearer_matches(header: str | None, matches: bool) -> None:
    assert Keyring(TOKEN, {}).holder(header) == (Holder("admin", Role.ADMIN, True) if matches else None)


def test_an_empty_keyring_lets_nobody_in() -> None:
    assert [Keyring.empty().holder(header) for header in (None, "", "Bearer", "Bearer ", "Bearer x")] == [None] * 5


def test_every_token_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counted(given: bytes, token: bytes) -> bool:
        compared.append(token)
        return real(given, token)

    monkeypatch.setattr(tokens.hmac, "compare_digest", counted)
    named = {
        name: TokenConfig(token=Secret(name * 20), role=role, payloads=payloads)
        for name, role, payloads in (("a", "viewer", True), ("b", "operator", False), ("c", "admin", False))
    }
    keyring = Keyring(TOKEN, named)
    for given, found in (
        ("a" * 20, Holder("a", Role.VIEWER, True)),
        ("b" * 20, Holder("b", Role.OPERATOR, False)),
        ("c" * 20, Holder("c", Role.ADMIN, False)),
        (TOKEN, Holder("admin", Role.ADMIN, True)),
        ("nobody", None),
    ):
        compared.clear()
        assert keyring.holder(f"Bearer {given}") == found
        assert len(compared) == 4


@pytest.mark.parametrize(
    ("host", "local", "listen", "allowed"),
    [
        ("127.0.0.1:8081", "127.0.0.1", "127.0.0.1", True),
        ("localhost:8081", "127.0.0.1", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", "127.0.0.1", True),
        ("[::1]:8081", "::1", "::1", True),
        ("127.8.8.8", "127.0.0.1", "127.0.0.1", True),
        ("evil.example:8081", "127.0.0.1", "127.0.0.1", False),
        ("evil.example", "::1", "::1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", "127.0.0.1", False),
        ("evil.example", "::ffff:127.0.0.1", "::", False),
        ("", "127.0.0.1", "127.0.0.1", False),
        (None, "127.0.0.1", "127.0.0.1", False),
        ("admin.example", "127.0.0.1", "admin.example", True),
        ("evil.example", "192.0.2.7", "0.0.0.0", True),
        ("evil.example", "127.0.0.1", "0.0.0.0", False),
        ("127.0.0.1@evil.example", "127.0.0.1", "127.0.0.1", False),
    ],
)
def test_loopback_answers_to_loopback_names_only(host: str | None, local: str, listen: str, allowed: bool) -> None:
    assert host_allowed(host, local, listen) is allowed
