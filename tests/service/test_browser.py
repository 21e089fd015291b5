"""The demonstration as a person sees it: every page in a real browser, alarms that come live, an answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioning import free_port

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="wants Debian's chromium"),
]
PREPARE_SECONDS, ALARM_SECONDS = 400, 240
FAILING = {"fan/id_01", "gearbox/id_00", "valve/id_00"}
WELL = {"fan/id_00", "pump/id_00"}
LOOKS = (("de", "light", 1280), ("ja", "dark", 390), ("en", "dark", 1280), ("de", "light", 390))
"""Language, colours and width in which every page is opened, too."""


def told(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a structured log."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Address and password of a running demonstration, and its log."""
    folder = tmp_path_factory.mktemp("demo")
    log, port = folder / "log.txt", free_port()
    command = [sys.executable, "-m", "thrum", "monitor", "--demo", "--out", str(folder / "out")]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=file,
            stderr=file,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    try:
        deadline = time.monotonic() + PREPARE_SECONDS
        while not (found := re.search(r"with the password (\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/", found[1], log
    finally:
        process.terminate()
        process.wait(30)


def test_alarms_come_live_are_explained_and_answered(
    demo: tuple[str, str, Path], tmp_path: Path
) -> None:
    address, password, log = demo
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(address)
        page.fill("input[name=name]", "demo")
        page.fill("input[name=password]", password)
        page.keyboard.press("Enter")
        page.get_by_text("Conveyor gearbox").wait_for()

        deadline = time.monotonic() + ALARM_SECONDS
        while page.locator('a[href^="/machine/"]', has_text="Alarm").count() < len(
            FAILING
        ):  # nobody reloads
            assert time.monotonic() < deadline, page.inner_text("body")
            page.wait_for_timeout(500)
        page.screenshot(path=tmp_path / "fleet.png")

        for name in ("inputs", "ledger", "settings"):
            answer = page.goto(f"{address}{name}")
            assert answer is not None
            assert answer.status == 200
            page.wait_for_timeout(800)
            page.screenshot(path=tmp_path / f"{name}.png")
        page.goto(f"{address}machine/gearbox/id_00")
        page.get_by_text("Explain this clip").click()
        page.get_by_text("What is strange").wait_for(timeout=120_000)
        page.get_by_text("I have heard it").click()
        page.get_by_text("Acknowledged since").or_(
            page.locator("body", has_text="Acknowledged")
        ).first.wait_for()
        page.screenshot(path=tmp_path / "machine.png", full_page=True)

        page.set_viewport_size({"width": 390, "height": 844})  # a telephone
        page.goto(address)
        page.get_by_text("Conveyor gearbox").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.goto(f"{address}ledger")
        page.get_by_text("Heard", exact=True).first.wait_for()  # in the audit log
        for language, scheme, width in LOOKS:
            context = browser.new_context(
                storage_state=page.context.storage_state(),
                locale=language,
                color_scheme=scheme,
                viewport={"width": width, "height": 900},
            )
            other = context.new_page()
            other.on("pageerror", lambda error: errors.append(str(error)))
            for place in ("", "inputs", "ledger", "settings", "machine/gearbox/id_00"):
                other.goto(f"{address}{place}")
                other.wait_for_timeout(1200)
                assert other.evaluate("document.documentElement.lang") == language
                wide = other.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, (language, place, wide)
                dark = other.evaluate("document.body.classList.contains('body--dark')")
                assert dark == (scheme == "dark"), (language, place)
                name = place.partition("/")[0] or "fleet"
                other.screenshot(
                    path=tmp_path / f"{name}-{language}-{scheme}-{width}.png", full_page=True
                )
            context.close()
        browser.close()
    assert errors == []
    said = told(log)
    alarms = {
        line["what"].rpartition(": ")[2] for line in said if line["what"].startswith("alarm ")
    }
    assert alarms >= FAILING
    assert not alarms & WELL
    assert "Warning" not in log.read_text(encoding="utf-8")
