"""make run: deploy/local/run.py, as a newcomer and as an operator would."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from processes import ROOT, WRAPPED, alive, wait_until
from servers import free_port

OWN = {"APP_ID": "970CA35de60c44645bbae8a215061b33",
       "APP_CERTIFICATE": "5CFd2fd1755d40ecb72977518be15d3b"}

pytestmark = pytest.mark.skipif(WRAPPED, reason="starts programs by itself")


def descendants(pid):
    """All processes below ${pid}."""
    found = []
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            for child in map(int, f.read().split()):
                found += [child, *descendants(child)]
    return found


@contextlib.contextmanager
def running(tmp_path, **env):
    """A stack that is ready; at the end it is told to stop, and is gone."""
    port = free_port()
    output = tmp_path / "output"
    keep = {name: os.environ[name] for name in ("B", "ASAN_OPTIONS")
            if name in os.environ}
    with open(output, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, ROOT / "deploy/local/run.py"],
            stdout=file, stderr=file, start_new_session=True,
            env={**keep, "PATH": os.environ["PATH"], "HOME": str(tmp_path),
                 "PORT": str(port), **env})
    try:
        wait_until(lambda: process.poll() is not None or
                   "ready: " in output.read_text(), 60, "ready")
        assert process.poll() is None, output.read_text()
        below = descendants(process.pid)
        yield f"http://127.0.0.1:{port}", output
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0, output.read_text()
    assert not [pid for pid in below if alive(pid)]


def ask(url, body=None):
    """The data of a successful answer."""
    request = urllib.request.Request(
        url, json.dumps(body).encode() if body is not None else None,
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer).get("data")


def whole_flow(url):
    """What the README's three commands do."""
    config = ask(f"{url}/get_config")
    started = ask(f"{url}/v2/startAgent", {
        "channelName": config["channel_name"], "rtcUid": config["agent_uid"],
        "userUid": config["uid"]})
    ask(f"{url}/v2/stopAgent", {"agentId": started["agent_id"]})
    return config


@pytest.mark.parametrize("server", ["nginx", "apache"])
def test_without_credentials(tmp_path, server):
    """The demo pair and the sandbox, and it says so."""
    env_file = tmp_path / "env"  # not what a developer has in the checkout
    env_file.write_text("", encoding="utf-8")
    env_file.chmod(0o600)
    with running(tmp_path, SERVER=server,
                 AGORA_ENV_FILE=str(env_file)) as (url, output):
        whole_flow(url)
        with urllib.request.urlopen(url, timeout=30) as page:
            assert page.url == f"{url}/agora-agent/"
            assert b"Try your voice agent" in page.read()
        assert "demo pair" in output.read_text()
        assert "stands in for Agora" in output.read_text()


@pytest.mark.parametrize("where", ["environment", "file"])
def test_sandbox_with_credentials(tmp_path, where):
    """The pair that is set is the one that both sides use."""
    env = {"SANDBOX": "1"}
    env_file = tmp_path / "env"
    lines = ["APP_ID=00000000000000000000000000000000"]
    if where == "environment":
        env.update(OWN)
    else:
        lines += [f"{name}='{value}'" for name, value in OWN.items()]
    env_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    env_file.chmod(0o600)
    with running(tmp_path, AGORA_ENV_FILE=str(env_file), **env) as (url, _):
        assert whole_flow(url)["app_id"] == OWN["APP_ID"]


@pytest.mark.parametrize("port", ["abc", "0", "99999"])
def test_a_port_that_is_none(tmp_path, port):
    """One sentence, no traceback."""
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/local/run.py"], check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path),
             "PORT": port})
    assert done.returncode == 1
    assert done.stdout == ("PORT must be a number from 1 to 65535, "
                           f"not {port}\n")


def test_h04_a_file_for_everybody_stops_it(tmp_path):
    """With the reason and the cure."""
    env_file = tmp_path / "env"
    env_file.write_text("\n".join(f"{name}={value}" for name, value
                                  in OWN.items()), encoding="utf-8")
    env_file.chmod(0o644)
    keep = {name: os.environ[name] for name in ("B",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/local/run.py"], check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**keep, "PATH": os.environ["PATH"], "HOME": str(tmp_path),
             "AGORA_ENV_FILE": str(env_file)})
    assert done.returncode == 1
    assert f"{env_file}: everybody on this machine can read it; chmod 600" \
        in done.stdout
    assert OWN["APP_CERTIFICATE"] not in done.stdout
