"""nginx and Caddy in front of a service: each as its package is set up, and with its file of `deploy/proxies/`."""

import datetime
import ipaddress
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.cluster import wait_until
from tests.support.ports import free_port
from tests.support.requirements import find_program

FILES = Path(__file__).parents[2] / "deploy" / "proxies"
_NGINX = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
_PLAIN_NGINX = "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{service}; }} }}"
_CADDY = "{{\n admin off\n auto_https disable_redirects\n skip_install_trust\n default_bind 127.0.0.1\n}}\n{site}"
_PLAIN_CADDY = "http://127.0.0.1:{port} {{\n reverse_proxy {service}\n}}\n"


@dataclass(frozen=True)
class Proxy:
    """A running proxy: its URL, and the context that trusts its certificate."""

    url: str
    trust: ssl.SSLContext

    def connect(self, key: str | None = None, address: str = "127.0.0.1") -> httpx.Client:
        """Open a client whose connections come from an address of the loopback network."""
        transport = httpx.HTTPTransport(verify=self.trust, local_address=address)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=120)


@contextmanager
def nginx(folder: Path, service_url: str, *, is_ours: bool) -> Iterator[Proxy]:
    """Run nginx before the service, with our file or with a plain `proxy_pass`."""
    port, service = free_port(), service_url.removeprefix("http://")
    trust = write_certificate(folder)
    site = _PLAIN_NGINX.format(port=port, service=service)
    if is_ours:
        site = _replace_each(
            (FILES / "nginx.conf").read_text(),
            ("server 127.0.0.1:8000;", f"server {service};"),
            ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
            ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
            ("/etc/ssl/certs/leadline.example.org.pem", f"{folder}/certificate.pem"),
            ("/etc/ssl/private/leadline.example.org.key", f"{folder}/key.pem"),
        )
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    command = [
        str(find_program("nginx")),
        "-p",
        str(folder),
        "-e",
        str(folder / "error.log"),
        "-c",
        str(folder / "nginx.conf"),
    ]
    with _running(command, folder, f"{'https' if is_ours else 'http'}://127.0.0.1:{port}", trust) as proxy:
        yield proxy


@contextmanager
def caddy(folder: Path, service_url: str, *, is_ours: bool) -> Iterator[Proxy]:
    """Run Caddy before the service, with our file or with a plain `reverse_proxy`."""
    port, service = free_port(), service_url.removeprefix("http://")
    trust = write_certificate(folder)
    site = _PLAIN_CADDY.format(port=port, service=service)
    if is_ours:
        site = _replace_each(
            (FILES / "Caddyfile").read_text(),
            ("leadline.example.org {", f"https://127.0.0.1:{port} {{\n tls {folder}/certificate.pem {folder}/key.pem"),
            ("127.0.0.1:8000", service),
        )
    (folder / "Caddyfile").write_text(_CADDY.format(site=site))
    command = [str(find_program("caddy")), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with _running(command, folder, f"{'https' if is_ours else 'http'}://127.0.0.1:{port}", trust) as proxy:
        yield proxy


@contextmanager
def _running(command: list[str], folder: Path, url: str, trust: ssl.SSLContext) -> Iterator[Proxy]:
    log = folder / "output.log"
    homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **homes})

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/health/live", verify=trust).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, what=f"{command[0]} passes requests on")
        yield Proxy(url, trust)
    finally:
        process.terminate()
        process.wait()


def _replace_each(text: str, *pairs: tuple[str, str]) -> str:
    """Replace the places that administrators are told to replace. Each must exist once."""
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def write_certificate(folder: Path) -> ssl.SSLContext:
    """Write a certificate of 127.0.0.1 and its key, and return a context that trusts only this certificate."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ssl.create_default_context(cafile=str(folder / "certificate.pem"))
