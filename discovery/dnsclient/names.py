"""Names in options."""

from typing import Annotated

import dns.exception
import dns.name
from pydantic import AfterValidator

from discovery.fields import Required


def _dns_name(text: str) -> str:
    try:
        dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text[:80]!r} is no DNS name: {error}") from None
    return text


DnsName = Annotated[Required, AfterValidator(_dns_name)]
"""A name as in a zone file, for example "_http._tcp.example.com."; at most 255 bytes, 63 a label."""
