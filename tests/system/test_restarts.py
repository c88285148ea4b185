"""Restarts, reloads and crashes behind a web server whose clients go on
asking: what they get, and how soon all is well again."""

import json
import os
import random
import shutil
import signal
import time

import pytest

import load
import servers
from processes import PATIENCE, SLOW, WRAPPED, cpu_seconds, wait_until
from rig import NO_LIMIT
from test_deploy import (Running, error, fcgid, nginx, program_answered,
                         proxy, started_by_apache)

each = pytest.mark.parametrize
FULL = bool(os.environ.get("SLOW_TESTS"))


def unlimited(make, folder, **more):
    """A server for clients that all have one address."""
    if make is nginx:
        more["replace"] = NO_LIMIT + more.get("replace", [])
    return make(folder, **more)


def listen(server, programs, env_file, *names, **how):
    """The programs of these names on the server's sockets."""
    listening = []
    for name in names:
        path = server.server.sockets[name]
        listening.append(programs.listen(name, env_file, path=path, **how))
        servers.share(path)
    return listening


def restart(listening):
    """A rolling restart of all of them; returns when it is over."""
    before = [set(program.workers(2)) for program in listening]
    for program in listening:
        program.process.send_signal(signal.SIGHUP)
    for program, old in zip(listening, before):
        wait_until(lambda p=program, o=old: len(p.workers()) == 2
                   and not o & set(p.workers()), 30 * PATIENCE,
                   "two new workers")


def stop(listening):
    """Ends them well."""
    for program in listening:
        assert program.stop(40) == 0


@each("make", [nginx, proxy])
def test_f01_rolling_restarts_under_load(folder, rig, programs, upstream,
                                         make):
    """2,000 requests of eight clients, two in three of them POSTs, during 10
    restarts of get_config and start_agent, or 10,000 during 50: none is
    lost."""
    total, restarts = ((300, 3) if SLOW else (10000, 50) if FULL
                       else (2000, 10))
    questions = [load.get_config, load.refused_start] * 4 + [
        load.refused_start] * 4 + [load.start_of(upstream)]
    with Running(unlimited(make, folder),
                 servers.KEPT_ONE_CLOSED) as server:
        listening = listen(server, programs, rig.env_file("default"),
                           "get_config", "start_agent")
        with load.Load(server.server, questions) as clients:
            for _ in range(restarts):
                restart(listening)
            clients.await_answers(total)
        print(make.__name__, clients.count, "answers")
        assert not clients.lost
        stop(listening)


# -- Upgrades ----------------------------------------------------------------

def lifetimes(bodies):
    """How long the tokens of these answers live, to a hundred seconds."""
    now = time.time()
    return {round(json.loads(body)["data"]["expires_at"] - now, -2)
            for body in bodies}


def put(source, target):
    """Installs a file as install(1) does: a new one under the old name."""
    shutil.copy2(source, target + ".new")
    os.rename(target + ".new", target)


def runs(pid, path):
    """Whether the process is the program that lies at ${path} now."""
    return os.path.samestat(os.stat(f"/proc/{pid}/exe"), os.stat(path))


@pytest.mark.skipif(WRAPPED, reason="the wrapper is the program then")
@each("make", [nginx, proxy])
def test_f02_new_program_and_new_settings(folder, rig, programs, upstream,
                                          make):
    """Both are replaced under load, then SIGHUP: none is lost, and all
    workers and all answers are new."""
    program_file = programs.file("get_config.fcgi")
    put(programs.path("get_config"), program_file)
    env_file = rig.programs.env_file(upstream.settings(TOKEN_TTL="3600"))
    with Running(unlimited(make, folder),
                 servers.KEPT_ONE_CLOSED) as server:
        listening = listen(server, programs, env_file, "get_config",
                           executable=program_file)
        with load.Load(server.server, [load.get_config]) as clients:
            clients.more(50)
            assert lifetimes(clients.clients[0].answers) == {3600}
            put(programs.path("get_config"), program_file)
            fresh = rig.programs.env_file(upstream.settings(TOKEN_TTL="7200"))
            os.rename(fresh, env_file)
            assert not any(runs(pid, program_file)
                           for pid in listening[0].workers())
            restart(listening)
            assert all(runs(pid, program_file)
                       for pid in listening[0].workers())
            before = [len(client.answers) for client in clients.clients]
            clients.more(200)
        assert not clients.lost
        # The first one after it may have been asked before.
        assert lifetimes(body for client, begin in
                         zip(clients.clients, before)
                         for body in client.answers[begin + 1:]) == {7200}
        stop(listening)


# -- Reloads of the web server -----------------------------------------------

@each("make, times", [(nginx, 20), (proxy, 10)])
def test_f03_reload_under_load(folder, rig, programs, upstream, make, times):
    """The server reads its files again under load: none is lost."""
    with Running(unlimited(make, folder)) as server:
        listening = listen(server, programs, rig.env_file("default"),
                           "get_config", "start_agent")
        questions = [load.get_config, load.refused_start,
                     load.start_of(upstream)]
        assert not lost_in_reloads(server.server, questions,
                                   2 if WRAPPED else times)
        stop(listening)


@pytest.mark.timeout(300)
def test_f03_graceful_restarts_of_mod_fcgid(folder, rig, programs, upstream):
    """Apache ends the programs that it had started, and starts new ones. A
    request of an old Apache process that needs one meanwhile is lost to
    mod_fcgid, whose process manager has gone; that is rare, and all of it."""
    times = 2 if SLOW else 50 if FULL else 5
    server = fcgid(folder, **started_by_apache(rig, programs))
    server.expect("mod_fcgid: server is restarted", servers.BROKEN_PROGRAM)
    try:
        lost = lost_in_reloads(
            server, [load.get_config, load.refused_start,
                     load.start_of(upstream)], times, 3)
    finally:
        late = server.end(10)
    assert len(lost) <= 1 + times // 5, lost
    assert not late or lost
    assert not server.error_lines()


def lost_in_reloads(server, questions, times, count=8):
    """Reloads that often under the load of ${count} clients; returns what
    was lost."""
    with load.Load(server, questions, count) as clients:
        for _ in range(times):
            clients.more(100)
            server.reload()
        clients.more(100)
    print(times, "reloads,", clients.count, "answers,", len(clients.lost),
          "lost")
    return clients.lost


# -- Crashes -----------------------------------------------------------------

def all_are_errors(answers):
    """What a client gets whose request is lost says so in JSON."""
    for answer in answers:
        assert not isinstance(answer, Exception), repr(answer)
        assert answer.status in (502, 503)
        assert answer.header("Content-Type") == "application/json"
        assert answer.json["detail"]


@each("make", [nginx, proxy])
def test_f04_killed_workers_under_load(folder, rig, programs, make):
    """SIGKILL for one of two workers every 0.3 s: at most as many requests
    are lost, and those are answered in JSON."""
    kills = 2 if WRAPPED else 20 if FULL else 8
    chosen = random.Random(4)
    with Running(unlimited(make, folder), servers.KEPT_ONE_CLOSED,
                 servers.BROKEN_PROGRAM) as server:
        listening = listen(server, programs, rig.env_file("default"),
                           "get_config", "start_agent")
        with load.Load(server.server, [load.get_config, load.refused_start],
                       4) as clients:
            for _ in range(kills):
                for program in listening:
                    victim = chosen.choice(program.workers(2))
                    os.kill(victim, signal.SIGKILL)
                time.sleep(0.3)
        print(2 * kills, "kills,", clients.count, "answers,",
              len(clients.lost), "lost")
        all_are_errors(clients.lost)
        assert len(clients.lost) <= 2 * kills
        stop(listening)


def connections_of(pid, path):
    """How many connections to the socket at ${path} a process has."""
    with open("/proc/net/unix", encoding="ascii") as file:
        rows = [line.split() for line in file]
    accepted = {f"socket:[{row[6]}]" for row in rows
                if row[-1] == path and row[5] == "03"}
    folder = f"/proc/{pid}/fd"
    return sum(os.readlink(f"{folder}/{fd}") in accepted
               for fd in os.listdir(folder))


def ask_all(server, upstream, count, seconds):
    """Sends starts that take a while; returns their connections when Agora
    has been called for all of them."""
    calls, question = upstream.calls(), load.start_of(upstream)
    connections = []
    for _ in range(count):
        data, _ = question()
        channel = json.loads(data.partition(b"\r\n\r\n")[2])["channelName"]
        upstream.fault(channel, delay_s=seconds)
        connections.append(server.http.connect())
        connections[-1].send(data)
    wait_until(lambda: upstream.calls() >= calls + count, 20 * PATIENCE,
               f"{count} calls")
    return connections


@pytest.mark.skipif(os.geteuid() != 0 or WRAPPED,
                    reason="looks into /proc of a program")
@each("make", [nginx, proxy])
def test_f07_a_killed_worker_loses_what_it_was_serving(
        folder, rig, programs, upstream, make):
    """Of eight starts on two workers those of the killed one end in an error
    in JSON, all others in an agent; new ones are served meanwhile; and Agora
    was told when to end the agents that nobody knows."""
    with Running(unlimited(make, folder), servers.BROKEN_PROGRAM) as server:
        listening = listen(server, programs, rig.env_file("default"),
                           "start_agent")
        connections = ask_all(server, upstream, 8, 2)
        served = {pid: connections_of(pid, listening[0].socket)
                  for pid in listening[0].workers(2)}
        assert sum(served.values()) == 8
        victim = max(served, key=served.get)
        os.kill(victim, signal.SIGKILL)
        begun = time.monotonic()
        program_answered(server.route("/startAgent"), 400)
        wait_until(lambda: len(listening[0].workers()) == 2
                   and victim not in listening[0].workers(),
                   2 * PATIENCE, "a new worker")
        print("replaced after", round((time.monotonic() - begun) * 1e3), "ms")
        answers = [connection.answer() for connection in connections]
        lost = [answer for answer in answers if answer.status != 200]
        all_are_errors(lost)
        print(len(lost), "of", len(answers), "lost")
        assert len(lost) == served[victim]
        joins = upstream.entries()[-8:]
        assert all(0 < join["body"]["properties"]["idle_timeout"] <= 30
                   for join in joins if join["call"] == "join")
        for connection in connections:
            connection.sock.close()
        stop(listening)


# -- What does not start -----------------------------------------------------

@pytest.mark.skipif(WRAPPED, reason="the wrapper is the program then")
@each("make", [nginx, proxy])
def test_f11_crash_loop(folder, rig, programs, make):
    """A program that aborts as soon as it runs is tried again with growing
    pauses, which costs next to nothing; requests do not wait for it, the web
    server answers them in JSON; and a good program in its place is found
    without a restart."""
    program_file = programs.file("get_config.fcgi")
    put(programs.path("get_config"), program_file)
    with Running(unlimited(make, folder), servers.BROKEN_PROGRAM,
                 servers.KEPT_ONE_CLOSED) as server:
        program, = listen(server, programs, rig.env_file("default"),
                          "get_config", executable=program_file)
        server.route("/get_config")
        put(broken_program(programs), program_file)
        for pid in program.workers(2):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: program.log.text().count(b"ended by signal 6") > 4,
                   10 * PATIENCE, "crashes")
        cpu, lines = cpu_seconds(program.pid), len(program.log.lines())
        begun = time.monotonic()
        for _ in range(20):
            error(server.route("/get_config"), 502 if make is nginx else 503)
        time.sleep(max(0.0, begun + 2 - time.monotonic()))
        took = time.monotonic() - begun
        assert took < 3 * PATIENCE
        assert cpu_seconds(program.pid) - cpu < 0.05 * took
        assert len(program.log.lines()) - lines < 20
        put(programs.path("get_config"), program_file)
        wait_until(lambda: server.route("/get_config").status == 200,
                   20 * PATIENCE, "the good program")
        stop([program])


def broken_program(programs):
    """One that aborts."""
    path = programs.file("abort")
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nkill -ABRT $$\n")
    os.chmod(path, 0o755)
    return path


@each("make", [nginx, proxy])
def test_f13_web_server_first(folder, rig, programs, make):
    """Boot order: errors in JSON until the programs run, and nothing needs
    to be done about the web server then."""
    with Running(unlimited(make, folder), servers.DOWN) as server:
        status = 502 if make is nginx else 503
        for _ in range(5):
            for path in ("/get_config", "/v2/startAgent", "/v2/stopAgent"):
                error(server.route(path), status)
        listening = listen(server, programs, rig.env_file("default"),
                           *servers.ENDPOINTS)
        program_answered(server.route("/get_config"), 200)
        program_answered(server.route("/v2/startAgent"), 400)
        program_answered(server.route("/v2/stopAgent"), 400)
        stop(listening)
