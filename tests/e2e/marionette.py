"""Firefox as Debian ships it, driven by its own remote protocol (Marionette): JSON over a plain socket."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.annotator.running import free_port

PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """A headless Firefox with a profile of its own in ``home``; one window."""

    def __init__(self, command: str, home: Path) -> None:
        port, profile = free_port(), home / "profile"
        profile.mkdir()
        self.downloads = home / "downloads"
        self.downloads.mkdir()
        own = {"marionette.port": port, "browser.download.folderList": 2, "browser.download.dir": str(self.downloads)}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in (PREFERENCES | own).items()]
        (profile / "user.js").write_text("\n".join(lines))
        words = [command, "--headless", "--no-remote", "--marionette", "--profile", str(profile)]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._socket = self._connect(port)
        self._count = 0
        self._read()  # it introduces itself
        self.do("WebDriver:NewSession")

    def do(self, command: str, **parameters: Any) -> Any:
        """One command's result; what Firefox calls an error is raised."""
        self._count += 1
        message = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(f"{len(message)}:".encode() + message)
        _, number, error, result = self._read()
        assert number == self._count
        assert error is None, f"{command}: {error}"
        return result.get("value") if isinstance(result, dict) else result

    def run(self, script: str, *arguments: Any) -> Any:
        """What ``script``, the body of a function, returns in the page."""
        return self.do("WebDriver:ExecuteScript", script=script, args=list(arguments))

    def mouse(self, *steps: dict[str, Any]) -> None:
        """Pointer actions such as ``{"type": "pointerMove", "x": 1, "y": 2}``."""
        source = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": steps}
        self.do("WebDriver:PerformActions", actions=[source])

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)

    def _connect(self, port: int) -> socket.socket:
        end = time.monotonic() + 120
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=120)
            except OSError:
                assert self._process.poll() is None, "Firefox ended at once"
                assert time.monotonic() < end, "Firefox did not listen"
                time.sleep(0.1)

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._some(1)
        left, content = int(length[:-1]), b""
        while len(content) < left:
            content += self._some(left - len(content))
        return json.loads(content)

    def _some(self, most: int) -> bytes:
        received = self._socket.recv(most)
        assert received, "Firefox closed the connection"
        return received
