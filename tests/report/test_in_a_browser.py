from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.report.conftest import Reported
from tests.report.test_page import POLICY

pytestmark = pytest.mark.needs_chromium


@dataclass
class Browser:
    """A headless chromium whose only way out is a proxy that writes down what was asked for and answers nothing."""

    path: str
    proxy: int
    scratch: Path
    asked: list[str] = field(default_factory=list)

    def open(self, page: Path, *options: str) -> tuple[bytes, list[str]]:
        """A screenshot of `page` and what the console said."""
        shot = self.scratch / "shot.png"
        command = [
            self.path, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            f"--user-data-dir={self.scratch / 'profile'}", f"--proxy-server=http://127.0.0.1:{self.proxy}",
            "--proxy-bypass-list=<-loopback>", "--enable-logging=stderr", "--window-size=1280,2400",
            f"--screenshot={shot}", *options, page.as_uri(),
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert shot.is_file(), ran.stderr.decode(errors="replace")[-2000:]
        said = [line for line in ran.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
        return shot.read_bytes(), said

    def asked_for(self, host: str) -> list[str]:
        """The requests that named `host`."""
        return [line for line in self.asked if host in line]


@pytest.fixture
def browser(chromium: str, tmp_path: Path) -> Iterator[Browser]:
    asked: list[str] = []

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode(errors="replace"))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Browser(chromium, server.server_address[1], tmp_path, asked)
        server.shutdown()


def corner(shot: bytes) -> tuple[int, ...]:
    picture = Image.open(BytesIO(shot)).convert("RGB")
    assert picture.size == (1280, 2400)
    assert len(picture.getcolors(maxcolors=1 << 20) or []) > 50, "the page is blank"
    pixel = picture.getpixel((4, 700))
    assert isinstance(pixel, tuple)
    return pixel


def test_a_report_full_of_traps_opens_without_a_word_on_the_console_and_asks_for_nothing(
    browser: Browser, trapped: Reported
) -> None:
    shot, said = browser.open(trapped.built.path)
    assert said == []
    assert browser.asked_for("evil.example") == []
    assert corner(shot) == (255, 255, 255)


def test_a_report_is_dark_where_the_reader_works_in_the_dark(
    browser: Browser, investigated: Reported
) -> None:
    shot, said = browser.open(investigated.built.path, "--blink-settings=preferredColorScheme=0")
    assert said == []
    assert corner(shot) == (0x17, 0x1A, 0x1E)


def test_the_browser_would_have_told_had_a_page_run_or_asked_for_something(
    browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<h1>x</h1><script>console.error("ran")</script><img src="http://evil.example/a.png">')
    assert any("ran" in line for line in browser.open(page)[1])
    assert browser.asked_for("evil.example")
    page.write_text(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><script>1</script>')
    assert any("Content Security Policy" in line for line in browser.open(page)[1])
