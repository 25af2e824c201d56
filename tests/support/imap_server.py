"""A real IMAP server (pymap) in a process of its own, on a port of this machine."""

import imaplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from tests.support.ports import free_port

USER, PASSWORD = "ann", "a password"


@dataclass
class ImapServer:
    """A running server with one user."""

    port: int
    process: "subprocess.Popen[bytes]"

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def append(self, message: EmailMessage | bytes, folder: str = "INBOX") -> str:
        """Put a message into a folder; returns its number."""
        content = message if isinstance(message, bytes) else message.as_bytes()
        with self.connect() as client:
            client.create(folder)
            state, found = client.append(folder, "", "", content)
            assert state == "OK", found
        return found[0].split(b"]")[0].split()[-1].decode()

    def delete(self, uid: str, folder: str = "INBOX") -> None:
        with self.connect() as client:
            client.select(folder)
            client.uid("STORE", uid, "+FLAGS", "(\\Deleted)")
            client.expunge()

    def describe_flags(self, folder: str = "INBOX") -> str:
        with self.connect() as client:
            client.select(folder, readonly=True)
            return repr(client.fetch("1:*", "(FLAGS)")[1])

    def connect(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=30)
        client.login(USER, PASSWORD)
        return client


@contextmanager
def open_imap_server(certificates: Path | None = None) -> Iterator[ImapServer]:
    """Run a server with one user. With a folder that has a certificate and its key, it offers STARTTLS."""
    port = free_port()
    tls = ["--no-tls"]
    if certificates is not None:
        tls = ["--cert", str(certificates / "certificate.pem"), "--key", str(certificates / "key.pem")]
    program = [str(Path(sys.executable).parent / "pymap"), "--host", "127.0.0.1", "--port", str(port), *tls]
    program += ["--no-service", "managesieve", "dict", "--demo-user", USER, "--demo-password", PASSWORD]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        server = ImapServer(port, process)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            server.stop()


def _wait_until_ready(server: ImapServer) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            imaplib.IMAP4("127.0.0.1", server.port, timeout=30).logout()
        except OSError:
            assert server.process.poll() is None, "the IMAP server ended"
            assert time.monotonic() < deadline, "the IMAP server did not start"
            time.sleep(0.05)
        else:
            return
