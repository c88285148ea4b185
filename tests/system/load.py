"""Clients that ask one web server in turn while a test does something to it
or to the programs."""

import itertools
import json
import threading

from processes import PATIENCE, wait_until
from transports import HttpConnection, http_bytes

JSON = ("Content-Type", "application/json")
CLOSE = ("Connection", "close")


def get_config():
    """A request, and the status of its answer."""
    return http_bytes("GET", "/get_config", [CLOSE], b""), 200


def refused_start():
    """One that start_agent answers without Agora; no web server sends it a
    second time."""
    return http_bytes("POST", "/v2/startAgent", [JSON, CLOSE], b"{}"), 400


def start_of(upstream):
    """Starts of agents, each in a channel of its own."""
    def start():
        body = json.dumps({"channelName": upstream.channel(),
                           "rtcUid": "5", "userUid": "6"}).encode()
        return http_bytes("POST", "/v2/startAgent", [JSON, CLOSE], body), 200
    return start


class Client(threading.Thread):
    """Asks one question after the other, each on a new connection.

    questions: functions that return a request and the status it must have.
    lost: the answers, or exceptions, that came instead.
    """

    def __init__(self, port, questions):
        super().__init__(daemon=True)
        self.port = port
        self.questions = questions
        self.enough = threading.Event()
        self.answers = []  # bodies
        self.lost = []

    def _ask(self, data, status):
        try:
            with HttpConnection(self.port, 10 * PATIENCE) as connection:
                connection.send(data)
                answer = connection.answer()
        except (OSError, AssertionError) as error:
            self.lost.append(error)
            return
        if answer.status == status and answer.header("X-Request-Id"):
            self.answers.append(answer.body)
        else:
            self.lost.append(answer)

    def run(self):
        for question in itertools.cycle(self.questions):
            if self.enough.is_set():
                return
            self._ask(*question())


class Load:
    """Several clients for the length of a with statement."""

    def __init__(self, server, questions, count=8):
        """${server} is the web server; each client begins with another of
        the ${questions}."""
        self.clients = [
            Client(server.port, questions[at % len(questions):]
                   + questions[:at % len(questions)])
            for at in range(count)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *unused):
        for client in self.clients:
            client.enough.set()
        for client in self.clients:
            client.join(60 * PATIENCE)
            assert not client.is_alive(), "still waiting for an answer"

    @property
    def count(self):
        """How many good answers there were."""
        return sum(len(client.answers) for client in self.clients)

    @property
    def lost(self):
        """Everything that was no good answer."""
        return [lost for client in self.clients for lost in client.lost]

    def await_answers(self, count):
        """Until there were that many."""
        wait_until(lambda: self.count >= count, 80 * PATIENCE,
                   f"{count} answers")

    def more(self, count):
        """Until that many more were given."""
        self.await_answers(self.count + count)
