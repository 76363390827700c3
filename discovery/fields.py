"""Types of option values that the kinds share: strict, and with errors that say how to write it right."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, StrictBool, StrictStr
from pydantic_core import Url

from discovery.entry import number, plain_host
from discovery.line import split_address


class Refers(Enum):
    """Marks a field whose text names something that must exist on this machine once the config runs."""

    FILE = "file"
    PROGRAM = "program"


Item = TypeVar("Item")
Array = Annotated[tuple[Item, ...], Field(strict=False)]
"""A list in the config, immutable inside."""
Text = StrictStr
Flag = StrictBool
Secret = SecretStr
"""Text that no repr, dump or error message shows."""
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
FileName = Annotated[StrictStr, Refers.FILE]
"""Path of a file that is read; "" = none."""
Program = Annotated[StrictStr, Refers.PROGRAM]
"""Path of a program, or its name where PATH finds it; "" = none."""
Required = Annotated[StrictStr, Field(min_length=1)]
"""Text that may not be empty."""
IpVersion = Literal["IPv4", "IPv6"]


def _url_of(*schemes: str) -> Callable[[str], str]:
    """A validator of URLs. Its errors do not repeat the text, which may hold a password."""

    def check(text: str) -> str:
        forms = " or ".join(f"{scheme}://..." for scheme in schemes)
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in schemes or not rest:
            raise ValueError(f"is no address of this kind: write {forms}")
        if scheme == "unix":
            if not rest.startswith("/"):
                raise ValueError("has no absolute path: write unix:///path/of/the.socket")
            return text
        try:
            Url(text)
            plain_host(urlsplit(text).hostname or "")
        except ValueError:
            raise ValueError(f"is no valid URL: write {forms}") from None
        return text

    return check


DockerUrl = Annotated[StrictStr, AfterValidator(_url_of("unix", "http", "https", "tcp"))]
HttpsUrl = Annotated[StrictStr, AfterValidator(_url_of("https"))]
LxdUrl = Annotated[StrictStr, AfterValidator(_url_of("unix", "https"))]


def check_host_port(text: str) -> str:
    """The text, where it is `host:port`. Raises ValueError."""
    host, port = split_address(text)
    plain_host(host)
    number("port", port, 1, 65535)
    return text


HostPort = Annotated[StrictStr, AfterValidator(check_host_port)]
"""`host:port`, IPv6 in brackets."""
