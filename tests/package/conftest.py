"""What the tests of the package and of the README share."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system"),
                str(HERE.parent / "sandbox")]

# pylint: disable=wrong-import-position
import machine as machines  # noqa: E402
import readme  # noqa: E402
from processes import ROOT  # noqa: E402
from upstream import Upstream  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """What the tests install is there before they begin."""
    if os.geteuid() != 0:
        pytest.exit("namespaces and chroots are made by root only", 2)
    machines.download(*readme.packages())
    machines.leave_network()


def pytest_collection_modifyitems(items):
    """Much of the time is apt's."""
    for item in items:
        item.add_marker(pytest.mark.timeout(600))


def pytest_terminal_summary(terminalreporter):
    """Says how long following the README took."""
    for report in terminalreporter.getreports("passed"):
        if "seconds" in dict(report.user_properties):
            terminalreporter.write_line(
                dict(report.user_properties)["seconds"])


@pytest.fixture
def machine():
    """A fresh one."""
    with machines.Machine() as fresh:
        yield fresh


@pytest.fixture
def deb():
    """The package that "make deb" has built."""
    found = list((ROOT / "build-deb").glob("agora-agent_*.deb"))
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def upstream():
    """A sandbox where the machines see it."""
    folder = tempfile.mkdtemp(prefix="agora-")
    fresh = Upstream(folder)
    yield fresh
    fresh.stop()
    shutil.rmtree(folder)
