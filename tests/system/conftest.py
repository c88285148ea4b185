"""What the system tests share: programs, sandbox, transports.

One of each per test process, started when first needed and stopped by pid at
the end. After every test, what the programs wrote to stderr is read: a line
that is not one of their log lines fails the test.
"""

import collections
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "sandbox"),
                str(HERE.parent / "faults")]

# pylint: disable=wrong-import-position
import rig as rig_module  # noqa: E402
from agent_cases import KINDS  # noqa: E402
from client import Sandbox  # noqa: E402
from openapi import API  # noqa: E402
from processes import PATIENCE, WRAPPED  # noqa: E402
from programs import Programs  # noqa: E402
from upstream import Upstream  # noqa: E402
from watch import WATCH  # noqa: E402


# The files that take longest. They begin first, so that none is left over
# when the others are done.
LONG = ("test_allocations", "test_contract_replay", "test_upstream_faults",
        "test_deploy", "test_endpoints", "test_restarts", "test_access",
        "test_races", "test_processes", "test_install", "test_sandbox",
        "test_running", "test_hosts", "test_agent_examples", "test_judge",
        "test_join_body", "test_resources", "test_cleaning_up",
        "test_install_htaccess", "test_agent_files")


def pytest_collection_modifyitems(items):
    """Long files first; and what stretches the programs stretches the time
    that a test may take."""
    place = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
    for item in items:
        if WRAPPED and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120 * PATIENCE))


def pytest_terminal_summary(terminalreporter):
    """Says what the tests of agent files covered (test_agent_cases.py)."""
    counts = collections.Counter()
    for report in terminalreporter.getreports("passed"):
        counts.update(dict(report.user_properties).get("join cases", {}))
    if counts:
        terminalreporter.write_line("join cases: " + ", ".join(
            f"{counts[kind]} {kind}" for kind in KINDS))


@pytest.fixture(scope="session")
def programs():
    """The programs, and everything that they leave behind."""
    session = Programs()
    missing = [name for name in ("get_config", "start_agent", "stop_agent")
               if not (session.build / f"{name}.fcgi").exists()]
    if missing:
        pytest.exit(f"not built in {session.build}: {missing}", 2)
    yield session
    bad = session.stop_all()
    strange = session.strange_lines()
    WATCH.files(session.folder, leave=session.env_files)
    shutil.rmtree(session.folder, ignore_errors=True)
    assert not bad and not strange, (bad, strange)
    found = WATCH.take()
    assert not found, found


@pytest.fixture(scope="session")
def upstream(programs):
    """The stand-in for Agora."""
    session = Upstream(programs.folder)
    yield session
    session.stop()


@pytest.fixture
def weather(programs, upstream):
    """A maker of sandboxes whose network and faults are the test's own."""
    made = []

    def make(*options):
        folder = programs.file("weather")
        os.mkdir(folder, 0o755)
        sandbox = Sandbox(folder, *options, app_id=upstream.sandbox.app_id,
                          app_certificate=upstream.certificate)
        made.append(sandbox)
        sandbox.start()
        return sandbox
    yield make
    for sandbox in made:
        sandbox.stop(check=False)


@pytest.fixture(scope="session")
def rig(programs, upstream):
    """Transports by name and settings profile."""
    session = rig_module.Rig(programs, upstream)
    yield session
    session.close()


@pytest.fixture
def folder():
    """One that www-data can enter, which tmp_path is not."""
    path = tempfile.mkdtemp(prefix="agora-")
    yield pathlib.Path(path)
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def clean_stderr(programs):
    """Fails a test during which a program printed something strange, a
    secret was seen where none may be (H01), or an answer came that the
    description of the API does not have."""
    yield
    undescribed = API.take()
    assert not undescribed, undescribed
    strange = programs.strange_lines()
    assert not strange, strange
    found = WATCH.take()
    assert not found, found
