"""Every case of tests/CASES.md has a test that bears its number."""

import os
import re
import subprocess
import sys

import pytest

from processes import ROOT

GROUPS = "ABCDEFGH"  # those that are complete
# In the name of a function or as one of its parameters; a sentence in a
# parameter may be about any proxy.
NGINX = re.compile(r"^[^\[]*nginx|\[(.*-)?nginx")
APACHE = re.compile(r"^[^\[]*(apache|fcgid|htaccess)"
                    r"|\[(.*-)?(apache|fcgid|htaccess|proxy(_\w+)?(?=[-\]]))")


def rows(heading):
    """The rows of the tables below the headings that match, as lists."""
    text = (ROOT / "tests/CASES.md").read_text(encoding="utf-8")
    for section in text.split("\n## ")[1:]:
        if re.match(heading, section):
            for line in re.findall(r"^\| ([A-H]\d\d \|.*) ?\|$", section,
                                   re.M):
                yield [cell.strip() for cell in line.split(" |")]


CASES = {row[0]: row for row in rows(r"[A-H]\. ")}
WITHOUT = {row[0]: row[1] for row in rows("Without a test")}


def collected():
    """The names of all tests of tests/, whatever this run selects."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q",
         "-p", "no:cacheprovider", "tests"], cwd=ROOT, env=env, check=False,
        stdout=subprocess.PIPE, timeout=100)
    assert done.returncode == 0, done.stdout
    for line in done.stdout.decode("utf-8").splitlines():
        if "::" in line:
            yield line.partition("::")[2]
    for source in (ROOT / "tests/unit").glob("*.c"):
        text = source.read_text(encoding="utf-8")
        yield from re.findall(r"^(test_\w+)\(", text, re.M)


def cases_of(name):
    """The cases that a name says it shows."""
    function = name.partition("[")[0]
    return ({case.upper() for case in
             re.findall(r"_([a-h]\d\d)(?=_|$)", function)}
            | set(re.findall(r"[-: ]([A-H]\d\d) ", name)))


@pytest.fixture(name="shown", scope="module")
def names_by_case():
    """The names of the tests of each case."""
    found = {}
    for name in collected():
        for case in cases_of(name):
            found.setdefault(case, []).append(name)
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_every_case_has_a_test(shown, group):
    """Or a reason why not."""
    missing = [case for case in CASES
               if case[0] == group and not shown.get(case)
               and case not in WITHOUT]
    assert not missing


@pytest.mark.parametrize("group", GROUPS)
def test_both_servers(shown, group):
    """Where the list says so, nginx and Apache are in front."""
    both = [case for case, row in CASES.items()
            if case[0] == group and row[3] == "both"]
    assert [case for case in both
            if not any(map(NGINX.search, shown.get(case, [])))] == []
    assert [case for case in both
            if not any(map(APACHE.search, shown.get(case, [])))] == []


def test_every_number_is_in_the_list(shown):
    """A test's number says what it is about."""
    assert not set(shown) - set(CASES)


def test_reasons_are_not_stale(shown):
    """What has a test needs no excuse."""
    assert set(WITHOUT) <= set(CASES)
    assert not set(WITHOUT) & set(shown)
    assert all(WITHOUT.values())
