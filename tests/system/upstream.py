"""The sandbox as the checks see it: what was called for which channel."""

import itertools
import os

from client import Sandbox
from watch import WATCH

APP_ID = "0123456789abcdef0123456789abcdef"


class Upstream:
    """A running sandbox and the questions that tests ask about it."""

    def __init__(self, folder):
        self.state = os.path.join(folder, "state")
        self.sandbox = Sandbox(folder, app_id=APP_ID,
                               app_certificate=os.urandom(16).hex())
        self.sandbox.start()
        self.certificate = self.sandbox.app_certificate
        self.numbers = itertools.count(1)

    def stop(self):
        """Ends the sandbox."""
        self.sandbox.stop()

    def settings(self, **more):
        """The settings with which a program works with this sandbox."""
        settings = {"APP_ID": self.sandbox.app_id,
                    "APP_CERTIFICATE": self.certificate,
                    "AGORA_API_BASE_URL": self.sandbox.base_url,
                    "AGORA_CA_FILE": self.sandbox.ca_file,
                    "STATE_DIR": self.state, "LOG_LEVEL": "debug", **more}
        WATCH.keep_settings(settings)
        return settings

    def channel(self):
        """A channel name that nobody has used yet."""
        return f"t{os.getpid()}-{next(self.numbers)}"

    def entries(self, channel=None):
        """The ledger, of one channel or all of it."""
        return self.sandbox.ledger(channel)

    def calls(self):
        """How many starts and stops reached Agora so far. Queries do not
        count: a start of an earlier test may still be cleaning up."""
        calls = self.sandbox.health()["calls"]
        return calls.get("join", 0) + calls.get("leave", 0)

    def joins(self, channel):
        """The ledger's entries of the joins for a channel."""
        return [entry for entry in self.entries(channel)
                if entry["call"] == "join"]

    def join(self, channel):
        """The body of the one join for a channel."""
        joins = self.joins(channel)
        assert len(joins) == 1, f"{len(joins)} joins for {channel}"
        return joins[0]["body"]

    def agent(self, channel):
        """The one agent of a channel."""
        agents = self.sandbox.agents(channel=channel)
        assert len(agents) == 1, f"{len(agents)} agents in {channel}"
        return agents[0]

    def fault(self, channel, call="join", **do):
        """Lets calls for a channel misbehave."""
        self.sandbox.fault(call, match={"channel": channel}, **do)
