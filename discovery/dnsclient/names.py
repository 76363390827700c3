"""Names in options."""

import re
from typing import Annotated

import dns.exception
import dns.name
from pydantic import AfterValidator

from discovery.fields import Required


def _dns_name(text: str) -> str:
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        raise ValueError(f"{text[:80]!r} is an address, or has a port: write a name that DNS has, without a port")
    try:
        dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise ValueError(f"{text[:80]!r} is no DNS name: {error}") from None
    return text


DnsName = Annotated[Required, AfterValidator(_dns_name)]
"""A name as in a zone file, for example "_http._tcp.example.com."; at most 255 bytes, 63 a label."""
