"""docs/plugins.md says what is so: its example keeps the contract, and it names all that a plug-in may import."""

import re
from pathlib import Path

from appliance import sdk
from appliance.deliver.conformance import run_conformance
from tests.support.appliance import ROOT

PAGE = (ROOT / "docs" / "plugins.md").read_text()


def test_the_example_keeps_the_contract(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "example.py"
    path.write_text(example)
    assert [check for check in run_conformance(path, timeout_s=0.3) if check.verdict == "failed"] == []


def test_everything_that_can_be_imported_is_explained() -> None:
    assert [name for name in sdk.__all__ if not re.search(rf"\b{name}\b", PAGE)] == []


def test_reply_and_limits_are_explained_whole() -> None:
    names = [*sdk.Limits.__struct_fields__, *(name for name in vars(sdk.Reply) if not name.startswith("_"))]
    assert [name for name in names if name not in {"body", "phrase"} and not re.search(rf"\b{name}\b", PAGE)] == []
