"""Runs the sandbox for a test and talks to it.

    with Sandbox(tmp_path) as sandbox:
        ... sandbox.base_url, sandbox.ca_file ...
        assert len(sandbox.running()) == 1
"""

import http.client
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from urllib.parse import quote, urlencode

import accesstoken
import faults
from sandbox import APP_CERTIFICATE, APP_ID

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "sandbox.py")
READY_S = 20
STOP_S = 5
CALL_S = 30


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        """The body as data."""
        return json.loads(self.body)


class Sandbox:
    """The sandbox as a process of its own in the folder ${folder}."""

    def __init__(self, folder, *options, app_id=APP_ID,
                 app_certificate=APP_CERTIFICATE):
        """${options} go to the program as they are."""
        self.folder = os.path.join(str(folder), "sandbox")
        self.options = options
        self.app_id = app_id
        self.app_certificate = app_certificate
        self.ca_file = os.path.join(self.folder, "ca.pem")
        self.process = None
        self.origin = self.host = self.port = None
        self.control_port = None

    # -- The process --------------------------------------------------------

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        if self.process is not None:
            self.stop(check=kind is None)

    def _file(self, name):
        return os.path.join(self.folder, name)

    def _text(self, name):
        with open(self._file(name), encoding="utf-8") as file:
            return file.read()

    def start(self):
        """Starts it and returns when it serves. Its stdin is a pipe that
        closes with this process: a killed test run leaves nothing behind."""
        os.makedirs(self.folder, exist_ok=True)
        command = [sys.executable, PROGRAM, "--dir", self.folder,
                   "--app-id", self.app_id, "--until-eof", *self.options]
        env = {**os.environ,
               "SANDBOX_APP_CERTIFICATE": self.app_certificate}
        with open(self._file("stdout"), "wb") as out, \
                open(self._file("stderr"), "wb") as err:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.PIPE, stdout=out,
                stderr=err)
        end = time.monotonic() + READY_S
        while "\n" not in self._text("stdout"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                raise RuntimeError("sandbox: " + self._text("stderr"))
            time.sleep(0.02)
        _, self.origin, _, control = self._text("stdout").split()[:4]
        self.control_port = int(control.rsplit(":", 1)[1])
        self.host, port = self.origin.split("://")[1].rsplit(":", 1)
        self.port = int(port)

    def stop(self, check=True):
        """Ends it with TERM; with ${check} it must go well."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process.stdin.close()
        self.process = None
        if check:
            assert code == 0, f"sandbox ended with {code}"
            assert self._text("stderr") == "", self._text("stderr")

    @property
    def base_url(self):
        """What AGORA_API_BASE_URL takes."""
        return self.origin + "/api/conversational-ai-agent"

    # -- Control ------------------------------------------------------------

    def _control(self, method, name, body=None, **query):
        """A control call, on the port that answers in every weather."""
        target = f"/_sandbox/{name}"
        query = {key: value for key, value in query.items() if value}
        if query:
            target += "?" + urlencode(query)
        text = None if body is None else json.dumps(body)
        answer = self._request(
            method, target, text, {}, connection=http.client.HTTPConnection(
                self.host, self.control_port, timeout=CALL_S))
        if answer.status != 200:
            raise ValueError(f"{name}: {answer.body.decode()}")
        return answer.json()

    def connection(self, context=None, timeout=CALL_S):
        """A connection to it, verified by ca_file unless a context says
        otherwise. The caller closes it."""
        if not self.origin.startswith("https:"):
            return http.client.HTTPConnection(self.host, self.port,
                                              timeout=timeout)
        if context is None:
            context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection(self.host, self.port,
                                           timeout=timeout, context=context)

    def _request(self, method, target, body, headers, context=None,
                 connection=None):
        connection = connection or self.connection(context)
        try:
            if method == "POST" and body is None:
                body = b""
            connection.request(method, target, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def health(self):
        """Counts of connections and requests."""
        return self._control("GET", "health")

    def ledger(self, channel=None, call=None, after=None):
        """The calls received, oldest first, from the one that follows the
        number ${after}."""
        return self._control("GET", "ledger", channel=channel, call=call,
                             after=after)["requests"]

    def agents(self, state=None, channel=None):
        """The agents; state "running": those that cost money."""
        return self._control("GET", "agents", state=state,
                             channel=channel)["agents"]

    def running(self, channel=None):
        """The agents that still cost money."""
        return self.agents("running", channel)

    def set_agent(self, agent_id, **members):
        """Changes status (for status_s seconds) or start_ts of an agent."""
        return self._control("POST", "agents",
                             {"agent_id": agent_id, **members})

    def unknown(self, state=None):
        """Running agents, or with "any" also ended ones, whose id was in no
        answer that was sent whole."""
        return self._control("GET", "unknown", state=state)["agents"]

    def duplicates(self):
        """{"now", "ever"}: pairs of channel and agent_rtc_uid with more than
        one running agent."""
        return self._control("GET", "duplicates")

    def fault(self, call=None, *, match=None, chance=1, seed=0, **do):
        """Adds a fault: fault("join", status=503, match={"times": 2})."""
        wanted = dict(match or {})
        if call is not None:
            wanted["call"] = call
        self.faults([{"match": wanted, "do": do, "chance": chance,
                      "seed": seed}])

    def lose(self, *calls, before=0.0, after=0.0, seed=0):
        """Loses answers: of all calls, or of those named, the share
        ${before} is closed without being carried out and the share ${after}
        once it has been."""
        self.faults([
            {"match": {"call": call}, "chance": chance, "seed": seed,
             "do": {"close": "before", "execute": execute}}
            for call in calls or faults.CALLS
            for chance, execute in ((before, False), (after, True))])

    def faults(self, items):
        """Adds faults as the control call takes them."""
        self._control("POST", "faults", items)

    def network(self, mode, for_s=None):
        """Ends all connections and treats new ones by a mode of network.py,
        for that many seconds or until the next call."""
        self._control("POST", "network", {"mode": mode, "for_s": for_s})

    def certificate(self, kind):
        """Serves new connections with a certificate of that kind."""
        self._control("POST", "certificate", {"kind": kind})

    def reset(self):
        """Forgets agents, ledger and faults; network and certificate are as
        in the beginning."""
        self._control("POST", "reset")

    # -- Calls as a client of the service -----------------------------------

    def token(self, channel="stop", uid="0", *, seconds=86400, issued=None,
              user_id=None, app_id=None, certificate=None):
        """A token; by default the one for calls other than join."""
        issued = int(time.time()) if issued is None else issued
        return accesstoken.build(
            app_id or self.app_id, certificate or self.app_certificate,
            accesstoken.rtc_rtm(channel, uid, seconds, user_id),
            issue_ts=issued, expire=seconds,
            salt=random.randrange(1, 100000000))

    def call(self, method, path, body=None, *, token=None, headers=None,
             over=None):
        """A call below /v2/projects/{app id}, verified by ca_file; over a
        new connection or the last over ${over}."""
        base = self.base_url[len(self.origin):]
        sent = {"Authorization": f"agora token={token or self.token()}"}
        if body is not None:
            sent["Content-Type"] = "application/json"
            if not isinstance(body, (str, bytes)):
                body = json.dumps(body)
        sent.update(headers or {})
        sent = {name: value for name, value in sent.items() if value}
        return self._request(method, f"{base}/v2/projects/{self.app_id}{path}",
                             body, sent, connection=over)

    def join_body(self, channel, uid="58888506", name=None):
        """A join body as the backend's default agent has it."""
        return {
            "name": name or f"agent_{channel}_{uid}",
            "preset": "deepgram_nova_3,openai_gpt_4o_mini,"
                      "minimax_speech_2_6_turbo",
            "properties": {
                "channel": channel,
                "token": self.token(channel, uid, seconds=3600),
                "agent_rtc_uid": uid, "remote_rtc_uids": ["1234567"],
                "enable_string_uid": True, "idle_timeout": 30,
                "advanced_features": {"enable_rtm": True},
                "parameters": {"data_channel": "rtm",
                               "enable_error_message": True},
                "asr": {"vendor": "deepgram", "language": "en",
                        "params": {"language": "en"}},
                "llm": {"style": "openai",
                        "system_messages": [{"role": "system",
                                             "content": "Be brief."}]},
                "tts": {"vendor": "minimax", "params": {}},
            },
        }

    def join(self, channel, uid="58888506", name=None, over=None):
        """Starts an agent as a well-behaved client."""
        return self.call("POST", "/join", self.join_body(channel, uid, name),
                         token=self.token(channel, uid), over=over)

    def leave(self, agent_id):
        """Stops an agent as a well-behaved client."""
        return self.call("POST", f"/agents/{quote(agent_id, safe='')}/leave")
