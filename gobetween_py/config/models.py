"""The whole config: the sections beside the servers, and Config itself."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from discovery.duration import Duration
from discovery.fields import Array, FileName, Flag, Required, Secret
from gobetween_py.config.access_log import AccessLog
from gobetween_py.config.acme import Acme
from gobetween_py.config.bind import Bind, BindAddress
from gobetween_py.config.dump import secrets_in
from gobetween_py.config.server import Server
from gobetween_py.section import Count, Section


class Logging(Section):
    """What is logged, where, and how."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    output: Required = "stdout"
    """stdout, stderr, or the path of a file that is appended to."""
    format: Literal["text", "json"] = "text"


class Profiler(Section):
    """What the process is doing, asked over HTTP: docs/profiler.md."""

    enabled: Flag = False
    bind: BindAddress = Bind("127.0.0.1", 6060)
    """Whoever reaches it sees the code that runs, and can slow it down."""


TOKEN = 16
"""Characters that a bearer token has at least."""


def _long_enough(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < TOKEN:
        raise ValueError(f"is too short to be safe: a token has at least {TOKEN} characters")
    return token


Token = Annotated[Secret, AfterValidator(_long_enough)]


class BasicAuth(Section):
    """A user of the API."""

    login: Required
    password: Secret


class ApiTls(Section):
    """The certificate of the API."""

    cert_path: FileName = Field(min_length=1)
    key_path: FileName = Field(min_length=1)
    client_ca_path: FileName = ""
    """Authorities one of which must have signed the certificate that a client then has to show; "" = none is asked for.
    """


class Api(Section):
    """The REST API."""

    enabled: Flag = False
    bind: BindAddress = Bind("", 8888)
    cors: Flag = False
    """Whether pages of other origins may call the API."""
    persist: Flag = False
    """Whether what the API changes is written to the config file."""
    basic_auth: BasicAuth | None = None
    bearer_tokens: Array[Token] = ()
    """Any of them will do, instead of login and password."""
    tls: ApiTls | None = None
    """Present = https."""

    @property
    def is_open(self) -> bool:
        """Whether anybody who reaches the address may use it."""
        asks = self.basic_auth or self.bearer_tokens or (self.tls and self.tls.client_ca_path)
        return not (asks or self.bind.path or self.bind.is_loopback)


class Metrics(Section):
    """Prometheus metrics at /metrics."""

    enabled: Flag = False
    bind: BindAddress = Bind("", 9284)


class Defaults(Section):
    """What a server takes where it does not say otherwise."""

    max_connections: Count = 0
    """Most connections of one server at once; 0 = no limit."""
    client_idle_timeout: Duration = 0.0
    """A client that sends nothing for so long is disconnected; "0" = never."""
    backend_idle_timeout: Duration = 0.0
    """A backend that sends nothing for so long is disconnected; "0" = never."""
    backend_connection_timeout: Duration = 0.0
    """How long connecting to one backend may take; "0" = as long as the kernel tries."""
    shutdown_timeout: Duration = 10.0
    """How long connections may go on when their server stops; "0" = they are closed at once."""


class Config(Section):
    """A config file. Made by `load` and `load_file`, which carry [defaults] and [access_log] over into the servers."""

    logging: Logging = Logging()
    profiler: Profiler = Profiler()
    api: Api = Api()
    metrics: Metrics = Metrics()
    access_log: AccessLog | None = None
    """For every server that does not say otherwise."""
    defaults: Defaults = Defaults()
    acme: Acme | None = None
    servers: dict[str, Server] = Field(default_factory=dict)

    def acme_hosts(self) -> frozenset[str]:
        """Those that some server wants certificates for."""
        sections = [server.tls for server in self.servers.values() if server.tls and server.protocol == "tls"]
        return frozenset(host for tls in sections for host in tls.acme_hosts)

    def secrets(self) -> list[str]:
        """Every password and token there is in it, for the log to mask."""
        return list(secrets_in(self))
