"""The name server for tests: that a program's own resolver asks it."""

import shutil
import socket
import subprocess
import sys
import time

import pytest

import nameserver
from nameserver import A, AAAA, Nameserver
from network import hole

NAME = "api-us-west-1.agora.io"
DEAD = [f"127.88.0.{n}" for n in range(1, 31)]
LOOK_UP = """
import socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1], 443, type=socket.SOCK_STREAM)
    print(" ".join(address[0] for *_, address in found))
except socket.gaierror as error:
    print({socket.EAI_NONAME: "NONAME", socket.EAI_AGAIN: "AGAIN",
           socket.EAI_NODATA: "NODATA"}[error.errno])
"""

pytestmark = pytest.mark.skipif(nameserver.unavailable() is not None,
                                reason=str(nameserver.unavailable()))


def look_up(dns, name=NAME, seconds=1):
    """What getaddrinfo() of a program says."""
    done = subprocess.run(
        dns.wrap([sys.executable, "-c", LOOK_UP, name]), check=True,
        capture_output=True, text=True,
        env={"RES_OPTIONS": f"timeout:{seconds} attempts:1"})
    return done.stdout.strip()


@pytest.mark.parametrize("wanted, said", [
    (["127.0.0.1"], "127.0.0.1"), (["127.0.0.1", "::1"], None),
    (["::1"], "::1"), ("nxdomain", "NONAME"), ("servfail", "AGAIN"),
    ("refused", "AGAIN"), ("silent", "AGAIN"), ([], "NODATA")])
def test_getaddrinfo_asks_it(wanted, said):
    with Nameserver({NAME: wanted}) as dns:
        got = look_up(dns)
        assert dns.asked(NAME)
        assert {kind for _, kind, _ in dns.asked(NAME)} == {A, AAAA}
    if said is None:
        assert sorted(got.split()) == sorted(wanted)
    else:
        assert got == said


def test_other_names_do_not_exist():
    with Nameserver({NAME: ["127.0.0.1"]}) as dns:
        assert look_up(dns, "other.agora.io") == "NONAME"
        assert look_up(dns, "localhost") in ("127.0.0.1", "::1",
                                             "::1 127.0.0.1")
        assert not dns.asked("localhost")


def test_many_addresses_come_over_tcp():
    with Nameserver({NAME: DEAD}) as dns:
        assert sorted(look_up(dns).split()) == sorted(DEAD)
        assert (NAME, A, "tcp") in dns.queries


def test_silence_lasts_as_long_as_libc_asks():
    with Nameserver({NAME: "silent"}) as dns:
        started = time.monotonic()
        assert look_up(dns, seconds=2) == "AGAIN"
        assert 1.9 < time.monotonic() - started < 20


def test_the_rest_of_the_machine_is_not_led_astray():
    with open("/etc/resolv.conf", encoding="utf-8") as file:
        before = file.read()
    with Nameserver({NAME: ["127.0.0.1"]}) as dns:
        look_up(dns)
        with open("/etc/resolv.conf", encoding="utf-8") as file:
            assert file.read() == before


def test_the_program_keeps_its_pid():
    with Nameserver({}) as dns:
        with subprocess.Popen(
                dns.wrap([sys.executable, "-c", "import os; "
                          "print(os.getpid())"]),
                stdout=subprocess.PIPE, text=True) as process:
            assert int(process.stdout.read()) == process.pid


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl(1)")
def test_program_reaches_a_sandbox_by_name(sandbox):
    with Nameserver({NAME: ["127.0.0.1"]}) as dns:
        done = subprocess.run(
            dns.wrap(["curl", "-q", "-sS", "--noproxy", "*", "--cacert",
                      sandbox.ca_file, f"https://{NAME}:{sandbox.port}/x"]),
            capture_output=True, text=True, check=True)
    assert "no Route" in done.stdout
    assert sandbox.ledger()[-1]["headers"]["host"] == (
        f"{NAME}:{sandbox.port}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl(1)")
@pytest.mark.parametrize("silent, code", [(False, 7), (True, 28)])
def test_dead_addresses(sandbox, silent, code):
    """Nobody is there, or nobody answers: curl's two words for it. A second
    each is what it takes to get over an address that refuses."""
    dead = DEAD if silent else DEAD[:3]
    with Nameserver({NAME: dead}) as dns, hole(
            dead if silent else [], sandbox.port):
        done = subprocess.run(
            dns.wrap(["curl", "-q", "-sS", "--noproxy", "*", "-m",
                      "2" if silent else "60",
                      f"https://{NAME}:{sandbox.port}/"]),
            capture_output=True, check=False)
    assert done.returncode == code


def test_hole_drops_what_comes():
    with hole(["127.88.0.1"]) as port:
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.88.0.1", port), 0.5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.88.0.1", port), 0.5)
