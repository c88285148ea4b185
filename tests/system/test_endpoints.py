"""Every check over every transport."""

import pytest

from checks import CHECKS, Api
from rig import HTTP_KINDS, KINDS

CASES = [pytest.param(kind, check, id=f"{kind}-{check.name}")
         for kind in KINDS for check in CHECKS
         if check.fits(kind, kind in HTTP_KINDS)]


@pytest.mark.parametrize("kind, check", CASES)
def test_endpoint(rig, kind, check):
    """One check over one transport."""
    check.run(Api(rig.transport(kind, check.profile), rig.upstream))


def test_names_are_unique():
    """A check whose name is taken would hide another."""
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
