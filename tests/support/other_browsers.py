"""Debian's Firefox and WebKit, driven through Selenium. Both report the language `C`, which `Intl` does not know."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psutil
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    JavascriptException,
    StaleElementReferenceException,
)
from selenium.webdriver import FirefoxOptions, WebKitGTKOptions
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.file_detector import UselessFileDetector
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from selenium.webdriver.webkitgtk.service import Service

from tests.support.cluster import wait_until

_PATIENCE_SECONDS = 60  # a busy machine is no fault
_PREFERENCES = {"marionette.port": 0, "intl.accept_languages": "C, en-US@posix", "dom.ipc.processCount": 1}
# Marionette's names of the commands that tests use.
_MARIONETTE = {
    Command.NEW_SESSION: "WebDriver:NewSession",
    Command.QUIT: "Marionette:Quit",
    Command.GET: "WebDriver:Navigate",
    Command.GET_CURRENT_URL: "WebDriver:GetCurrentURL",
    Command.SCREENSHOT: "WebDriver:TakeScreenshot",
    Command.SET_WINDOW_RECT: "WebDriver:SetWindowRect",
    Command.DELETE_ALL_COOKIES: "WebDriver:DeleteAllCookies",
    Command.W3C_EXECUTE_SCRIPT: "WebDriver:ExecuteScript",
    Command.CLICK_ELEMENT: "WebDriver:ElementClick",
    Command.SEND_KEYS_TO_ELEMENT: "WebDriver:ElementSendKeys",
    Command.GET_ELEMENT_TEXT: "WebDriver:GetElementText",
}


class _Marionette(RemoteConnection):
    """Sends WebDriver commands to Firefox itself. Debian has no geckodriver, which does this for a client over HTTP."""

    def __init__(self, port: int) -> None:
        super().__init__(client_config=ClientConfig(f"http://127.0.0.1:{port}"))
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._replies = self._socket.makefile("rb")
        self._sent = 0
        self._read()  # what the browser can do

    def execute(self, command: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send one command, and return its reply in the form in which a driver's HTTP server gives it."""
        parameters = {name: value for name, value in params.items() if name != "sessionId"}
        if command == Command.NEW_SESSION:
            parameters = {}
        if command == Command.QUIT:
            parameters = {"flags": ["eForceQuit"]}
        self._sent += 1
        content = json.dumps([0, self._sent, _MARIONETTE[command], parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(content), content))
        _, _, error, result = self._read()
        if error:
            return {"status": 500, "value": json.dumps({"value": error})}
        return {"value": result["value"] if isinstance(result, dict) and result.keys() == {"value"} else result}

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def _read(self) -> Any:  # noqa: ANN401 - as JSON has it
        size = b""
        while (digit := self._replies.read(1)) != b":":
            if not digit:
                raise ConnectionError("Firefox has closed the connection.")
            size += digit
        return json.loads(self._replies.read(int(size)))


@contextmanager
def firefox(folder: Path) -> Iterator[WebDriver]:
    """Firefox without a window, with an empty profile in `folder`."""
    folder.joinpath("user.js").write_text(
        "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items())
    )
    command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    with _process(command, env=_own_home(folder)) as process:
        found = folder / "MarionetteActivePort"
        wait_until(lambda: found.exists() and found.read_text() != "", what="Firefox listens")
        server = _Marionette(int(found.read_text()))
        # Files that a page is given are where the browser is.
        driver = WebDriver(server, options=FirefoxOptions(), file_detector=UselessFileDetector())
        try:
            yield driver
        finally:
            driver.quit()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_SECONDS)


@contextmanager
def webkit(folder: Path) -> Iterator[WebDriver]:
    """WebKit's own small browser, on a display that nobody sees."""
    with _display() as display:
        env = {**_own_home(folder), "DISPLAY": display, "GDK_BACKEND": "x11", "LC_ALL": "C.UTF-8", "NO_AT_BRIDGE": "1"}
        service = Service(env=env)
        service.start()
        try:
            server = RemoteConnection(client_config=ClientConfig(service.service_url))
            driver = WebDriver(server, options=WebKitGTKOptions(), file_detector=UselessFileDetector())
            try:
                yield driver
            finally:
                driver.quit()
        finally:
            _kill_children(service.process.pid)
            service.stop()


@contextmanager
def _display() -> Iterator[str]:
    chosen, written = os.pipe()
    command = ["Xvfb", "-displayfd", str(written), "-screen", "0", "1440x1000x24", "-nolisten", "tcp"]
    with _process(command, pass_fds=[written]), os.fdopen(chosen) as number:
        os.close(written)
        yield f":{number.readline().strip()}"


def _kill_children(pid: int) -> None:
    for each in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            each.kill()


def _own_home(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}


@contextmanager
def _process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:  # noqa: ANN401 - of Popen
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def find(driver: WebDriver, selector: str, text: str = "") -> WebElement:
    """Wait until an element that matches a CSS selector is shown with a text or label, and return the first."""

    def find_now(_: WebDriver) -> WebElement | Literal[False]:
        return driver.execute_script(_FIND, selector, text) or False

    # A page that is being left runs no script.
    waiting = WebDriverWait(driver, _PATIENCE_SECONDS, 0.1, ignored_exceptions=[JavascriptException])
    return waiting.until(find_now, f"no {selector} with the text {text!r}")


_FIND = """const [selector, text] = arguments
return [...document.querySelectorAll(selector)].find(each => each.checkVisibility({ visibilityProperty: true }) &&
  [each.ariaLabel, each.textContent].some(said => said?.includes(text))) ?? null"""

_PLACE = "return JSON.stringify(arguments[0].getBoundingClientRect())"


def click(driver: WebDriver, selector: str, text: str = "") -> None:
    """Click such an element once it rests, again if the page has just replaced it or moved something over it.

    A driver looks for the place of an element before it clicks there, and the page may move the element meanwhile.
    """
    place: tuple[str, str] | None = None

    def click_now(_: WebDriver) -> bool:
        nonlocal place
        element = find(driver, selector, text)
        before, place = place, (element.id, driver.execute_script(_PLACE, element))
        if place != before:
            return False
        element.click()
        return True

    passing = (ElementClickInterceptedException, StaleElementReferenceException)
    WebDriverWait(driver, _PATIENCE_SECONDS, 0.1, ignored_exceptions=passing).until(click_now)
