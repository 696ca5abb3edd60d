"""The table of ONNX operations: none is missing, each is what it says, and docs/operations.md is the table."""

from pathlib import Path

import onnx
import pytest

from energysim.workload.onnx_sequences import SEQUENCES
from energysim.workload.onnx_table import CONTROL, OPERATIONS, STORED, VIEWS, operations_page
from energysim.workload.onnx_values import MOVES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PLAIN_DOMAINS = ("", "ai.onnx.ml")


def every_operation() -> set[str]:
    schemas = onnx.defs.get_all_schemas_with_history()
    return {each.name if each.domain in PLAIN_DOMAINS else f"{each.domain}.{each.name}" for each in schemas}


def test_no_operation_is_missing_and_none_is_made_up() -> None:
    assert every_operation() - set(OPERATIONS) == set(), "give it a line in energysim/workload/onnx_table.py"
    # an older onnx package does not know the newest operations
    newest = onnx.defs.onnx_opset_version() >= 26
    assert not newest or set(OPERATIONS) - every_operation() == set()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operation_is_handled_as_its_kind_says(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.kind in ("compute", "view", "data", "control", "stored")
    assert operation.says
    if operation.kind in ("compute", "data"):
        assert operation.make is not None
    elif operation.kind == "view":
        assert name in MOVES or name in SEQUENCES or name in ("Shape", "Size"), name
    else:
        assert name in CONTROL | STORED
    assert (operation.kind == "view") == (name in VIEWS)


def test_page_is_the_table() -> None:
    assert PAGE.read_text() == operations_page(), "run: python -m energysim.workload.onnx_table > docs/operations.md"
