"""A stranger in front of a fresh Debian 12 follows the README."""

import json
import shutil
import subprocess

import pytest

import readme
from machine import STRANGER
from processes import ROOT

LIMIT_S = 60  # beside apt
CA_FILE = "/etc/ssl/sandbox.pem"


@pytest.fixture
def stranger(machine, upstream):
    """What he knows is his project; that it lives in a sandbox is ours."""
    machine.put(upstream.sandbox.ca_file, CA_FILE)
    settings = upstream.settings(AGORA_CA_FILE=CA_FILE)
    del settings["STATE_DIR"], settings["LOG_LEVEL"]
    return readme.Reader(machine, settings, f"/home/{STRANGER}")


def answers(printed):
    """The JSON among what the commands printed."""
    return [json.loads(text[text.index("{"):]) for text in printed
            if '{"code":' in text]


def check_answers(printed, upstream):
    """Three good ones, and the agent was started and stopped."""
    config, start, stop = answers(printed)
    assert config["data"]["token"].startswith("007")
    assert start["data"]["status"] == "started"
    assert stop == {"code": 0, "msg": "success"}
    assert upstream.sandbox.running() == []


def check_seconds(stranger, what, record_property):
    """Fast enough; says how fast."""
    record_property("seconds", f"{what}: {stranger.seconds:.1f} s beside "
                    f"{stranger.apt_seconds:.1f} s of apt")
    assert stranger.seconds < LIMIT_S


@pytest.mark.parametrize("server", readme.SERVERS)
def test_the_package(stranger, deb, upstream, server, record_property):
    """The package, the settings, a line for the site: three curls work."""
    stranger.machine.put(deb, f"/home/{STRANGER}/{deb.name}")
    printed = stranger.follow(readme.steps(readme.PACKAGE, server))
    if server == "Apache":
        printed += stranger.follow(readme.curls())
    check_answers(printed, upstream)
    check_seconds(stranger, f"package, {server}", record_property)


def copy_source(machine):
    """The tree as a clone has it."""
    source = f"/home/{STRANGER}/agora-agent"
    target = machine.path(source)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others",
         "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE,
        check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    machine.run(f"chown -R {STRANGER}: {source}")
    return source


@pytest.mark.parametrize("server", readme.SERVERS)
def test_the_source(machine, stranger, upstream, server, record_property):
    """The same from the source, on a machine that has the web server."""
    machine.run("apt-get install -y " +
                ("nginx" if server == "nginx" else "apache2"))
    stranger.folder = copy_source(machine)
    steps = readme.steps(readme.SOURCE, server)
    printed = stranger.follow(steps + readme.curls())
    check_answers(printed, upstream)
    check_seconds(stranger, f"source, {server}", record_property)
