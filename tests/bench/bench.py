#!/usr/bin/python3
"""The benchmark: "make bench". See README.md.

Compares within one run: columns take turns (A B C A B C …), figures are
medians of the rounds. Writes build/bench/report.txt, report.json and
report.svg. Nothing in here fails because something is slow.

  QUICK=1      fewer and shorter rounds
  LONG=1       adds a million get_config, 100,000 starts and stops, and a
               minute of idleness
  AGAINST=URL  another server's get_config as one more column
  ONLY=a,b     some of: config start single cost cold parked token long
"""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("system", "sandbox", "faults"):
    sys.path.insert(0, str(HERE.parent / folder))

# pylint: disable=wrong-import-position
import allocations  # noqa: E402
import chart  # noqa: E402
import procs  # noqa: E402
from fcgi_client import Connection  # noqa: E402
from bench_site import BUILD, GET, Site  # noqa: E402

QUICK = bool(os.environ.get("QUICK"))
LONG = bool(os.environ.get("LONG"))
AGAINST = os.environ.get("AGAINST")
ONLY = [name for name in os.environ.get("ONLY", "").split(",") if name]
ROUNDS, SECONDS = (3, 1) if QUICK else (5, 3)


class Report:
    """What is printed, kept and drawn."""

    def __init__(self):
        self.lines = []
        self.data = {"tables": {}, "goals": []}

    def say(self, line=""):
        """A line, at once."""
        print(line, flush=True)
        self.lines.append(line)

    def table(self, title, head, rows):
        """Aligned columns; the first is text."""
        self.data["tables"][title] = {"head": head, "rows": rows}
        rows = [head] + [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows)]
        self.say()
        self.say(title)
        for row in rows:
            self.say("  " + row[0].ljust(widths[0]) + "".join(
                "  " + cell.rjust(width)
                for cell, width in zip(row[1:], widths[1:])))

    def goal(self, what, value, limit, least=False):
        """A figure next to what it is to be at most, or at least."""
        met = value >= limit if least else value <= limit
        self.data["goals"].append([what, value, limit, met])
        self.say(f"  {'met   ' if met else 'MISSED'}  {what}: {value:.3g} "
                 f"(at {'least' if least else 'most'} {limit})")

    def save(self, build):
        """All of it, next to each other."""
        build.mkdir(parents=True, exist_ok=True)
        (build / "report.txt").write_text("\n".join(self.lines) + "\n",
                                          encoding="utf-8")
        (build / "report.json").write_text(json.dumps(self.data, indent=1),
                                           encoding="utf-8")
        (build / "report.svg").write_text(chart.draw(self.data["tables"]),
                                          encoding="utf-8")
        self.say(f"\nin {build}: report.txt, report.json, report.svg")


def wrk(url, connections, seconds, *words, script="report.lua", threads=2):
    """Runs wrk; what report.lua printed."""
    done = subprocess.run(
        ["wrk", "-t", str(min(threads, connections)), "-c", str(connections),
         "-d", f"{seconds}s", "--timeout", "20s", "-s", str(HERE / script),
         url, "--", *words],
        capture_output=True, text=True, check=False)
    line = done.stdout.strip().split("\n")[-1]
    assert line.startswith("{"), f"wrk: {done.stdout}{done.stderr}"
    return json.loads(line)


class Column:
    """One way of being served. ${pids} are the processes behind nginx."""

    def __init__(self, name, url, pids=(), **how):
        self.name, self.url, self.pids, self.how = name, url, pids, how
        self.rounds = []

    def run(self, front, connections, seconds, *words):
        """One round."""
        nginx = procs.family(front)
        before = procs.cpu_us(self.pids), procs.cpu_us(nginx)
        result = wrk(self.url, connections, seconds, *words, **self.how)
        after = procs.cpu_us(self.pids), procs.cpu_us(nginx)
        count = max(result["requests"], 1)
        result["rate"] = count / result["seconds"]
        result["own_us"] = (after[0] - before[0]) / count
        result["nginx_us"] = (after[1] - before[1]) / count
        result["rss"], result["pss"] = procs.memory_kib(self.pids)
        self.rounds.append(result)
        return result

    def median(self, key):
        """Of all rounds."""
        values = [result[key] for result in self.rounds]
        return None if None in values else statistics.median(values)

    def total(self, key):
        """Of all rounds."""
        return sum(result[key] for result in self.rounds)

    def spread(self, key="rate"):
        """How far rounds are apart, in percent of the median."""
        values = [result[key] for result in self.rounds]
        return 100 * (max(values) - min(values)) / self.median(key)


def ratio(a, b, key="rate"):
    """The median of the ratios of rounds next to each other."""
    return statistics.median(
        x[key] / y[key] for x, y in zip(a.rounds, b.rounds) if y[key])


def mib(kib):
    """For a table."""
    return "–" if not kib else f"{kib / 1024:.1f}"


def show(report, title, columns, base):
    """A table of columns, rates as parts of the first or ${base}'s."""
    report.table(
        title,
        ["", "req/s", "± %", "ratio", "own us", "nginx us", "p50 ms",
         "p99 ms", "RSS MiB", "PSS MiB", "errors"],
        [[column.name, f"{column.median('rate'):.0f}",
          f"{column.spread() / 2:.0f}", f"{ratio(column, base):.3f}",
          f"{column.median('own_us'):.1f}" if column.pids else "–",
          f"{column.median('nginx_us'):.1f}",
          f"{column.median('p50_ms'):.2f}", f"{column.median('p99_ms'):.2f}",
          mib(column.median("rss")), mib(column.median("pss")),
          column.total("errors")] for column in columns])


def against(columns):
    """The other server's column, with its processes if they are here."""
    if AGAINST:
        port = urllib.parse.urlsplit(AGAINST).port or 80
        columns.append(Column("against", AGAINST,
                              procs.listener_pids(port)))


def bench_config(site, report):
    """get_config through nginx, next to what it could be at best."""
    loop, ours = site.loop(), site.program("get_config")
    two = site.program("get_config", "get_config_two", workers=2)
    mute = site.program("get_config", "get_config_mute", LOG_LEVEL="warn")
    front = site.front()
    url = f"http://127.0.0.1:{site.port}"
    best = Column("nginx return 200", f"{url}/return")
    kept = [Column(f"{name}, kept", f"{url}/{name}/kept",
                   procs.family(program.pid))
            for name, program in (("loop", loop), ("get_config", ours),
                                  ("get_config_mute", mute),
                                  ("get_config_two", two))]
    fresh = [Column(f"{name}, a connection each", f"{url}/{name}/fresh",
                    [program.pid])
             for name, program in (("loop", loop), ("get_config", ours))]
    columns = [best, *kept, *fresh]
    against(columns)
    ours.get()
    idle = procs.memory_kib([ours.pid])[0]
    for column in columns:
        wrk(column.url, 64, 1)
    for _ in range(ROUNDS):
        for column in columns:
            column.run(front.pid, 64, SECONDS)
    show(report, "get_config through nginx, 64 connections", columns, best)
    report.goal("kept: rate / loop's", ratio(kept[1], kept[0]), .95, True)
    report.goal("kept: rate / return 200", ratio(kept[1], best), .35, True)
    report.goal("kept: own CPU / loop's",
                ratio(kept[1], kept[0], "own_us"), 1.25)
    report.goal("a connection each: rate / loop's",
                ratio(fresh[1], fresh[0]), .90, True)
    report.goal("get_config idle, RSS in MiB", idle / 1024, 5)


class Watcher(threading.Thread):
    """Looks every now and then; keeps the highest value."""

    def __init__(self, look):
        super().__init__(daemon=True)
        self.look, self.highest = look, 0
        self.enough = threading.Event()

    def run(self):
        while not self.enough.wait(0.1):
            self.highest = max(self.highest, self.look())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.enough.set()
        self.join()


def bench_start(site, report):
    """Starts in flight, next to wrk that asks Agora's stand-in itself."""
    site.loop()
    ours = site.program("start_agent")
    upstream, front = site.upstream(), site.front()
    straight = f"https://127.0.0.1:{site.upstream_port}/api/join"
    url = f"http://127.0.0.1:{site.port}/start_agent/fresh"
    report.goal("start_agent idle, RSS in MiB",
                procs.memory_kib([ours.pid])[0] / 1024, 10)
    for flight in (64, 1000, 5000):
        columns = [
            Column("wrk straight", straight, (), script="start.lua"),
            Column("start_agent", url, [ours.pid], script="start.lua")]
        # wrk makes all its connections within the time; 5,000 take long.
        seconds = SECONDS + {64: 1, 1000: 3, 5000: 10}[flight]
        upstream_us, most = [], 0
        for turn in range(min(ROUNDS, 3) if flight == 5000 else ROUNDS):
            for column in columns:
                before = procs.cpu_us(procs.family(upstream.pid))
                with Watcher(lambda: procs.connections_to(
                        site.upstream_port)) as watcher:
                    column.run(front.pid, flight, seconds,
                               f"{flight}-{turn}")
                upstream_us.append(
                    (procs.cpu_us(procs.family(upstream.pid)) - before)
                    / max(1, column.rounds[-1]["requests"]))
            most = max(most, watcher.highest)
        show(report, f"starts, {flight} in flight", columns, columns[0])
        report.say(f"  upstream: {statistics.median(upstream_us[::2]):.0f} "
                   "us a request of wrk, "
                   f"{statistics.median(upstream_us[1::2]):.0f} of ours; "
                   f"{most} connections of ours at most")
        goals_start(report, flight, columns, most)


def goals_start(report, flight, columns, connections):
    """What was to be reached."""
    rate = ratio(columns[1], columns[0])
    errors = columns[1].total("errors")
    if flight == 1000:
        report.goal("1,000 starts: rate / straight", rate, .95, True)
        report.goal("1,000 starts: own CPU / nginx's",
                    ratio_us(columns[1]), 2.5)
        report.goal("1,000 starts: RSS in MiB",
                    columns[1].median("rss") / 1024, 32)
        report.goal("1,000 starts: connections to Agora", connections, 16)
    if flight == 5000:
        report.goal("5,000 starts: rate / straight", rate, .85, True)
        report.goal("5,000 starts: errors", errors, 0)


def ratio_us(column):
    """Our processor time next to nginx's."""
    return column.median("own_us") / column.median("nginx_us")


def bench_single(site, report):
    """What we add to a single start, and to the first one after a pause."""
    site.loop()
    ours = site.program("start_agent")
    site.upstream()
    front = site.front()
    straight = f"https://127.0.0.1:{site.upstream_port}/api/join"
    url = f"http://127.0.0.1:{site.port}/start_agent/fresh"
    columns = [Column("wrk straight", straight, (), script="start.lua"),
               Column("start_agent", url, [ours.pid], script="start.lua")]
    for turn in range(ROUNDS):
        for column in columns:
            column.run(front.pid, 1, 3, f"single-{turn}")
    show(report, "one start at a time", columns, columns[0])
    report.goal("one start: ms added",
                columns[1].median("p50_ms") - columns[0].median("p50_ms"),
                1.5)
    if LONG:
        time.sleep(60)
        first = wrk(url, 1, 1, "late", script="start.lua")
        report.say(f"  after 60 s of nothing: {first['p99_ms']:.1f} ms")


def count_calls(pid, run):
    """System calls of a process while ${run} runs, by name."""
    tracer = subprocess.Popen(
        ["strace", "-c", "-f", "-U", "name,calls", "-p", str(pid)],
        stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    run()
    tracer.send_signal(2)
    text = tracer.communicate()[1]
    return {name: int(calls) for name, calls in re.findall(
        r"^\s*(\w+)\s+(\d+)$", text, re.M) if name != "total"}


def preloaded(site):
    """get_config.fcgi and start_agent.fcgi whose allocations are counted."""
    library = allocations.build(site.folder)
    counted = {}
    for endpoint in ("get_config", "start_agent"):
        control = allocations.Allocations(
            library, str(site.folder / f"{endpoint}.control"))
        site.program(endpoint, f"{endpoint}_counted",
                     **control.environment())
        counted[endpoint] = control
    return counted


def bench_cost(site, report):
    """System calls and allocations of a request."""
    ours = {name: site.program(name) for name in ("get_config",
                                                  "start_agent")}
    loop = site.loop()
    counted = preloaded(site)
    site.upstream()
    site.front()
    url = f"http://127.0.0.1:{site.port}"
    ways = [("loop, kept", loop, "/loop/kept", None),
            ("get_config, kept", ours["get_config"], "/get_config/kept",
             "get_config"),
            ("loop, a connection each", loop, "/loop/fresh", None),
            ("get_config, a connection each", ours["get_config"],
             "/get_config/fresh", "get_config"),
            ("start_agent", ours["start_agent"], "/start_agent/fresh",
             "start_agent")]
    rows = []
    for name, program, path, endpoint in ways:
        how = {"script": "start.lua"} if endpoint == "start_agent" else {}
        wrk(url + path, 16, 1, "warm", **how)
        done = []
        calls = count_calls(program.pid, lambda path=path, how=how: (
            done.append(wrk(url + path, 16, 2, "counted", **how))))
        count = max(1, done[0]["requests"])
        rows.append([name, f"{sum(calls.values()) / count:.1f}",
                     allocated(counted, endpoint, url, path, how),
                     ", ".join(f"{call} {number / count:.1f}"
                               for call, number in calls.items()
                               if number / count >= 0.05)])
    report.table("costs of a request, 16 connections",
                 ["", "system calls", "allocations", "which"], rows)


def allocated(counted, endpoint, url, path, how):
    """Allocations of a request."""
    if endpoint is None:
        return "–"
    control = counted[endpoint]
    path = path.replace(endpoint, f"{endpoint}_counted")
    wrk(url + path, 16, 1, "warm-counted", **how)
    control.count_from_now()
    done = wrk(url + path, 16, 1, "counted-2", **how)
    return f"{control.disarm()[0] / max(1, done['requests']):.1f}"


def run_once(command, env):
    """Milliseconds from exec to exit."""
    null = os.open(os.devnull, os.O_RDWR)
    began = time.perf_counter()
    pid = os.posix_spawn(command, [command], env, file_actions=[
        (os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)])
    os.waitpid(pid, 0)
    took = 1000 * (time.perf_counter() - began)
    os.close(null)
    return took


def bench_cold(site, report):
    """CGI: a process for each request."""
    env = {**site.environment(), **GET}
    commands = {"/bin/true": ["/bin/true", env],
                "get_config": [str(BUILD / "get_config.fcgi"), env],
                "start_agent": [str(BUILD / "start_agent.fcgi"), env]}
    times = {name: [] for name in commands}
    for _ in range(50 if QUICK else 200):
        for name, command in commands.items():
            times[name].append(run_once(*command))
    median = {name: statistics.median(values)
              for name, values in times.items()}
    report.table("CGI, exec to exit (start_agent refuses a GET)",
                 ["", "ms", "to /bin/true"],
                 [[name, f"{value:.2f}",
                   f"{value / median['/bin/true']:.1f}"]
                  for name, value in median.items()])
    report.goal("CGI get_config / true",
                median["get_config"] / median["/bin/true"], 4)


def bench_parked(site, report):
    """10,000 kept connections that wait."""
    site.loop()
    ours = site.program("get_config")
    front = site.front()
    url = f"http://127.0.0.1:{site.port}/get_config/kept"
    few, many = Column("none parked", url, [ours.pid]), Column(
        "10,000 parked", url, [ours.pid])
    wrk(url, 64, 1)
    for _ in range(ROUNDS):
        few.run(front.pid, 64, SECONDS)
        before = procs.memory_kib([ours.pid])[0]
        parked = []
        for _ in range(10000):
            parked.append(Connection(ours.socket))
            parked[-1].request(GET, keep=True)
        size = procs.memory_kib([ours.pid])[0] - before
        many.run(front.pid, 64, SECONDS)
        many.rounds[-1]["parked"] = size
        for connection in parked:
            connection.close()
    show(report, "get_config while others wait", [few, many], few)
    # The first time: memory that was freed is used again.
    report.goal("bytes for each of 10,000 parked",
                1024 * many.rounds[0]["parked"] / 10000, 1024)
    report.goal("rate with 10,000 parked / without", ratio(many, few), .95,
                True)


def bench_token(_site, report):
    """A token next to zlib's part in it."""
    done = subprocess.run([str(BUILD / "bench/token_cost"),
                           "15" if QUICK else "51"], check=True,
                          capture_output=True, text=True)
    cost = json.loads(done.stdout)
    report.table("a token", ["", "ns"], [["token_build", cost["token_ns"]],
                                         ["zlib alone", cost["zlib_ns"]]])
    report.goal("token / zlib level 6 alone", cost["ratio"], 1.15)


def own_descriptors(program, site):
    """Those open, but for idle connections to Agora's stand-in: how many
    there are at a moment changes, as it ends each after 1,000 requests."""
    return (procs.descriptors(program.pid)
            - procs.connections_to(site.upstream_port))


def bench_long(site, report):
    """Nothing grows with what was served."""
    if not LONG:
        return
    site.loop()
    config, start, stop = (site.program(name) for name in (
        "get_config", "start_agent", "stop_agent"))
    site.upstream()
    site.front()
    url = f"http://127.0.0.1:{site.port}"
    ways = [(config, "get_config/kept", 1000000, 64, {}),
            (start, "start_agent/fresh", 100000, 1000,
             {"script": "start.lua"}),
            (stop, "stop_agent/fresh", 100000, 1000, {"script": "stop.lua"})]
    for program, path, count, connections, how in ways:
        served, turn = 0, 0
        # Until the heap has its size, which the most in flight decide.
        for warm in range(2):
            wrk(f"{url}/{path}", connections, 10, f"warm-{warm}", **how)
        time.sleep(2)
        before = procs.memory_kib([program.pid])[0]
        files = own_descriptors(program, site)
        while served < count:
            turn += 1
            served += wrk(f"{url}/{path}", connections, 10, f"long-{turn}",
                          **how)["requests"]
        time.sleep(2)
        grown = procs.memory_kib([program.pid])[0] - before
        report.goal(f"{served} of {path}: RSS grown, MiB", grown / 1024, 1)
        report.goal(f"{served} of {path}: descriptors more",
                    own_descriptors(program, site) - files, 0)


BENCHES = {"config": bench_config, "start": bench_start,
           "single": bench_single, "cost": bench_cost, "cold": bench_cold,
           "parked": bench_parked, "token": bench_token, "long": bench_long}


def machine():
    """What the figures are of."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.*)", text, re.M)
    return (f"{os.cpu_count()} x {model.group(1) if model else '?'}, Linux "
            f"{os.uname().release}; {ROUNDS} rounds of {SECONDS} s; load "
            f"{os.getloadavg()[0]:.1f} at the start")


def main():
    """All of it, or what ONLY names."""
    unknown = set(ONLY) - set(BENCHES)
    if unknown:
        sys.exit(f"ONLY: no such part: {', '.join(sorted(unknown))}")
    report = Report()
    report.say(machine())
    for name, bench in BENCHES.items():
        if ONLY and name not in ONLY:
            continue
        folder = tempfile.mkdtemp(prefix="agora-bench-")
        os.chmod(folder, 0o711)
        site = Site(folder)
        try:
            bench(site, report)
        finally:
            site.stop()
            shutil.rmtree(folder, ignore_errors=True)
    report.save(BUILD / "bench")


if __name__ == "__main__":
    main()
