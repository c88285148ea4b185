"""Starts and stops of agents, many at once, by programs of their own: what
one test's faults do to breakers and retries is not another test's."""

import json
import os
import threading
import time

import fcgi_client as fc
import servers
from checks import JSON, refused, succeeded
from processes import ENDPOINTS, PATIENCE
from rig import NO_LIMIT
from test_protocol import GET, post_params
from transports import Http, http_bytes, parse_cgi

# What is promised of every answer, and what a busy machine adds to it.
START_S = 20.5
STOP_S = 10.5
NOISE_S = 2.0


def side_by_side(cases):
    """Runs the functions of {name: function} at the same time and fails with
    all of their failures."""
    failures = []

    def run(name, case):
        try:
            case()
        except Exception as error:  # pylint: disable=broad-except
            error.add_note(f"case: {name}")
            failures.append(error)
    threads = [threading.Thread(target=run, args=item, daemon=True)
               for item in cases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise ExceptionGroup("failed", failures)


def at(sandbox):
    """The settings that lead a backend to a sandbox."""
    return {"AGORA_API_BASE_URL": sandbox.base_url,
            "AGORA_CA_FILE": sandbox.ca_file}


def members(channel, uid="5", user="6"):
    """The body of a start, as data."""
    return {"channelName": channel, "rtcUid": uid, "userUid": user}


class Ended:
    """How a request ended, and after how many seconds."""

    def __init__(self, answer, seconds):
        self.answer = answer
        self.seconds = seconds

    def started(self):
        """The id of the agent that was started."""
        return succeeded(self.answer)["data"]["agent_id"]

    def failed(self, word="", status=500):
        """The body of the error, which is one of ours."""
        return refused(self.answer, status, word).json

    def within(self, limit):
        """Itself, if it took no longer."""
        assert self.seconds < (limit + NOISE_S) * PATIENCE, self.seconds
        return self


class Starts:
    """Who can post() can start and stop agents."""

    def start(self, *wish):
        """One start; it never takes longer than promised."""
        return self.post("start_agent", "/v2/startAgent",
                         members(*wish)).within(START_S)

    def stop(self, agent_id):
        """One stop; it never takes longer than promised."""
        return self.post("stop_agent", "/v2/stopAgent",
                         {"agentId": agent_id}).within(STOP_S)


class Backend(Starts):
    """Programs of a test's own, in one process each, spoken to directly."""

    def __init__(self, rig, base=None, workers=0, env=(), wrap=None,
                 **settings):
        """${base} is Agora's base URL if it is not the rig's sandbox; the
        rest is for the settings and for Programs.listen()."""
        if base:
            settings["AGORA_API_BASE_URL"] = base
        self.rig = rig
        self.env_file = rig.env_file("default", **settings)
        self.how = {"workers": workers, "env": env}
        if wrap:
            self.how["wrap"] = wrap
        self.programs = {}
        self.lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        for program in self.programs.values():
            if kind:
                program.process.kill()
                program.process.wait()
            else:
                assert program.stop(40) == 0
            # The session's end asks no more of it.
            self.rig.programs.running.remove(program)

    def program(self, name):
        """The one of that name, which runs from its first use on."""
        with self.lock:
            if name not in self.programs:
                self.programs[name] = self.rig.programs.listen(
                    name, self.env_file, **self.how)
            return self.programs[name]

    def issued(self):
        """A channel that get_config has issued, its agent's uid and its
        user's: what start() takes."""
        program = self.program("get_config")
        answer = parse_cgi(fc.request(program.socket, GET,
                                      timeout=60 * PATIENCE).stdout)
        data = succeeded(answer)["data"]
        return data["channel_name"], data["agent_uid"], data["uid"]

    def log(self, name="start_agent"):
        """What the program has said so far."""
        return self.program(name).log.text().decode("ascii")

    def post(self, name, path, members):
        """The answer to a POST of these members, and how long it took."""
        body = json.dumps(members).encode()
        program = self.program(name)
        begun = time.monotonic()
        answer = fc.request(program.socket, post_params(path, body), body,
                            timeout=60 * PATIENCE)
        return Ended(parse_cgi(answer.stdout), time.monotonic() - begun)


class Web(Starts):
    """What is asked by way of ${http}, a web server."""

    http = None

    def post(self, name, path, members):
        """The answer to a POST of these members, and how long it took."""
        return self.ask("POST", path, [JSON], json.dumps(members).encode())

    def ask(self, *request):
        """The answer to a request, and how long it took."""
        begun = time.monotonic()
        answer = self.http.request(*request)
        return Ended(answer, time.monotonic() - begun)

    def leave_after(self, seconds, body, origin):
        """Asks for a start, and hangs up."""
        with self.http.connect() as connection:
            connection.send(http_bytes(
                "POST", "/v2/startAgent", [JSON, ("Origin", origin)],
                json.dumps(body).encode()))
            time.sleep(seconds)


class Site(Web, Backend):
    """A backend behind an nginx of its own; start() and stop() go by it."""

    def __init__(self, rig, pages=None, replace=(), **how):
        """${pages} and ${replace} are for servers.Nginx, the rest for
        Backend."""
        super().__init__(rig, **how)
        folder = rig.programs.file("nginx")
        os.mkdir(folder, 0o755)
        self.server = servers.Nginx(
            folder, replace=[*NO_LIMIT, *replace], pages=pages, sockets={
                name: self.program(name).socket for name in ENDPOINTS})
        self.http = Http("nginx", self.server)

    def __exit__(self, kind, *unused):
        if kind:
            self.server.expect("")  # the first error is the one to show
        self.server.stop()
        super().__exit__(kind)
