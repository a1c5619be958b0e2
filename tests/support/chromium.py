"""A headless Chromium behind its own ChromeDriver, spoken to by the WebDriver protocol (https://www.w3.org/TR/webdriver2/)."""

import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from navplane_local.listener import bind

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
START_SECONDS = 30.0
WAIT_SECONDS = 15.0
# As root there is no sandbox; and nothing here may look for hosts outside.
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def missing() -> str | None:
    """Why there can be no browser here, if there can't."""
    absent = [names for names in (("chromium", "google-chrome", "chrome"), ("chromedriver",)) if not _found(*names)]
    return f"there is no {' and no '.join(names[0] for names in absent)} on this machine" if absent else None


def _found(*names: str) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


class Chromium:
    def __init__(self, driver: httpx2.Client, session: str) -> None:
        self._driver, self._session = driver, session

    def open(self, url: str) -> None:
        self._call("POST", "/url", url=url)

    @property
    def url(self) -> str:
        return str(self._call("GET", "/url"))

    def text(self, selector: str = "body") -> str:
        return str(self._call("GET", f"/element/{self._element(selector)}/text"))

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self._element(selector)}/click")

    def press(self, *keys: str) -> None:
        """To whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def run(self, script: str, *arguments: Any) -> Any:
        return self._call("POST", "/execute/sync", script=script, args=list(arguments))

    def cookies(self) -> list[dict[str, Any]]:
        return list(self._call("GET", "/cookie"))

    def complaints(self) -> list[str]:
        """What the browser's console says is wrong: a violated policy, a script's error."""
        return [entry["message"] for entry in self._call("POST", "/se/log", type="browser")]

    def emulate(self, **features: str) -> None:
        """Media features, such as prefers_color_scheme="dark"."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._command("Emulation.setEmulatedMedia", features=listed)

    def without_scripts(self) -> None:
        self._command("Emulation.setScriptExecutionDisabled", value=True)

    def resize(self, width: int, height: int) -> None:
        self._call("POST", "/window/rect", width=width, height=height)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def await_text(self, text: str, selector: str = "body") -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                seen = self.text(selector)
            except AssertionError as exc:
                # The element was replaced between being found and being read.
                seen = str(exc)
            if text in seen:
                return
            assert time.monotonic() < deadline, f"{text!r} did not show up in {seen!r}"
            time.sleep(0.05)

    def _command(self, name: str, **parameters: Any) -> None:
        self._call("POST", "/goog/cdp/execute", cmd=name, params=parameters)

    def _element(self, selector: str) -> str:
        found = self._call("POST", "/element", using="css selector", value=selector)
        return str(found[ELEMENT])

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._driver.request(method, f"/session/{self._session}{path}", json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value


@contextmanager
def chromium() -> Iterator[Chromium]:
    with bind() as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="navplane-chromium-") as profile:
        process = subprocess.Popen(
            [str(_found("chromedriver")), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as driver:
                session = _session(driver, profile)
                try:
                    yield Chromium(driver, session)
                finally:
                    driver.delete(f"/session/{session}")
        finally:
            process.terminate()
            process.wait(10)


def _session(driver: httpx2.Client, profile: str) -> str:
    _await(driver)
    options = {"binary": _found("chromium", "google-chrome", "chrome"), "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    answer = driver.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
    value = answer.json()["value"]
    assert answer.is_success, value
    return str(value["sessionId"])


def _await(driver: httpx2.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if driver.get("/status").json()["value"]["ready"]:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline, "ChromeDriver did not start"
        time.sleep(0.05)
