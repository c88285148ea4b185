#!/usr/bin/python3
"""Runs all fuzzers, some at a time, and says what came of it.

    run.py [--seconds N] [--only NAME …] FOLDER     "make fuzz" calls it

FOLDER has fuzz/NAME for libFuzzer, and afl/fuzz/NAME for AFL++. What a run
learns stays in FOLDER/corpus/NAME for the next one; it starts from there and
from tests/fuzz/corpus/NAME. A finding is kept in FOLDER/findings.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
LENGTH_MAX = 8192  # bytes of an input
SLOW = 10  # seconds for one input are a finding
MEMORY = 1024  # MiB too
GRACE = 120  # seconds to start and to end


@dataclass
class Result:
    """What one run has done."""

    name: str
    tool: str
    runs: int = 0
    seconds: float = 0
    covered: int = 0
    edges: int = 0
    inputs: int = 0
    findings: list = field(default_factory=list)

    def line(self):
        """For the table."""
        rate = self.runs / self.seconds if self.seconds else 0
        share = 100 * self.covered / self.edges if self.edges else 0
        return (f"{self.name:17}{self.tool:10}{self.runs:>12,}{rate:>10,.0f}"
                f"{self.covered:>7} {share:4.0f} %{self.inputs:>8}"
                f"{len(self.findings):>9}")


HEAD = (f"{'harness':17}{'tool':10}{'runs':>12}{'runs/s':>10}"
        f"{'edges':>7}{'':7}{'inputs':>8}{'findings':>9}")


def number(pattern, text, default=0):
    """The last number that ${pattern} finds in ${text}."""
    found = re.findall(pattern, text)
    return float(found[-1]) if found else default


def corpora(folder, name):
    """Where inputs are kept, and those to start from."""
    kept = folder / "corpus" / name
    kept.mkdir(parents=True, exist_ok=True)
    return [kept] + [seeds for seeds in [HERE / "corpus" / name]
                     if seeds.is_dir()]


def dictionary(name):
    """The file of words for a harness; those of programs share one."""
    for stem in (name, name.partition("_")[0]):
        if (HERE / f"{stem}.dict").exists():
            return str(HERE / f"{stem}.dict")
    return None


def execute(command, seconds, environment):
    """Exit status and output; a process that does not end is ended."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, timeout=seconds + GRACE, check=False,
            env={**os.environ, **environment})
    except subprocess.TimeoutExpired as error:
        return -1, (error.stdout or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


def run_libfuzzer(folder, name, seconds):
    """libFuzzer with AddressSanitizer and UBSan."""
    found = folder / "findings"
    command = [
        str(folder / "fuzz" / name), f"-max_total_time={seconds}",
        f"-max_len={LENGTH_MAX}", f"-timeout={SLOW}",
        f"-rss_limit_mb={MEMORY}", "-print_final_stats=1",
        f"-artifact_prefix={found}/{name}-", *map(str, corpora(folder, name))]
    if dictionary(name):
        command.insert(1, f"-dict={dictionary(name)}")
    before = set(found.iterdir())
    status, said = execute(command, seconds, {
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:"
                        "strict_string_checks=1"})
    result = Result(name, "libFuzzer")
    result.runs = int(number(r"number_of_executed_units: (\d+)", said))
    result.seconds = number(r"in (\d+) second", said, seconds)
    result.covered = int(number(r"cov: (\d+)", said))
    result.edges = int(number(r"\((\d+) inline 8-bit counters\)", said))
    result.inputs = int(number(r"corp: (\d+)", said))
    result.findings = [path for path in set(found.iterdir()) - before
                       if path.name.startswith(f"{name}-")
                       and not path.name.startswith(f"{name}-slow-unit")]
    if status != 0 and not result.findings:
        result.findings.append(f"ended with status {status}:\n{said[-2000:]}")
    return result


def afl_seeds(folder, name, into):
    """AFL++ wants one folder of files that are not too large."""
    for source in corpora(folder, name):
        for path in source.iterdir():
            if 0 < path.stat().st_size <= LENGTH_MAX:
                shutil.copy(path, into / path.name)
    (into / "least").write_bytes(b"\0")


def read_stats(path):
    """AFL++'s fuzzer_stats as a dict."""
    if not path.exists():
        return {}
    return dict(re.split(r"\s*:\s*", line, maxsplit=1)
                for line in path.read_text().splitlines() if ":" in line)


def run_afl(folder, name, seconds):
    """AFL++ in persistent mode, without sanitizers."""
    found = folder / "findings"
    with tempfile.TemporaryDirectory(prefix="afl-") as scratch:
        seeds = pathlib.Path(scratch) / "in"
        out = pathlib.Path(scratch) / "out"
        seeds.mkdir()
        afl_seeds(folder, name, seeds)
        command = ["afl-fuzz", "-V", str(seconds), "-i", str(seeds), "-o",
                   str(out), "-G", str(LENGTH_MAX), "-t", f"{SLOW * 1000}",
                   "-m", str(MEMORY)]
        if dictionary(name):
            command += ["-x", dictionary(name)]
        command += ["--", str(folder / "afl" / "fuzz" / name)]
        status, said = execute(command, seconds, {
            "AFL_NO_UI": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_NO_AFFINITY": "1",
            "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
            "AFL_FAST_CAL": "1", "AFL_CMPLOG_ONLY_NEW": "1"})
        stats = read_stats(out / "default" / "fuzzer_stats")
        result = Result(name, "AFL++")
        result.runs = int(stats.get("execs_done", 0))
        result.seconds = float(stats.get("run_time", 0)) or seconds
        result.covered = int(stats.get("edges_found", 0))
        result.edges = int(stats.get("total_edges", 0))
        result.inputs = int(stats.get("corpus_count", 0))
        for kind in ("crashes", "hangs"):
            for path in sorted((out / "default" / kind).glob("id:*")):
                kept = found / f"{name}-afl-{kind}-{path.name[3:9]}"
                shutil.copy(path, kept)
                result.findings.append(kept)
    if not stats or status != 0 and not result.findings:
        result.findings.append(
            f"afl-fuzz ended with status {status}:\n{said[-2000:]}")
    return result


def describe(finding, result, folder):
    """What a finding says when it is run again, and how to do that."""
    print(f"\n{result.name} ({result.tool}): {finding}")
    if isinstance(finding, pathlib.Path):
        again = [str(folder / "fuzz" / result.name), str(finding)]
        _, said = execute(again, SLOW, {})
        words = re.compile("ERROR|SUMMARY|does not hold|runtime error| #[0-9]")
        print("\n".join("    " + line[:160] for line in said.splitlines()
                        if words.search(line)))
        print("again with:", *again)


def report(results, folder):
    """The table, then every finding. Returns the exit status."""
    print(HEAD)
    for result in sorted(results, key=lambda one: (one.tool, one.name)):
        print(result.line())
    bad = [result for result in results if result.findings]
    for result in bad:
        for finding in result.findings:
            describe(finding, result, folder)
    total = sum(result.runs for result in results)
    seconds = sum(result.seconds for result in results)
    print(f"\n{total:,} runs in {seconds / 60:.1f} minutes of one core, "
          f"{sum(len(result.findings) for result in results)} findings")
    return 1 if bad else 0


def main():
    """Runs what is asked for; exit status 1 when there is a finding."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int,
                        default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    (folder / "findings").mkdir(parents=True, exist_ok=True)
    jobs = [(run, path.name) for run, where in (
                (run_libfuzzer, "fuzz"), (run_afl, "afl/fuzz"))
            for path in sorted((folder / where).glob("*"))]
    if options.only:
        jobs = [job for job in jobs if job[1] in options.only]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(
            lambda job: job[0](folder, job[1], options.seconds), jobs))
    return report(results, folder)


if __name__ == "__main__":
    sys.exit(main())
