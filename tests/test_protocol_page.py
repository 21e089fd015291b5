"""docs/protocol.md is made from the messages themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_what_the_messages_make() -> None:
    spec = importlib.util.spec_from_file_location(
        "generate_protocol", DOCS / "generate_protocol.py"
    )
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = generator.rendered()
    assert (DOCS / "protocol.md").read_text(encoding="utf-8") == page
    assert "whole number from 1 to 1,000,000" in page
