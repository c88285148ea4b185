"""One sandbox per file of tests, as new for each test."""

import pytest

from client import Sandbox


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A sandbox that all tests of a file share."""
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def sandbox(running):
    """The same process for all tests, but as new for each."""
    running.reset()
    return running
