"""The config at a URL and in Consul, with the real servers; a file followed by the real program."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.discovery.test_http_tls import SecureNginx
from tests.integration.reloads import Echo, answers, connect, eventually, refused, server
from tests.services.apt import Unavailable
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.consul import Consul
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK


class Following:
    """A balancer that follows its config, and what a test does to that."""

    def __init__(self, serve: Serve, echo: Echo, arguments: Sequence[str], **environment: str) -> None:
        self.echo = echo
        self.balancer = serve(Balancer(arguments=[*arguments], environment=environment))

    def serves(self, port: int) -> bool:
        if refused(port):
            return False
        with connect(port) as client:
            return answers(client)

    def said(self, text: str) -> bool:
        return text in self.balancer.log_text()

    def reloads(self) -> int:
        return self.balancer.log_text().count("watch: reloaded")


def config(echo: Echo, *ports: int) -> str:
    return "".join(server(f"s{port}", port, echo.line) for port in ports)


class TestUrl:
    def test_is_read_again_on_sighup(self, serve: Serve, echo: Echo, nginx: Nginx):
        one, two = free_port(), free_port()
        nginx.write("lb.toml", config(echo, one).encode())
        following = Following(serve, echo, ["from-url", f"{nginx.url}/lb.toml"])
        client = connect(one)
        assert answers(client)
        nginx.write("lb.toml", config(echo, one, two).encode())
        following.balancer.signal(signal.SIGHUP)
        eventually(lambda: following.serves(two))
        assert answers(client)

    def test_is_followed(self, serve: Serve, echo: Echo, nginx: Nginx):
        """nginx says 304 while nothing changes; a bad text, and no nginx, change nothing and are told of once."""
        one, two, three = (free_port() for _ in range(3))
        nginx.write("lb.toml", config(echo, one).encode())
        url = f"{nginx.url}/lb.toml"
        following = Following(serve, echo, ["from-url", url, "--watch", "--interval", "100ms"])
        client = connect(one)
        assert answers(client)
        nginx.write("lb.toml", config(echo, one, two).encode())
        eventually(lambda: following.serves(two))
        nginx.write("lb.toml", b"[servers.oops\n")
        eventually(lambda: following.said(f"{url}:1:14: is no valid TOML"))
        nginx.stop()
        eventually(lambda: following.said(f"watch: {url}: cannot connect: Connection refused"))
        nginx.start()
        nginx.write("lb.toml", config(echo, one, three).encode())
        eventually(lambda: following.serves(three))
        eventually(lambda: refused(two))
        assert answers(client)
        assert following.said("can be read again")
        assert following.balancer.log_text().count("Connection refused") == 1
        assert following.reloads() == 2

    def test_cannot_be_written_to(self, serve: Serve, echo: Echo, nginx: Nginx):
        """With persist every change is refused, of which the start warns; without it changes outlive reloads."""
        port, api_port = free_port(), free_port()
        text = f'[api]\nenabled = true\nbind = "{LOOPBACK}:{api_port}"\npersist = true\n' + config(echo, port)
        nginx.write("lb.toml", text.encode())
        following = Following(serve, echo, ["from-url", f"{nginx.url}/lb.toml"])
        assert following.said(f"api.persist: {nginx.url}/lb.toml cannot be written: changes are refused")
        api = JsonApi(LOOPBACK, api_port)
        drain = ("PATCH", f"/servers/s{port}/backends/{echo.line}", {"state": "drain"})
        for method, path, body in (drain, ("DELETE", f"/servers/s{port}", None)):
            with pytest.raises(ApiError, match="nothing was changed") as refused_:
                api.request(method, path, body)
            assert refused_.value.status == 500
        assert following.serves(port)
        nginx.write("lb.toml", text.replace("persist = true", "persist = false").encode())
        api.post("/reload")
        api.request(*drain)
        assert api.post("/reload")["by_hand"]["kept"] == [f"s{port}"]
        assert api.get(drain[1])["state"] == "drain"

    def test_in_json_with_variables(self, serve: Serve, echo: Echo, nginx: Nginx):
        port = free_port()
        nginx.write(
            "lb.json",
            b'{"servers": {"web": {"bind": "127.0.0.1:${LB_PORT}", "discovery": {"kind": "static", "static_list": ["'
            + echo.line.encode()
            + b'"]}}}}',
        )
        following = Following(serve, echo, ["from-url", f"{nginx.url}/lb.json?v=1", "-e"], LB_PORT=str(port))
        assert following.serves(port)

    def test_over_https_with_a_password(self, serve: Serve, echo: Echo, tmp_path: Path):
        """The certificate is verified; neither log nor messages show the password."""
        try:
            authority = Authority(tmp_path)
        except Unavailable as reason:
            if os.environ.get("CI") == "true":
                pytest.fail(str(reason))
            pytest.skip(str(reason))
        nginx = serve(SecureNginx(authority, authority.issue("localhost")))
        one, two = free_port(), free_port()
        nginx.write("lb.toml", config(echo, one).encode())
        url = f"https://balancer:s3cret@{LOOPBACK}:{nginx.secure_port}/lb.toml"
        arguments = ["from-url", url, "--watch", "--interval", "100ms"]
        following = Following(serve, echo, arguments, SSL_CERT_FILE=str(authority.ca))
        assert following.serves(one)
        nginx.write("lb.toml", config(echo, one, two).encode())
        eventually(lambda: following.serves(two))
        nginx.stop()
        eventually(lambda: following.said("Connection refused"))
        assert not following.said("s3cret")
        nginx.start()
        with pytest.raises(Exception, match="its certificate is refused") as untrusted:
            Following(serve, echo, arguments)
        assert "s3cret" not in str(untrusted.value)


class TestConsul:
    def test_is_followed(self, serve: Serve, echo: Echo, consul: Consul):
        """A changed key is applied at once; a bad text, no key, and no Consul change nothing."""
        one, two, three = (free_port() for _ in range(3))
        consul.put("lb/edge.toml", config(echo, one))
        following = Following(serve, echo, ["from-consul", consul.host, "-k", "lb/edge.toml", "--watch"])
        name = f"consul://{consul.host}/lb/edge.toml"
        client = connect(one)
        assert answers(client)
        consul.put("lb/edge.toml", config(echo, one, two))
        eventually(lambda: following.serves(two))
        consul.put("lb/edge.toml", "[servers.oops\n")
        eventually(lambda: following.said(f"{name}:1:14: is no valid TOML"))
        consul.delete("lb/edge.toml")
        eventually(lambda: following.said(f"watch: {name}: there is no such key"))
        assert following.serves(two)
        consul.put("lb/edge.toml", config(echo, one, three))
        eventually(lambda: following.serves(three))
        eventually(lambda: refused(two))
        assert answers(client)
        assert following.reloads() == 2
        consul.stop()
        eventually(lambda: following.said("Connection refused"))
        assert answers(client)

    def test_the_default_key_is_read_again_on_sighup(self, serve: Serve, echo: Echo, consul: Consul):
        one, two = free_port(), free_port()
        consul.put("gobetween", config(echo, one))
        following = Following(serve, echo, ["from-consul", consul.host])
        assert following.serves(one)
        consul.put("gobetween", config(echo, two))
        following.balancer.signal(signal.SIGHUP)
        eventually(lambda: following.serves(two))

    def test_with_certificates_and_a_token_from_the_environment(self, serve: Serve, echo: Echo):
        consul = serve(Consul(acl=True, tls=True))
        port = free_port()
        consul.put("gobetween", config(echo, port))
        token = consul.create_token('key "gobetween" { policy = "read" }')
        environment = {
            "CONSUL_HTTP_TOKEN": token,
            "CONSUL_CACERT": str(consul.ca),
            "CONSUL_CLIENT_CERT": str(consul.certificate),
            "CONSUL_CLIENT_KEY": str(consul.key),
        }
        following = Following(serve, echo, ["from-consul", consul.host, "-s", "https"], **environment)
        assert following.serves(port)
        assert not following.said(token)


def test_a_file_is_followed(serve: Serve, echo: Echo, tmp_path: Path):
    """Saved in place and by rename, while a connection stays open."""
    one, two = free_port(), free_port()
    file = tmp_path / "lb.toml"
    file.write_text(config(echo, one))
    following = Following(serve, echo, ["-c", str(file), "--watch"])
    client = connect(one)
    assert answers(client)
    file.write_text(config(echo, one, two))
    eventually(lambda: following.serves(two))
    fresh = tmp_path / "lb.toml.new"
    fresh.write_text(config(echo, one))
    fresh.replace(file)
    eventually(lambda: refused(two))
    assert answers(client)
    assert following.reloads() == 2
