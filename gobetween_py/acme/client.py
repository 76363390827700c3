"""One order, from account to certificate, by Certbot's library `acme`. Everything here blocks: it belongs in a thread.

The extra `acme` brings the library, and cryptography; importing them takes half a second.
"""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from acme import challenges as kinds
from acme import crypto_util, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC
from requests.adapters import HTTPAdapter

from discovery.tls import client_context
from gobetween_py import __version__
from gobetween_py.acme.challenges import Challenges
from gobetween_py.acme.errors import AcmeError
from gobetween_py.config.acme import Acme

REQUEST = 30
"""Seconds for each connect, and for each piece of an answer."""

POLLING = 120.0
"""Seconds that the authority may take for its checks, and to issue."""

NONCES = 10
"""How often a request is repeated because of its nonce (RFC 8555, 6.5); the library itself does that once."""

_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


@kinds.ChallengeResponse.register
class TlsAlpn01Response(kinds.KeyAuthorizationChallengeResponse):
    """The library has dropped this kind of challenge (RFC 8737)."""

    typ = "tls-alpn-01"


@kinds.Challenge.register
class TlsAlpn01(kinds.KeyAuthorizationChallenge):
    """The challenge to it."""

    response_cls = TlsAlpn01Response
    typ = TlsAlpn01Response.typ

    def validation(self, account_key: JWK, **_: Any) -> str:
        """What the certificate holds the SHA-256 of."""
        return self.key_authorization(account_key)


KINDS: dict[str, type[kinds.KeyAuthorizationChallenge]] = {"http": kinds.HTTP01, "tls-alpn": TlsAlpn01}
"""By acme.challenge."""


def new_key() -> bytes:
    """A private key in PEM: ECDSA P-256, which every authority takes and costs least in handshakes."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def order(settings: Acme, account_key: bytes, host: str, challenges: Challenges) -> bytes:
    """A new key and the certificate that the authority has issued for it, with its chain; in PEM.

    Raises:
        AcmeError: the authority cannot be reached, refuses, or takes too long.
    """
    try:
        key = JWKEC(key=serialization.load_pem_private_key(account_key, None))
    except ValueError as error:
        raise AcmeError("the account's key cannot be read: without its file there will be a new account") from error
    try:
        with _Network(key, settings.ca_path) as network:
            directory = ClientV2.get_directory(settings.directory_url, network)
            client = ClientV2(directory, network)
            network.account = _account(client, key, settings)
            certificate_key = new_key()
            signing_request = crypto_util.make_csr(certificate_key, [host])
            with ExitStack() as shown:
                placed = client.new_order(signing_request)
                for authorization in placed.authorizations:
                    if authorization.body.status != messages.STATUS_VALID:
                        _prove(client, authorization, key, settings.challenge, challenges=challenges, shown=shown)
                finished = client.poll_and_finalize(placed, datetime.now() + timedelta(seconds=POLLING))
            return certificate_key + str(finished.fullchain_pem).encode()
    except (errors.Error, JoseError, requests.RequestException, OSError, ValueError, KeyError) as error:
        raise AcmeError(_reason(error)) from error


class _Network(ClientNetwork):
    """The library's HTTP, with our trust, and without anything of the environment."""

    def __init__(self, key: JWK, ca_path: str) -> None:
        super().__init__(key, alg=ES256, user_agent=f"pygobetween/{__version__}", timeout=REQUEST)
        self.session.trust_env = False
        self.session.adapters.clear()
        self.session.mount("https://", _Adapter(client_context(ca=ca_path)))

    def __enter__(self) -> _Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        for _ in range(NONCES):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
                last = error
        raise last


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, *_: Any) -> None:
        """The context has it all."""


def _account(client: ClientV2, key: JWK, settings: Acme) -> messages.RegistrationResource:
    """The key's account, made if there is none (RFC 8555, 7.3)."""
    binding, external = None, settings.external_account
    if external:
        binding = messages.ExternalAccountBinding.from_data(
            key.public_key(), external.key_id, external.hmac_key.get_secret_value(), client.directory
        )
    elif client.external_account_required():
        raise AcmeError("this authority wants acme.external_account")
    wanted = messages.NewRegistration.from_data(terms_of_service_agreed=True, external_account_binding=binding)
    try:
        return client.new_account(wanted)
    except errors.ConflictError as known:
        return messages.RegistrationResource(body=messages.Registration(), uri=known.location)


def _prove(
    client: ClientV2,
    authorization: messages.AuthorizationResource,
    key: JWK,
    kind: str,
    *,
    challenges: Challenges,
    shown: ExitStack,
) -> None:
    """Show the proof of a host until the stack is unwound, and tell the authority to look."""
    host = authorization.body.identifier.value
    for challenge in authorization.body.challenges:
        if isinstance(challenge.chall, KINDS[kind]):
            response, validation = challenge.response_and_validation(key)
            if kind == "http":
                shown.enter_context(challenges.over_http(challenge.chall.encode("token"), validation))
            else:
                with _proof(host, validation) as file:
                    shown.enter_context(challenges.over_tls(host, file))
            client.answer_challenge(challenge, response)
            return
    offered = ", ".join(challenge.chall.typ for challenge in authorization.body.challenges)
    raise AcmeError(f"this authority offers no {KINDS[kind].typ} for {host}, but {offered}")


@contextmanager
def _proof(host: str, authorization: str) -> Iterator[str]:
    """A file with the certificate that tls-alpn-01 asks for (RFC 8737, 3), and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    digest = hashlib.sha256(authorization.encode()).digest()
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, b"\x04\x20" + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.NamedTemporaryFile() as file:  # 0600
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        yield file.name


def _reason(error: Exception) -> str:
    """In one line."""
    if isinstance(error, errors.ValidationError):
        found = [c.error for a in error.failed_authzrs for c in a.body.challenges if c.error is not None]
        return "; ".join(f"{one.code}: {one.detail}" for one in found)
    if isinstance(error, errors.IssuanceError):
        error = error.error
    if isinstance(error, messages.Error):
        return f"{error.code or error.typ}: {error.detail}"
    if isinstance(error, errors.TimeoutError):
        return f"the authority was not through within {POLLING:g} s"
    while isinstance(error, requests.RequestException) and error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    return " ".join(f"{type(error).__name__}: {error}".split())
