"""`plaintext`: text fetched over HTTP, a backend a line."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from discovery.contract import Options
from discovery.fields import HttpUrl, Text, pattern_with


class PlaintextOptions(Options):
    """Where the text is, and how to read its lines."""

    kind: Literal["plaintext"] = "plaintext"
    plaintext_endpoint: HttpUrl
    plaintext_regex_pattern: Annotated[Text, AfterValidator(pattern_with("host", "port"))] = ""
    """With the named groups host, port and, where wanted, weight, priority, max_connections and sni; "" = the
    backend line of `static`."""
