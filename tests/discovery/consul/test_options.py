"""The keys of the config."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from discovery.consul.options import ConsulOptions

MINIMAL = {"kind": "consul", "consul_host": "localhost:8500", "consul_service_name": "web"}


def _options(**more: Any) -> ConsulOptions:
    return ConsulOptions.model_validate({**MINIMAL, **more})


@pytest.mark.parametrize("spelling", ["consul_datacenter", "consul_service_datacenter"])
def test_the_datacenter_is_spelled_either_way(spelling: str) -> None:
    assert _options(**{spelling: "dc2"}).datacenter == "dc2"


def test_two_different_datacenters_are_refused() -> None:
    with pytest.raises(ValidationError, match="mean the same, but differ"):
        _options(consul_datacenter="dc1", consul_service_datacenter="dc2")
    assert _options(consul_datacenter="dc1", consul_service_datacenter="dc1").datacenter == "dc1"


@pytest.mark.parametrize("given", ["a:1, [::1]:2", ["a:1", "[::1]:2"]])
def test_several_hosts_or_services_are_a_list_or_stand_between_commas(given: object) -> None:
    assert _options(consul_host=given).consul_host == ("a:1", "[::1]:2")
    assert _options(consul_service_name=["web", "api"]) == _options(consul_service_name="web,api")


def test_dumped_options_are_read_again_as_the_same() -> None:
    options = _options(consul_host=["a:1", "b:2"], interval="5s", consul_service_tag="blue")
    dumped = options.model_dump(exclude={"consul_acl_token", "consul_auth_password"}, exclude_none=True)
    assert dumped["consul_host"] == "a:1,b:2"
    assert ConsulOptions.model_validate(dumped) == options


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("consul_host", "a:1,b", ("consul_host", 1)),
        ("consul_host", ["a:0"], ("consul_host", 0)),
        ("consul_host", [], ("consul_host",)),
        ("consul_host", 8500, ("consul_host",)),
        ("consul_service_name", "", ("consul_service_name", 0)),
        ("consul_service_name", "web,,api", ("consul_service_name", 1)),
        ("consul_service_passing_only", "yes", ("consul_service_passing_only",)),
        ("consul_acl_token", 7, ("consul_acl_token",)),
        ("consul_tag", "blue", ("consul_tag",)),
    ],
)
def test_a_wrong_value_is_an_error_at_its_place(key: str, value: object, place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as raised:
        _options(**{key: value})
    assert [error["loc"] for error in raised.value.errors()] == [place]


@pytest.mark.parametrize("key", ["consul_host", "consul_service_name"])
def test_host_and_service_are_required(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        ConsulOptions.model_validate({name: value for name, value in MINIMAL.items() if name != key})


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="go together"):
        _options(consul_tls_cert_path="/cert.pem")


def test_two_tokens_are_refused() -> None:
    with pytest.raises(ValidationError, match="give one"):
        _options(consul_acl_token="secret", consul_acl_token_file="/token")


def test_no_secret_is_shown() -> None:
    options = _options(consul_acl_token="s3cret", consul_auth_password="passw0rd")
    shown = f"{options!r} {options.model_dump_json()}"
    assert "s3cret" not in shown
    assert "passw0rd" not in shown


def test_without_py_consul_configs_are_checked_all_the_same_and_the_error_names_the_extra() -> None:
    program = """
import sys
sys.modules["consul"] = None  # as if it were not installed
from discovery.registry import NotAvailableError, load, options_of
print(options_of("consul").__name__)
for use in (lambda: load("consul"), lambda: __import__("discovery.consul.client")):
    try:
        use()
    except NotAvailableError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    name, *errors = done.stdout.splitlines()
    assert name == "ConsulOptions"
    assert len(errors) == 2
    assert all("pip install 'pygobetween[consul]'" in error for error in errors)
