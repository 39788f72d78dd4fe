"""Real headless Chromium over its DevTools protocol: pages are opened, looked at, and typed into."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-port=0",
)  # fmt: skip
PATIENCE = 60.0
KEYS = {"Backspace": 8, "Tab": 9, "Enter": 13}


def program() -> str | None:
    """Where Chromium is: `CHROMIUM`, or by its usual names."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page. `requests`: every address asked for; `complaints`: errors and warnings of console and network."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire, self.last, self.session = wire, 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loads = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> Any:
        """Ask, hear what happens meanwhile, and give the answer."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": arguments}
        self.wire.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            heard = json.loads(self.wire.recv(timeout=PATIENCE))
            if heard.get("id") == self.last:
                assert "error" not in heard, heard
                return heard["result"]
            self._note(heard.get("method"), heard.get("params", {}))

    def _note(self, event: str | None, said: dict[str, Any]) -> None:
        if event == "Page.loadEventFired":
            self.loads += 1
        elif event == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and said["type"] in {"error", "warning", "assert"}:
            self.complaints.append(str(said["args"]))
        elif event == "Log.entryAdded" and said["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(str(said["entry"]))

    def loaded(self, before: int) -> None:
        """Wait until a page has been loaded since there were `before` loads."""
        deadline = time.monotonic() + PATIENCE
        while self.loads == before:
            assert time.monotonic() < deadline, "the page does not load"
            self.evaluate("0")

    def open(self, address: str) -> None:
        """Go there, and wait until it is loaded with its pictures."""
        before = self.loads
        self.call("Page.navigate", url=address)
        self.loaded(before)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A real key press."""
        code = KEYS.get(key) or ord(key.upper())
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        for kind, extra in (("keyDown", text), ("keyUp", {})):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    def size(self, width: int, height: int = 900) -> None:
        """The window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def look(self, media: str, scheme: str) -> None:
        """`screen` or `print`, `light` or `dark`."""
        scheme_feature = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=scheme_feature)

    def picture(self, path: Path) -> Path:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot))
        return path

    def pdf(self, path: Path) -> Path:
        """As it is printed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))
        return path


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A page of a Chromium of its own, with a new empty profile; it ends with the block."""
    found = program()
    assert found
    profile.mkdir(parents=True)
    with subprocess.Popen(
        [found, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            port, path = _address(profile / "DevToolsActivePort", process)
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as wire:
                yield Tab(wire)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(file: Path, process: "subprocess.Popen[bytes]") -> tuple[str, str]:
    """Port and path of the protocol, once Chromium has written them."""
    deadline = time.monotonic() + PATIENCE
    while not file.is_file() or file.read_text().count("\n") < 1:
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "Chromium does not start"
        time.sleep(0.05)
    port, path = file.read_text().splitlines()[:2]
    return port, path
