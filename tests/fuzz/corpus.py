#!/usr/bin/python3
"""Takes new inputs into tests/fuzz/corpus ("make fuzz-corpus").

    corpus.py FOLDER     FOLDER has fuzz/NAME, and corpus/NAME of run.py

An input is taken over when it reaches code, or numbers of rounds, that the
others do not; of several the shortest. Those named hostile-… always are: only
when something is wrong do they reach more.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
FILES_MAX = 200  # of a harness
BYTES_MAX = 300 * 1024  # of all its files together
LENGTH_MAX = 8192  # of one


def merge(fuzzer, sources):
    """The inputs that are worth keeping, as a list of contents."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [str(fuzzer), "-merge=1", f"-max_len={LENGTH_MAX}", folder,
             *map(str, sources)], check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return {path.name: path.read_bytes()
                for path in pathlib.Path(folder).iterdir()}


def choose(inputs):
    """Short and long ones evenly, within the limits."""
    by_size = sorted(inputs.items(), key=lambda one: (len(one[1]), one[0]))
    count = min(len(by_size), FILES_MAX)
    chosen = dict(by_size[i * len(by_size) // count] for i in range(count))
    while sum(map(len, chosen.values())) > BYTES_MAX:
        chosen.popitem()
    return chosen


def main():
    """Merges every harness."""
    folder = pathlib.Path(sys.argv[1]).resolve()
    seeds = folder / "seeds"
    shutil.rmtree(seeds, ignore_errors=True)
    subprocess.run([sys.executable, str(HERE / "seeds.py"), str(seeds)],
                   check=True)
    for fuzzer in sorted((folder / "fuzz").iterdir()):
        kept = HERE / "corpus" / fuzzer.name
        sources = [path for path in (kept, seeds / fuzzer.name,
                                     folder / "corpus" / fuzzer.name)
                   if path.is_dir()]
        inputs = merge(fuzzer, sources)
        chosen = choose(inputs)
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for path in (seeds / fuzzer.name).glob("hostile-*"):
            chosen[path.name] = path.read_bytes()
        for name, data in chosen.items():
            (kept / name).write_bytes(data)
        print(f"{fuzzer.name:17}{len(chosen):4} of {len(inputs)} inputs, "
              f"{sum(map(len, chosen.values())):7} bytes")


if __name__ == "__main__":
    main()
