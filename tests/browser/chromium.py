"""A headless Chromium, and what a page does in it."""

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.cluster.install import SEARCH_PATH

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
HEIGHT = 900
_PAGE = re.compile(rb"/Type /Page\b(?!s)")


@dataclass
class Browser:
    """One window."""

    driver: webdriver.Chrome

    def open(self, page: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Opens a file, as somebody with this screen and these wishes does."""
        metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._do("Emulation.setDeviceMetricsOverride", metrics)
        self._do("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(page.as_uri())

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.driver.execute_script(f"return {script}")

    @property
    def complaints(self) -> list[str]:
        """What stands in the console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        """What the page asked for, itself included; data in the page is no request."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def pages(self) -> int:
        """How many pages it prints on."""
        printed = self._do("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
        return len(_PAGE.findall(base64.b64decode(printed["data"])))

    def _do(self, command: str, values: dict[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(command, values)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser of one's own; it is told where its driver lies, so that it downloads none."""
    options = Options()
    options.binary_location = shutil.which("chromium", path=SEARCH_PATH) or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        service = Service(shutil.which("chromedriver", path=SEARCH_PATH))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
