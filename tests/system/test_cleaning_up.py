"""An agent that is found when its client has its error already is stopped, by
whatever kind of process."""

import contextlib
import json
import os
import subprocess
import time

import pytest

from checks import JSON, refused
from processes import PATIENCE, wait_until
from starts import Backend, members
from transports import cgi_params, parse_cgi


def lose_for_long(upstream, channel, lists=3):
    """Joins are carried out but never answered, and the list fails so
    often: the client has its error before the agent is found."""
    upstream.fault(channel, close="before", execute=True)
    upstream.sandbox.fault("list", match={"channel": channel,
                                          "times": lists}, status=500)


def start_request(channel):
    """A start, for request() of any transport."""
    return "POST", "/v2/startAgent", [JSON], json.dumps(
        members(channel)).encode()


def cleaned_up(upstream, channel):
    """Whether the agent ran and was stopped by the program itself."""
    agent = upstream.agent(channel)
    return agent["status"] == "STOPPED" and bool(agent["leaves"])


def test_cgi_cleans_up_after_the_answer(rig):
    """By a child that nobody waits for, and that ends."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    lose_for_long(upstream, channel)
    method, path, headers, body = start_request(channel)
    env = rig.programs.environment(
        {"AGORA_ENV_FILE": rig.env_file("default"),
         **cgi_params(method, path, headers, body)})
    log = rig.programs.log_file("cgi.log")
    with open(log.path, "ab") as stderr:
        process = subprocess.Popen(
            [rig.programs.path("start_agent")], env=env, stderr=stderr,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = process.communicate(body, 30 * PATIENCE)
    answered = time.time()
    refused(parse_cgi(output), 500)
    assert process.returncode == 0
    wait_until(lambda: cleaned_up(upstream, channel), 12 * PATIENCE,
               "the child stops the agent")
    (leave,) = upstream.sandbox.ledger(channel, "leave")
    assert leave["time"] > answered - 0.5
    none_is_left(rig, env["AGORA_ENV_FILE"])


def none_is_left(rig, mark):
    """No process of this test: their environment names its file."""
    def left():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if mark.encode() in file.read():
                        yield int(pid)
    wait_until(lambda: not list(left()), 12 * PATIENCE,
               f"the end of {rig.programs.path('start_agent')}")


def test_apache_cgi_cleans_up_after_the_answer(rig):
    """mod_cgid ends what it has started, but not that child."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    lose_for_long(upstream, channel, lists=4)
    api = rig.transport("apache-cgi")
    refused(api.request(*start_request(channel)), 500)
    assert upstream.agent(channel)["status"] == "RUNNING"
    wait_until(lambda: cleaned_up(upstream, channel), 12 * PATIENCE,
               "the child stops the agent")


@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_lets_the_cleaning_up_end(rig, workers):
    """A process that is told to end stops the agent that it looks for."""
    upstream, channel = rig.upstream, rig.upstream.channel()
    lose_for_long(upstream, channel, lists=4)
    with Backend(rig, workers=workers) as backend:
        backend.start(channel).failed()
        assert upstream.agent(channel)["status"] == "RUNNING"
        program = backend.program("start_agent")
        assert program.stop(20) == 0
    assert cleaned_up(upstream, channel)
