"""The report in a real browser: the figures are drawn, nothing is fetched, the console stays
silent.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from winnow.report import write_report

from . import documents

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


def opened(path: Path, profile: Path) -> tuple[str, list[str]]:
    """The page after its scripts have run, and what the console said; no host name resolves."""
    assert CHROMIUM is not None
    flags = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
        "--disable-component-update"
    )
    quiet = (
        "--disable-sync --enable-logging=stderr --virtual-time-budget=30000 --dump-dom "
        "--window-size=1280,900"
    )
    done = subprocess.run(
        [
            CHROMIUM,
            *flags.split(),
            *quiet.split(),
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def hostile() -> dict[str, dict[str, Any]]:
    """A run whose names would say something on the console if any of them were taken for markup."""
    spoilt = documents.classification()
    spoilt["run"]["name"] = "<script>console.log('ran')</script>"
    spoilt["ablation"]["comparisons"][0]["name"] = (
        "</script><script>console.log('ran')</script><img src=x onerror=console.log('ran')>"
    )
    spoilt["evaluation"]["classes"][3] = "<a href='javascript:console.log(1)'>three</a>"
    return spoilt


@pytest.mark.parametrize(
    ("make", "absent"), [(hostile, "truth_scatter"), (documents.regression, "confusion")]
)
def test_every_figure_is_drawn_and_the_console_is_silent(
    make: Any, absent: str, tmp_path: Path
) -> None:
    dom, console = opened(write_report(make(), tmp_path / "report.html"), tmp_path / "profile")
    assert console == []
    assert 'data-figures="drawn"' in dom
    frames = re.findall(r'<div class="plot[^"]*" data-figure="(\w+)"', dom)
    assert len(frames) == 7
    assert absent not in frames
    assert len(re.findall(r'class="plot-container', dom)) == len(frames)
    buttons = re.findall(r'data-title="([^"]+)"', dom)
    assert "Download plot as a PNG" in buttons
    # Plotly can send a figure away
    assert not [b for b in buttons if "share" in b.lower() or "cloud" in b.lower()]
    assert "<img" not in dom.split("</footer>")[0]
    assert not re.search(r'href="javascript', dom)
