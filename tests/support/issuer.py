"""An OpenID Connect provider on this machine: it describes itself, serves its keys, and signs tokens."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "leadline"
CLIENT_SECRET = "a secret of the client"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """`keys` are served by their ids; `fetches` counts how often they were asked for, and `is_away` answers 500.

    `padding` makes the document of the keys longer. `described` is added to the discovery document, `client_method` is
    the one way in which it accepts the client's secret, and `refusal` is its answer to each code. With `refreshes`, a
    refresh token that can be used once comes with each identity token; `refreshed` changes the claims of the next ones.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, PrivateKey] = {"rsa-1": rsa_key(), "ec-1": ec_key()}
        self.fetches = 0
        self.is_away = False
        self.padding = ""
        self.issuer_said = url
        self.described: dict[str, Any] = {}
        self.client_method = "client_secret_post"
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.codes: dict[str, tuple[str, str, str]] = {}
        self.refreshes = False
        self.refreshed: dict[str, Any] = {}
        self.refresh_tokens: dict[str, dict[str, Any]] = {}

    def token(
        self,
        *,
        kid: str = "rsa-1",
        key: PrivateKey | str | None = None,
        algorithm: str = "",
        header_typ: str | None = "JWT",
        **claims: object,
    ) -> str:
        """Sign a good token with `header_typ` in its header, or with other claims; a claim of None is left out."""
        now = time.time()
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "anna", "iat": now, "exp": now + 600, "groups": ["hr"]}
        body = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        signing = self.keys[kid] if key is None else key
        algorithm = algorithm or ("RS256" if isinstance(signing, rsa.RSAPrivateKey) else "ES256")
        return jwt.encode(body, signing, algorithm=algorithm, headers={"kid": kid, "typ": header_typ})

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        if self.is_away:
            return 500, {}
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer_said,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                **self.described,
            }
        self.fetches += 1
        return 200, {
            "padding": self.padding,
            "keys": [{**_public(key), "kid": kid, "use": "sig"} for kid, key in self.keys.items()],
        }

    def consent(self, asked: str, **claims: object) -> str:
        """Sign somebody in on the page that a client leads to, and return the address that leads back."""
        query = dict(parse_qsl(urlsplit(asked).query))
        code = f"code-{len(self.codes)}"
        usual: dict[str, Any] = {"aud": query["client_id"], "nonce": query["nonce"]}
        self.codes[code] = (query["code_challenge"], query["redirect_uri"], self.token(**{**usual, **claims}))
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def refuse(self, asked: str, error: str, description: str) -> str:
        """Refuse to sign somebody in, and return the address that leads back."""
        query = dict(parse_qsl(urlsplit(asked).query))
        told = {"error": error, "error_description": description, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(told)}"

    def exchange(self, form: Mapping[str, str], basic: str = "") -> tuple[int, dict[str, Any]]:
        """Give the token of a code once, to who knows the verifier and the secret of the client."""
        if self.refusal is not None:
            return self.refusal
        given = form.get("client_secret") if self.client_method == "client_secret_post" else basic.partition(":")[2]
        if (given or "") != CLIENT_SECRET:
            return 401, {"error": "invalid_client", "error_description": "The client is not known."}
        if form["grant_type"] == "refresh_token":
            known = self.refresh_tokens.pop(form["refresh_token"], None)
            if known is None:
                return 400, {"error": "invalid_grant", "error_description": "The refresh token is not valid."}
            return 200, self._build_answer({**known, **self.refreshed})
        challenge, back, token = self.codes.pop(form.get("code", ""), ("", "", ""))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge
        if not proven or form.get("redirect_uri") != back:
            return 400, {"error": "invalid_grant"}
        return 200, self._build_answer(jwt.decode(token, options={"verify_signature": False}), token)

    def _build_answer(self, claims: dict[str, Any], token: str | None = None) -> dict[str, Any]:
        answer = {"id_token": token or self.token(**claims), "token_type": "Bearer"}
        if self.refreshes:
            answer["refresh_token"] = f"refresh-{len(self.refresh_tokens)}-{time.time_ns()}"
            self.refresh_tokens[answer["refresh_token"]] = claims
        return answer


def _public(key: PrivateKey) -> dict[str, Any]:
    written = (
        RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        if isinstance(key, rsa.RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    )
    return dict(written)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Yield an issuer that listens on a free port."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*issuer.answer(self.path))

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            basic = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
            self._send(*issuer.exchange(dict(parse_qsl(sent)), unquote_plus(basic)))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            written = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
