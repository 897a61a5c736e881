"""The page about identity tells the defaults and the block-list that hold."""

import re
from typing import get_args

from appliance.core.config import IdentityConfig, Teaching
from appliance.identity import normalise
from appliance.identity.rules import IDS_MAX, LISTED_MAX, Rules
from appliance.identity.type_rules import DEFAULTS, EXTERNAL
from tests.house.files import ROOT

PAGE = (ROOT / "docs" / "identity.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_limits_of_every_type() -> None:
    told = [re.split(r"\s*\|\s*", line)[1:-1] for line in section("Limits").splitlines() if line.startswith("|")][2:]
    hold = [(f"`{name}`", table) for name, table in DEFAULTS.items()]
    hold.insert(3, ("external ids and your own", EXTERNAL))
    assert told == [
        [name, str(table.priority), str(table.most), "yes" if table.unique else "no", f"`{table.normalise}`"]
        for name, table in hold
    ]


def test_the_block_list() -> None:
    told = {word.lower() for word in re.findall(r"`([^`]+)`", section("Nobody's ids").split("; whatever")[0])}
    assert told == set(normalise.NOBODY)


def test_other_numbers() -> None:
    rules = Rules(IdentityConfig())
    assert f"more than {rules.ids_max} altogether" in PAGE
    assert f"`shared_after` ({rules.shared_after})" in PAGE
    assert f"At most {IDS_MAX} ids of one event" in PAGE
    assert f"at most {LISTED_MAX} of them may stand in lists" in PAGE
    assert f"more than {normalise.BYTES_MAX} bytes" in PAGE


def test_what_a_source_may_teach() -> None:
    told = re.findall(r'^\| `"(\w+)"`', section("Whom you believe"), re.MULTILINE)
    assert told == list(get_args(Teaching))
