"""The one buffer through which all datagrams go: none outlives the call that read it."""

from __future__ import annotations

BUFFER = bytearray(65_536)
"""No datagram is longer: 65,507 bytes of IPv4, 65,527 of IPv6."""

VIEW = memoryview(BUFFER)

ONE = range(1)

BURST = range(64)
"""Datagrams of one socket passed on at an event at most, so that no client keeps the others waiting."""
