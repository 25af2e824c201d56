"""IMAP mailboxes as sources: each message is a document, and its attachments are its entries."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ingest.sources.errors import SourceNotPermittedError
from ingest.sources.port import Source, SourceContext, SourceKind
from ingest.storage.errors import DestinationRejectedError

# Ports that public mail servers may be reached at (RFC 9051 and RFC 8314).
IMAP_PORTS = frozenset({143, 993})


class MailboxOptions(BaseModel):
    """Options of an IMAP mailbox."""

    model_config = ConfigDict(title="Mailbox (IMAP)")

    host: str = Field(
        title="Mail server",
        min_length=1,
        max_length=253,
        description="The name of the mail server, such as `imap.example.org`.",
    )
    security: Literal["tls", "starttls", "none"] = Field(
        "tls",
        title="Encryption",
        description="TLS encrypts the connection from the beginning, and STARTTLS after the greeting. Servers without "
        "encryption must be in private networks that the operator has allowed.",
        json_schema_extra={"labels": {"tls": "TLS", "starttls": "STARTTLS", "none": "No encryption"}},
    )
    port: int | None = Field(
        None, title="Port", ge=1, le=65_535, description="By default 993 for TLS, and 143 otherwise."
    )
    username: str = Field(title="User name", min_length=1, description="The user name, often the mail address.")
    password: SecretStr = Field(
        title="Password", description="The password. Many providers require a password for this app alone."
    )
    folders: tuple[str, ...] = Field(
        ("INBOX",), title="Folders", min_length=1, description="The folders to read, without their subfolders."
    )
    days: int = Field(
        0,
        title="Maximum age in days",
        ge=0,
        le=36_500,
        description="Only messages that arrived in this many days are kept. 0 keeps all messages.",
    )


def build_server_url(options: MailboxOptions) -> str:
    """Build the address of the server in the form that destinations are checked in: `http` is not encrypted."""
    port = options.port or (993 if options.security == "tls" else 143)
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'http' if options.security == 'none' else 'https'}://{host}:{port}"


def _build_source(options: MailboxOptions, context: SourceContext) -> Source:
    from ingest.sources.imap_source import ImapSource

    destinations = context.destinations.with_ports(IMAP_PORTS)
    try:
        destinations.check_url(build_server_url(options))
    except DestinationRejectedError as error:
        is_open = options.security == "none"
        hint = "Encrypt the connection with `tls` or `starttls`." if is_open else error.hint
        raise SourceNotPermittedError(f"The mail server {options.host} is not permitted.", hint=hint) from error
    return ImapSource(options, context, destinations)


MAILBOX = SourceKind("mailbox", MailboxOptions, _build_source)
