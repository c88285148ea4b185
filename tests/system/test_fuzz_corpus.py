"""The fuzzers' inputs, run again; and what "make fuzz" says of a finding.

The harnesses in $B/fuzz are those of tests/fuzz, built without a fuzzer.
"""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("B", "build")
FUZZ = ROOT / "tests" / "fuzz"
HARNESSES = sorted(path.name for path in (FUZZ / "corpus").iterdir())


def replay(harness, where, **environment):
    """Runs one harness; the answer has its status and words."""
    return subprocess.run([BUILD / "fuzz" / harness, where], timeout=120,
                          capture_output=True, text=True, errors="replace",
                          check=False, **environment)


@pytest.mark.parametrize("harness", HARNESSES)
def test_J03_corpus(harness):
    """Nothing that was ever found comes back."""
    done = replay(harness, FUZZ / "corpus" / harness)
    if done.returncode != 0:
        done = replay(harness, FUZZ / "corpus" / harness,
                      env={**os.environ, "FUZZ_VERBOSE": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    count = len(list((FUZZ / "corpus" / harness).iterdir()))
    assert done.stdout == f"{count} inputs\n"


def test_J03_every_harness_has_a_corpus():
    """None is left out of the test above."""
    built = sorted(path.name for path in (BUILD / "fuzz").iterdir()
                   if path.suffix == "")
    assert built == HARNESSES


FINDS = """#!/bin/sh
for word; do
	case $word in
	-artifact_prefix=*) touch "${word#*=}crash-1" ;;
	*crash-1) echo 'SUMMARY: it was bad' ;;
	esac
done
echo 'Loaded 1 modules (100 inline 8-bit counters)'
echo '#8	DONE   cov: 40 ft: 50 corp: 7/7b'
echo 'Done 8 runs in 2 second(s)'
echo 'stat::number_of_executed_units: 8'
"""


def fuzz(folder, script):
    """tests/fuzz/run.py with one harness, which is a script."""
    (folder / "fuzz").mkdir()
    harness = folder / "fuzz" / "broken"
    harness.write_text(script)
    harness.chmod(0o755)
    return subprocess.run(
        [sys.executable, FUZZ / "run.py", "--seconds", "1", folder],
        timeout=60, capture_output=True, text=True, check=False)


def test_J01_a_finding_is_kept_and_explained(tmp_path):
    """Status 1, the input, its words, and how to see it again."""
    done = fuzz(tmp_path, FINDS)
    kept = tmp_path / "findings" / "broken-crash-1"
    assert done.returncode == 1
    assert kept.exists()
    assert "SUMMARY: it was bad" in done.stdout
    assert f"again with: {tmp_path}/fuzz/broken {kept}" in done.stdout
    assert "broken           libFuzzer            8         4     40   40 %" \
        in done.stdout


def test_J01_a_fuzzer_that_breaks_is_a_finding(tmp_path):
    """One that cannot run must not look like one that found nothing."""
    done = fuzz(tmp_path, "#!/bin/sh\necho cannot run\nexit 3\n")
    assert done.returncode == 1
    assert "ended with status 3" in done.stdout
    assert "cannot run" in done.stdout


def test_J01_no_finding(tmp_path):
    """Status 0."""
    done = fuzz(tmp_path, FINDS.replace("touch", ":"))
    assert done.returncode == 0, done.stdout
    assert "0 findings" in done.stdout
