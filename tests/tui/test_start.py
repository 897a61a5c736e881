"""Finding the appliance and its token, which never stands among the arguments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.files import ROOT
from tests.tui.fake_api import TOKEN, FakeApi
from tui.client import Client
from tui.start import StartFault, Where, check_token, find, token_from, token_of


def running(folder: Path, url: str = "http://127.0.0.1:8081", certificate: str = "") -> Path:
    (folder / "control.json").write_text(json.dumps({"url": url, "pid": 1, "certificate": certificate}))
    (folder / "admin.token").write_text("token-of-the-folder\n")
    return folder


def test_the_appliance_of_the_folder(tmp_path: Path) -> None:
    here = Where("http://127.0.0.1:8081", None, "token-of-the-folder")
    assert find("", running(tmp_path)) == here
    assert find("http://127.0.0.1:8081/", tmp_path) == here
    running(tmp_path, certificate="/etc/cert.pem")
    assert find("", tmp_path).certificate == Path("/etc/cert.pem")


def test_a_token_of_this_folder_goes_to_no_other_appliance(tmp_path: Path) -> None:
    assert find("https://elsewhere:8081", running(tmp_path)) == Where("https://elsewhere:8081", None, "")


@pytest.mark.parametrize(("url", "code", "words"), [("", 4, "no process is running"), ("ftp://x", 2, "is no address")])
def test_no_appliance(tmp_path: Path, url: str, code: int, words: str) -> None:
    with pytest.raises(StartFault, match=words) as fault:
        find(url, tmp_path)
    assert fault.value.code == code and fault.value.next_step


@pytest.mark.parametrize(
    ("variable", "file", "folder", "token"),
    [("a", "b", "c", "a"), ("", "b", "c", "b"), ("", None, "c", "c"), (" a\n", None, "", "a")],
)
def test_the_first_place_that_has_a_token(
    tmp_path: Path, variable: str, file: str | None, folder: str, token: str
) -> None:
    path = None
    if file is not None:
        path = tmp_path / "token"
        path.write_text(f"{file}\n")
    assert token_of(Where("http://x", None, folder), path, {"STERNPOST_TOKEN": variable}) == token


@pytest.mark.parametrize("content", [None, "", "to ken\u00e9"])
def test_a_token_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StartFault, match="token"):
        token_of(Where("http://x", None, ""), path, {})


@pytest.mark.parametrize("command", [["-m", "tui"], ["-m", "appliance", "tui"]])
def test_without_an_appliance_the_command_says_what_to_do(tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, "--data", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert done.returncode == 4
    assert "no process is running" in done.stderr and "sternpost run" in done.stderr and not done.stdout


@pytest.mark.parametrize(
    ("token", "variable", "said"),
    [(TOKEN, "", ""), ("another", "", "refuses the token from the data folder"), ("another", "x", "STERNPOST_TOKEN")],
)
async def test_a_refused_token_is_told_before_a_console_is_drawn(token: str, variable: str, said: str) -> None:
    origin = token_from(None, {"STERNPOST_TOKEN": variable})
    async with FakeApi().running() as url:
        if not said:
            await check_token(Client(url, token), origin)
            return
        with pytest.raises(StartFault, match=said) as fault:
            await check_token(Client(url, token), origin)
    assert fault.value.code == 1 and "--token-file" in fault.value.next_step


async def test_an_appliance_that_does_not_answer_is_the_consoles_to_look_for() -> None:
    client = Client("http://127.0.0.1:9", "token")
    await check_token(client, "")
