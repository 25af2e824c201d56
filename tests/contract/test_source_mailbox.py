"""An IMAP mailbox as a source, against a real server, and against servers that misbehave."""

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

import pytest

from ingest.parsing.mail import unpack_eml
from ingest.parsing.types import EntryLimits
from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    SourceOptionsError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.imap_connection import CheckedMailBox
from ingest.sources.imap_source import ImapSource
from ingest.sources.mailbox import MailboxOptions
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destination, Destinations
from tests.contract.source_contract import Place, SourceContract, list_by_name, read_item
from tests.support.imap_server import PASSWORD, USER, ImapServer, open_imap_server
from tests.support.mapped_source import MappedSource
from tests.support.proxies import write_certificate


def write_message(subject: str, content: bytes, file_name: str = "content.bin") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann Müller <ann@harbour.example>"
    message["To"] = "bob@harbour.example"
    message["Date"] = "Tue, 01 Dec 2026 10:00:00 +0100"
    message["Subject"] = subject
    message.set_content("See the attachment.")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=file_name)
    return message


def find_file(document: bytes) -> tuple[str, bytes]:
    """The subject of a message is the name, the attachment is the content."""
    message = BytesParser(policy=policy.default).parsebytes(document)
    (attached,) = message.iter_attachments()
    return str(message["Subject"]), attached.get_content()


@dataclass
class MailPlace:
    server: ImapServer
    context: SourceContext
    uids: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, content: bytes) -> None:
        if name in self.uids:
            self.remove(name)
        self.uids[name] = self.server.append(write_message(name, content))

    def remove(self, name: str) -> None:
        self.server.delete(self.uids.pop(name))

    def stop(self) -> None:
        self.server.stop()

    def open(self) -> AbstractContextManager[Source]:
        return closing(MappedSource(build_mailbox(self.context, self.server.port), find_file))


def build_mailbox(context: SourceContext, port: int, **options: Any) -> Source:  # noqa: ANN401
    kind = SOURCE_KINDS["mailbox"]
    usual = {"host": "127.0.0.1", "port": port, "security": "none", "username": USER, "password": PASSWORD}
    return kind.build(kind.options(**(usual | options)), context)


@pytest.fixture
def server() -> Iterator[ImapServer]:
    with open_imap_server() as server:
        yield server


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    return SourceContext(Destinations.parse("127.0.0.0/8, ::1/128"), tmp_path, timeout_seconds=20)


class TestMailbox(SourceContract):
    @pytest.fixture
    def place(self, server: ImapServer, context: SourceContext) -> Place:
        return MailPlace(server, context)

    def test_the_version_changes_with_the_content(self, place: Place) -> None:
        """Messages never change, so a message with another content is another item."""
        place.write("a.txt", b"one")
        place.write("b.txt", b"same")
        before = list_by_name(place)
        place.write("a.txt", b"two")
        after = list_by_name(place)
        assert after["a.txt"].id != before["a.txt"].id
        assert after["b.txt"] == before["b.txt"]
        assert read_item(place, after["a.txt"]) == b"two"


def list_messages(context: SourceContext, port: int, **options: Any) -> list[SourceItem]:  # noqa: ANN401
    with closing(build_mailbox(context, port, **options)) as source:
        return list(source.list_items())


def read_message(context: SourceContext, port: int, item: SourceItem) -> bytes:
    with closing(build_mailbox(context, port)) as source, source.open_item(item) as opened:
        return b"".join(opened.blocks)


def test_a_message_is_read_by_our_parser_with_its_attachments(
    server: ImapServer, context: SourceContext, tmp_path: Path
) -> None:
    server.append(write_message("Wartung / Service", b"a,b\n1,2\n", "table.csv"))
    (item,) = list_messages(context, server.port)
    assert (item.name, item.author, item.path) == ("Wartung _ Service.eml", "Ann Müller", "INBOX")
    assert item.modified_at == 1_796_115_600.0
    path = tmp_path / item.name
    path.write_bytes(read_message(context, server.port, item))
    entries = tmp_path / "entries"
    entries.mkdir()
    parsed = unpack_eml(path, entries, EntryLimits(10, 1_000_000))
    assert "See the attachment." in parsed.text
    assert [each.path for each in parsed.entries] == ["table.csv"]
    assert "Seen" not in server.describe_flags()


def test_folders_are_read_side_by_side(server: ImapServer, context: SourceContext) -> None:
    for n in range(3):
        server.append(write_message(f"one {n}", b"x"))
        server.append(write_message(f"two {n}", b"x"), "Archive")
    with closing(build_mailbox(context, server.port, folders=["INBOX", "Archive"])) as source:
        found = {}
        for item in source.list_items():
            with source.open_item(item) as opened:
                found[item.name] = find_file(b"".join(opened.blocks))[0]
    assert found == {f"{folder} {n}.eml": f"{folder} {n}" for folder in ("one", "two") for n in range(3)}


def test_more_messages_than_a_batch_are_listed(server: ImapServer, context: SourceContext) -> None:
    with server.connect() as client:
        for n in range(110):
            client.append("INBOX", "", "", f"Subject: {n}\r\n\r\ntext".encode())
    assert {item.name for item in list_messages(context, server.port)} == {f"{n}.eml" for n in range(110)}


def test_a_wrong_password_or_folder_is_refused(server: ImapServer, context: SourceContext) -> None:
    with pytest.raises(SourceRefusedError, match="password"):
        list_messages(context, server.port, password="wrong")
    server.append(write_message("one", b"x"))
    with pytest.raises(SourceRefusedError, match="Missing"):
        list_messages(context, server.port, folders=["INBOX", "Missing"])


def test_a_password_in_any_language_is_sent(context: SourceContext) -> None:
    answers = {b"CAPABILITY": _CAPABLE, b"AUTHENTICATE": b"+ \r\n", b"": b"TAG BAD unexpected\r\n"}
    lines: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as commands:
            connection.sendall(b"* OK ready\r\n")
            for line in commands:
                lines.append(line)
                tag = line.split(None, 1)[0]
                found = next(each for name, each in answers.items() if name in line.upper())
                connection.sendall(found.replace(b"TAG", tag))
                if b"AUTHENTICATE" in line:
                    lines.append(base64.b64decode(next(commands)))
                    connection.sendall(tag + b" NO wrong\r\n")

    with ExitStack() as stack:
        port = stack.enter_context(serving_connections(listen))
        with pytest.raises(SourceRefusedError, match="password"):
            list_messages(context, port, password="geheim€")
    assert "\0ann\0geheim€".encode() in lines


def test_messages_of_a_folder_that_was_replaced_are_gone(server: ImapServer, context: SourceContext) -> None:
    server.append(write_message("one", b"x"))
    (item,) = list_messages(context, server.port)
    folder, validity, uid = item.id.rsplit("/", 2)
    with pytest.raises(ItemGoneError):
        read_message(context, server.port, replace(item, id=f"{folder}/{int(validity) + 1}/{uid}"))


def test_large_messages_are_refused_whatever_size_was_announced(server: ImapServer, context: SourceContext) -> None:
    server.append(write_message("one", b"x" * 3_000_000))
    (item,) = list_messages(context, server.port)
    small = replace(context, max_item_bytes=2_000_000)
    for announced in (item.size_bytes, 10, None):
        with pytest.raises(ItemRefusedError):
            read_message(small, server.port, replace(item, size_bytes=announced))
    assert find_file(read_message(context, server.port, item)) == ("one", b"x" * 3_000_000)


def test_only_permitted_servers_are_reached(context: SourceContext) -> None:
    public = replace(context, destinations=Destinations())
    for options in ({"host": "10.0.0.1", "security": "tls"}, {"host": "imap.example.org", "security": "none"}):
        with pytest.raises(SourceOptionsError, match="not permitted"):
            build_mailbox(public, 993, **options)
    with pytest.raises(SourceOptionsError, match="not permitted"):
        build_mailbox(public, 22, host="imap.example.org", security="tls")
    with pytest.raises(SourceRefusedError, match="not a public address"):
        list_messages(public, 993, host="localhost", security="tls")


def test_the_connection_goes_to_the_address_that_was_checked(server: ImapServer) -> None:
    checked = Destination("http", "mail.invalid", server.port, "/")
    mailbox = CheckedMailBox(checked, [IPv4Address("127.0.0.2"), IPv4Address("127.0.0.1")], "none", 20)
    mailbox.login(USER, PASSWORD)
    assert mailbox.logout()


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_connections_are_encrypted_and_certificates_are_checked(
    security: Literal["tls", "starttls"], context: SourceContext, tmp_path: Path
) -> None:
    trust = write_certificate(tmp_path)
    with open_imap_server(tmp_path) as server, ExitStack() as stack:
        server.append(write_message("one", b"x"))
        port = server.port
        if security == "tls":
            port = stack.enter_context(serving_connections(partial(forward_decrypted, tmp_path, server.port)))
        usual = {"port": port, "security": security, "username": USER, "password": PASSWORD}
        destinations = context.destinations.with_ports({port})
        for host, tls, is_trusted in (
            ("127.0.0.1", trust, True),
            ("localhost", trust, False),
            ("127.0.0.1", None, False),
        ):
            options = MailboxOptions.model_validate({"host": host, **usual})
            with closing(ImapSource(options, context, destinations, tls=tls)) as source:
                if is_trusted:
                    assert [item.name for item in source.list_items()] == ["one.eml"]
                else:
                    with pytest.raises(SourceUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
                        list(source.list_items())


def forward_decrypted(folder: Path, port: int, connection: socket.socket) -> None:
    """Decrypt a connection, and forward it to another port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with suppress(ssl.SSLError, OSError), ExitStack() as stack:
        outer = stack.enter_context(context.wrap_socket(connection, server_side=True))
        inner = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        threading.Thread(target=copy_bytes, args=(inner, outer), daemon=True).start()
        copy_bytes(outer, inner)


def copy_bytes(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65_536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def serving_connections(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Pass each connection to `handle` in a thread of its own. Yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def answer_lines(answers: Mapping[bytes, bytes], connection: socket.socket) -> None:
    """A server that knows some commands, and answers others with OK. `TAG` in an answer is the tag of the command."""
    with suppress(OSError), connection, connection.makefile("rb") as lines:
        connection.sendall(b"* OK ready\r\n")
        for line in lines:
            tag, command = line.split(None, 1)
            found = next((each for name, each in answers.items() if name in command.upper()), b"TAG OK done\r\n")
            connection.sendall(found.replace(b"TAG", tag))


_SELECTED = b"* OK [UIDVALIDITY 7] valid\r\n* 1 EXISTS\r\nTAG OK done\r\n"
_CAPABLE = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done\r\n"


def test_a_server_that_hangs_is_unavailable(context: SourceContext) -> None:
    hurried = replace(context, timeout_seconds=0.2)
    ending = threading.Event()

    def hang(connection: socket.socket) -> None:
        with connection:
            ending.wait(60)

    with serving_connections(hang) as port:
        with pytest.raises(SourceUnavailableError):
            list_messages(hurried, port)
        ending.set()


def test_a_response_that_was_not_asked_for_is_not_read_into_memory(context: SourceContext) -> None:
    endless = b"* 1 FETCH (UID 1 BODY[]<0> {9000000000}\r\n" + b"x" * 1_000
    answers = {b"CAPABILITY": _CAPABLE, b"EXAMINE": _SELECTED, b"UID FETCH": endless}
    with ExitStack() as stack:
        port = stack.enter_context(serving_connections(partial(answer_lines, answers)))
        with pytest.raises(SourceUnavailableError, match="not asked for"):
            read_message(context, port, SourceItem("INBOX/7/1", "a.eml"))


def test_a_server_that_returns_less_than_asked_for_is_read_to_the_end(context: SourceContext) -> None:
    answers = {
        b"CAPABILITY": _CAPABLE,
        b"EXAMINE": _SELECTED,
        b"<0.": b"* 1 FETCH (UID 1 BODY[]<0> {5}\r\nfirst FLAGS ())\r\nTAG OK done\r\n",
        b"<5.": b'* 1 FETCH (UID 1 BODY[]<5> " and \\"last\\"")\r\nTAG OK done\r\n',
        b"<16.": b"* 1 FETCH (UID 1 BODY[]<16> NIL)\r\nTAG OK done\r\n",
    }
    with serving_connections(partial(answer_lines, answers)) as port:
        assert read_message(context, port, SourceItem("INBOX/7/1", "a.eml")) == b'first and "last"'


def test_a_server_without_lasting_numbers_is_an_error(context: SourceContext) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(serving_connections(partial(answer_lines, {b"CAPABILITY": _CAPABLE})))
        with pytest.raises(SourceUnavailableError, match="lasting numbers"):
            list_messages(context, port)
