"""Name servers that fail, as the programs' own resolver meets them."""

import time

import pytest

import fcgi_client as fc
import nameserver
from checks import refused, succeeded
from nameserver import Nameserver
from network import hole
from processes import PATIENCE, wait_until
from test_protocol import post_params, start_body
from transports import parse_cgi

NAME = "api-us-west-1.agora.io"
DEAD = [f"127.88.1.{n}" for n in range(1, 31)]
START_S = 20.5

pytestmark = pytest.mark.skipif(nameserver.unavailable() is not None,
                                reason=str(nameserver.unavailable()))


class Led:
    """A start_agent that a name server of ours leads to the sandbox."""

    def __init__(self, rig, dns):
        self.upstream = rig.upstream
        base = (f"https://{NAME}:{self.upstream.sandbox.port}"
                "/api/conversational-ai-agent")
        env_file = rig.programs.env_file(
            self.upstream.settings(AGORA_API_BASE_URL=base))
        self.program = rig.programs.listen("start_agent", env_file, 1,
                                           wrap=dns.wrap)

    def start(self):
        """The answer to one start in a new channel."""
        body = start_body(self.upstream)
        return parse_cgi(fc.request(
            self.program.socket, post_params("/v2/startAgent", body), body,
            timeout=60 * PATIENCE).stdout)

    def fails(self):
        """A start that must fail in time, without a call."""
        before = self.upstream.calls()
        started = time.monotonic()
        refused(self.start(), 500)
        assert time.monotonic() - started < START_S * PATIENCE
        assert self.upstream.calls() == before


@pytest.mark.parametrize("wanted", ["nxdomain", "servfail", "silent"])
def test_c10_no_address(rig, wanted):
    """A start fails in time; the next one finds the name again."""
    with Nameserver({NAME: wanted}) as dns:
        led = Led(rig, dns)
        led.fails()
        assert dns.asked(NAME)
        dns.names[NAME] = ["127.0.0.1"]
        wait_until(lambda: led.start().status == 200, 30 * PATIENCE,
                   "a start after the name server has recovered")
        assert led.program.stop(40) == 0


@pytest.mark.parametrize("addresses, silent", [
    (["::1"], False), (DEAD, False), (DEAD, True)],
    ids=["ipv6_only", "refused", "dropped"])
def test_c10_dead_addresses(rig, addresses, silent):
    """All of them, however many there are."""
    port = rig.upstream.sandbox.port
    with Nameserver({NAME: addresses}) as dns, hole(
            addresses if silent else [], port):
        led = Led(rig, dns)
        led.fails()
        assert dns.asked(NAME)
        assert led.program.stop(40) == 0


def test_c10_one_good_address(rig):
    """The dead ones before it only cost time."""
    with Nameserver({NAME: ["::1", "127.0.0.1"]}) as dns:
        led = Led(rig, dns)
        succeeded(led.start())
        assert led.program.stop(40) == 0
