"""The preloaded library that leads host names to loopback ports."""

import os
import shutil
import subprocess

import pytest

import preload
from client import Sandbox

FIRST = "api-us-west-1.agora.io"
SECOND = "api-us-east-1.agora.io"
CONNECT_FAILED, NOT_RESOLVED, TIMED_OUT = 7, 6, 28  # exit codes of curl(1)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None,
                                reason="needs curl(1)")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build(tmp_path_factory.mktemp("preload"))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("preload-sandbox")) as running:
        yield running


@pytest.fixture
def curl(library, sandbox, tmp_path):
    """Calls a URL with the given hosts: (exit code, output, log lines)."""
    def call(hosts, url, *options):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        added = preload.environment(library, hosts, log)
        done = subprocess.run(
            ["curl", "-q", "-sS", "--noproxy", "*", "-m", "2",
             "--cacert", sandbox.ca_file, *options, url],
            env={**os.environ, **added}, capture_output=True, text=True)
        lines = log.read_text().splitlines() if log.exists() else []
        return done.returncode, done.stdout, lines
    return call


def test_name_leads_to_the_port(curl, sandbox):
    code, out, lines = curl([(FIRST, sandbox)], f"https://{FIRST}/nothing")
    assert (code, "no Route" in out) == (0, True)
    assert lines == [f"resolve {FIRST}", f"connect {FIRST} address"]
    assert sandbox.ledger()[-1]["headers"]["host"] == FIRST


def test_each_name_leads_to_its_own_target(curl, sandbox):
    hosts = [(FIRST, "refused"), (SECOND, sandbox)]
    assert curl(hosts, f"https://{FIRST}/")[0] == CONNECT_FAILED
    assert curl(hosts, f"https://{SECOND}/")[0] == 0


def test_addresses_of_one_name_are_tried_in_order(curl, sandbox):
    code, _, lines = curl([(FIRST, "refused"), (FIRST, sandbox)],
                          f"https://{FIRST}/")
    assert code == 0
    assert lines[1:] == [f"connect {FIRST} refused",
                         f"connect {FIRST} address"]


def test_name_is_compared_without_case_and_dot(curl, sandbox):
    url = f"https://{FIRST.upper()}./"
    assert curl([(FIRST, sandbox)], url)[0] == 0


@pytest.mark.parametrize("target, code", [
    ("refused", CONNECT_FAILED), ("nxdomain", NOT_RESOLVED),
    ("again", NOT_RESOLVED)])
def test_word_fails_at_once(curl, target, code):
    assert curl([(FIRST, target)], f"https://{FIRST}/")[0] == code


@pytest.mark.parametrize("target, connects", [("silent", False),
                                              ("mute", True)])
def test_silent_and_mute_time_out(curl, target, connects):
    """silent never connects, mute does and then says nothing. Without TLS,
    which curl would count to the connecting."""
    code, out, _ = curl([(FIRST, target)], f"http://{FIRST}/",
                        "-w", "%{time_connect}", "-m", "1")
    assert code == TIMED_OUT
    assert (float(out) > 0) == connects


@pytest.mark.parametrize("url, code", [
    ("https://other.example/", NOT_RESOLVED),
    ("https://192.0.2.1/", CONNECT_FAILED),
    ("https://[2001:db8::1]/", CONNECT_FAILED)])
def test_nothing_leaves_the_machine(curl, url, code):
    assert curl([], url)[0] == code


def test_loopback_passes(curl, sandbox):
    assert curl([], sandbox.origin + "/")[0] == 0
    assert curl([], f"https://localhost:{sandbox.port}/")[0] == 0


def test_bad_target_ends_the_program(curl):
    """A misspelt target must not look like a host that fails."""
    assert curl([(FIRST, "refusd")], f"https://{FIRST}/")[0] < 0
    assert curl([(FIRST, "192.0.2.1:443")], f"https://{FIRST}/")[0] < 0
