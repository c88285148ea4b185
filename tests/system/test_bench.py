"""The benchmark's own parts work. How fast anything is is not judged here."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree

import accesstoken
import fcgi_client as fc
import pytest
from processes import ROOT, can_connect, wait_until
from test_protocol import GET
from transports import parse_cgi

sys.path.append(str(ROOT / "tests/bench"))
import chart  # noqa: E402  pylint: disable=wrong-import-position
import procs  # noqa: E402  pylint: disable=wrong-import-position

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
BUILD = ROOT / os.environ.get("B", "build") / "bench"


@pytest.fixture
def loop(folder):
    """The hand-written loop: its process and socket."""
    path = str(folder / "s")
    with subprocess.Popen([BUILD / "fcgi_loop", path, APP_ID,
                           CERTIFICATE]) as process:
        wait_until(lambda: can_connect(path), 10, "the loop listens")
        yield process, path
        process.terminate()


def genuine(stdout):
    """Whether an answer is one that get_config could give."""
    answer = parse_cgi(stdout)
    data = answer.json["data"]
    token = accesstoken.parse(data["token"])
    assert answer.status == 200
    assert accesstoken.signed_by(token, CERTIFICATE)
    return data


def test_the_loop_answers_as_get_config_does(loop, rig):
    """On kept connections and others, the same members, good tokens."""
    program = rig.programs.listen("get_config", rig.env_file("default"))
    ours = parse_cgi(fc.request(program.socket, GET).stdout).json
    with fc.Connection(loop[1]) as connection:
        answers = [genuine(connection.request(GET, keep=True).stdout)
                   for _ in range(2)]
        answers.append(genuine(connection.request(GET).stdout))
        assert connection.ended(5)
    assert len({answer["token"] for answer in answers}) == 3
    assert all(list(answer) == list(ours["data"]) for answer in answers)


def test_token_cost_says_what_it_found():
    """Both figures and their ratio."""
    done = subprocess.run([BUILD / "token_cost", "1"], check=True,
                          capture_output=True)
    cost = json.loads(done.stdout)
    assert cost["token_ns"] > 0 and cost["zlib_ns"] > 0
    assert cost["ratio"] == pytest.approx(
        cost["token_ns"] / cost["zlib_ns"], abs=0.001)


def test_processes_are_measured(loop):
    """Processor time grows with work; memory is there."""
    process, path = loop
    pids = procs.family(process.pid)
    before = procs.cpu_us(pids)
    fc.request(path, GET)
    assert procs.cpu_us(pids) > before
    assert procs.memory_kib(pids)[0] > 0


def test_the_chart_is_svg():
    """With a bar for each rate, and names escaped."""
    drawn = xml.etree.ElementTree.fromstring(chart.draw(
        {"a <table>": {"head": ["", "req/s"],
                       "rows": [["one & only", "200"], ["half", "100"]]},
         "no rates": {"head": ["", "ns"], "rows": [["x", "1"]]}}))
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("width") for bar in bars] == ["100%", "420.0", "210.0"]
