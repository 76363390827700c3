"""Pebble: an ACME directory, a root certificate, and a name server for which every name is this machine."""

import ssl

import dns.message
import dns.query

from tests.services.jsonapi import JsonApi
from tests.services.pebble import Pebble
from tests.services.process import LOOPBACK


def _answer(port: int, name: str, kind: str) -> list[str]:
    answer = dns.query.udp(dns.message.make_query(name, kind), LOOPBACK, port=port, timeout=5)
    return [str(record) for group in answer.answer for record in group]


def test_the_directory_names_what_a_client_needs(pebble: Pebble) -> None:
    directory = JsonApi("localhost", pebble.port, pebble.context).get("/dir")
    assert {"newNonce", "newAccount", "newOrder"} <= directory.keys()


def test_the_root_is_another_one_after_a_restart(pebble: Pebble) -> None:
    first = pebble.root()
    assert ssl.PEM_cert_to_DER_cert(first)
    pebble.restart()
    assert pebble.root() != first


def test_every_name_is_this_machine(pebble: Pebble) -> None:
    assert _answer(pebble.challenges.dns_port, "anything.example.test", "A") == [LOOPBACK]
    assert _answer(pebble.challenges.dns_port, "anything.example.test", "AAAA") == []


def test_a_txt_record_is_answered(pebble: Pebble) -> None:
    pebble.challenges.set_txt("_acme-challenge.example.test.", "proof")
    assert _answer(pebble.challenges.dns_port, "_acme-challenge.example.test", "TXT") == ['"proof"']
