"""tls-alpn-01 on a server's own port: who asks for a proof as RFC 8737 wants it sees it, and nobody else does."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from gobetween_py.acme.challenges import Challenges
from gobetween_py.config.tls import Tls
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.staged import Stages
from gobetween_py.proxy.termination import ACME_TLS, Termination
from gobetween_py.tls.contexts import server_context
from tests.gobetween_py.proxy.rig import Rig
from tests.gobetween_py.proxy.test_end import Told
from tests.gobetween_py.proxy.tls_peer import TlsPeer, TruncatedError
from tests.services.certificates import Authority

HOST = "one.example.test"


class Server:
    """A server with a certificate for HOST, and what it answers authorities with."""

    def __init__(self, authority: Authority, **tls: object) -> None:
        own, proof = authority.issue(HOST), authority.issue(HOST)
        self.own, self.proof = (ssl.PEM_cert_to_DER_cert(each.certificate.read_text()) for each in (own, proof))
        proof_file = authority.folder / "proof.pem"
        proof_file.write_bytes(proof.key.read_bytes() + proof.certificate.read_bytes())
        self.proof_file = str(proof_file)
        self.challenges = Challenges()
        pair = {"cert_path": str(own.certificate), "key_path": str(own.key)}
        context = server_context(Tls(**(pair | tls)))  # type: ignore[arg-type]
        self.settings = Settings(stages=Stages(termination=Termination(context, 5.0, self.challenges.tls)))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Server:
    return Server(authority)


def asking(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def shown(rig: Rig, *protocols: str, name: str = HOST, step: int = 0) -> bytes | None:
    """The certificate that is shown to a client who asks for these protocols."""
    peer = TlsPeer(await rig.connect(), asking(*protocols), name, step=step)
    await peer.handshake()
    peer.socket.close()
    return peer.tls.getpeercert(binary_form=True)


async def test_the_proof_is_shown_to_who_asks_for_nothing_else(server: Server) -> None:
    async with Rig(settings=server.settings) as rig:
        with server.challenges.over_tls(HOST, server.proof_file):
            assert await shown(rig, ACME_TLS) == server.proof
            assert await shown(rig, ACME_TLS, name=HOST.upper()) == server.proof
            for protocols in (), ("h2",), (ACME_TLS, "h2"):
                assert await shown(rig, *protocols) == server.own, protocols
            assert await shown(rig, ACME_TLS, name="other.test") == server.own
        assert await shown(rig, ACME_TLS) == server.own


async def test_a_client_that_has_seen_the_proof_gets_no_backend(server: Server) -> None:
    async with Rig(settings=server.settings) as rig:
        told = Told(rig)
        with server.challenges.over_tls(HOST, server.proof_file):
            peer = TlsPeer(await rig.connect(), asking(ACME_TLS), HOST)
            await peer.handshake()
            assert peer.tls.selected_alpn_protocol() == ACME_TLS
            with pytest.raises(TruncatedError):
                await peer.receive()
            peer.socket.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.PROOF]
        assert told.attempts == [0]


async def test_the_proof_is_shown_whatever_clients_have_to_bring(authority: Authority) -> None:
    server = Server(authority, client_auth="require", client_ca_path=str(authority.ca), alpn=["h2"])
    async with Rig(settings=server.settings) as rig:
        with server.challenges.over_tls(HOST, server.proof_file):
            assert await shown(rig, ACME_TLS) == server.proof


async def test_a_hello_may_come_byte_by_byte(server: Server) -> None:
    async with Rig(settings=server.settings) as rig:
        with server.challenges.over_tls(HOST, server.proof_file):
            assert await shown(rig, ACME_TLS, step=1) == server.proof
            assert await shown(rig, "h2", step=1) == server.own


async def test_a_hello_that_was_begun_when_the_order_ended_goes_on(server: Server) -> None:
    async with Rig(settings=server.settings) as rig:
        client = TlsPeer(await rig.connect(), asking(), HOST)
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.do_handshake()
        hello = client._out.read()
        with server.challenges.over_tls(HOST, server.proof_file):
            await rig.send(client.socket, hello[:20])
            await asyncio.sleep(0.1)
        await rig.send(client.socket, hello[20:])
        await client.handshake()
        assert client.tls.getpeercert(binary_form=True) == server.own
        client.socket.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_who_ends_within_its_hello_is_let_go(server: Server, said: bytes) -> None:
    async with Rig(settings=server.settings) as rig:
        told = Told(rig)
        with server.challenges.over_tls(HOST, server.proof_file):
            client = await rig.connect()
            await rig.send(client, said)
            client.shutdown(socket.SHUT_WR)
            await rig.until(lambda: told.reasons or told.refused)
            client.close()
