"""Settings: arguments over variables over defaults, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.config import RANGES, Settings, read_settings
from scheduler.core.errors import Fatal


def test_defaults() -> None:
    assert read_settings({}, {}) == Settings()


def test_arguments_win_over_variables_and_those_over_defaults() -> None:
    environment = {"DURE_PORT": "1", "DURE_HOST": "::1", "DURE_GPUS": "h100-80g=2x4, a100-80g=8", "OTHER": "x"}
    found = read_settings({"port": 2, "data": "/tmp/x", "database_url": ""}, environment)
    assert (found.port, found.host, found.data) == (2, "::1", Path("/tmp/x"))
    assert found.gpus == ("h100-80g=2x4", "a100-80g=8")
    assert found.database_url == ""
    assert read_settings({"port": None, "gpus": ()}, environment).port == 1
    assert read_settings({"port": 0}, environment).port == 0
    assert read_settings({}, {"DURE_PORT": " "}).port == Settings().port


def test_what_kubernetes_sets_for_a_service_named_dure_is_no_setting() -> None:
    linked = {"DURE_PORT": "tcp://10.0.0.1:80", "DURE_SERVICE_HOST": "10.0.0.1", "DURE_SERVICE_PORT": "80"}
    assert read_settings({}, linked) == Settings()
    assert read_settings({"port": 9}, linked).port == 9


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ({"port": 65_536}, {}, r"--port is '65536'"),
        ({"port": "-1"}, {}, r"--port is '-1'"),
        ({}, {"DURE_PORT": "http"}, r"DURE_PORT is 'http'"),
        ({}, {"DURE_PORT": "http://10.0.0.1:80"}, r"DURE_PORT is 'http://10.0.0.1:80'"),
        ({"port": "tcp://10.0.0.1:80"}, {}, r"--port is 'tcp://10.0.0.1:80'"),
        ({}, {"DURE_PORT": "٣"}, r"DURE_PORT is '٣'"),
        ({}, {"DURE_LEASE_MS": "1"}, r"DURE_LEASE_MS is '1'"),
        ({"lease_ms": 999}, {}, r"--lease-ms is '999'"),
        ({"prot": 1}, {}, "no setting prot"),
        ({"log_level": "loud"}, {}, "log level 'loud'"),
    ],
)
def test_mistakes(arguments: dict[str, object], environment: dict[str, str], message: str) -> None:
    with pytest.raises(Fatal, match=message) as found:
        read_settings(arguments, environment)
    assert found.value.code == "DURE-1050"
    assert found.value.fix


def test_every_number_has_a_range_that_holds_its_default() -> None:
    numbers = {name: value for name in Settings.__slots__ if isinstance(value := getattr(Settings(), name), int)}
    assert set(RANGES) == set(numbers)
    for name, value in numbers.items():
        assert RANGES[name].least <= value <= RANGES[name].most


@pytest.mark.parametrize(
    ("host", "hosts", "loopback", "allowed"),
    [
        ("127.0.0.1", (), True, {"localhost", "127.0.0.1", "::1"}),
        ("127.9.9.9", (), True, {"localhost", "127.0.0.1", "::1", "127.9.9.9"}),
        ("localhost", ("Dure.Example",), True, {"localhost", "127.0.0.1", "::1", "dure.example"}),
        ("0.0.0.0", (), False, set()),
        ("10.0.0.1", ("a",), False, {"localhost", "127.0.0.1", "::1", "10.0.0.1", "a"}),
        ("dure.example", (), False, set()),
    ],
)
def test_hosts(host: str, hosts: tuple[str, ...], loopback: bool, allowed: set[str]) -> None:
    settings = Settings(host=host, hosts=hosts)
    assert settings.is_loopback is loopback
    assert settings.allowed_hosts == allowed
    assert settings.metrics_open is (loopback and not hosts)
