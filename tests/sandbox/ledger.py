"""What the sandbox remembers: every call, and the agents it has started.

Everything runs on one event loop, so there is nothing to lock.
"""

import collections
import random
import string
import time

STATES = ("IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "RECOVERING",
          "FAILED")
ALIVE = ("STARTING", "RUNNING", "STOPPING", "RECOVERING")
ENTRIES_MAX = 50000  # older entries go, so that a long benchmark is bounded
ID_ALPHABET = string.ascii_uppercase + string.digits
ID_LEN = 26  # as in the documentation's examples

_random = random.SystemRandom()


class Agent:
    """A started agent and everything known about its end."""

    def __init__(self, body):
        properties = body["properties"]
        self.agent_id = "".join(_random.choices(ID_ALPHABET, k=ID_LEN))
        self.name = body["name"]
        self.channel = properties["channel"]
        self.agent_rtc_uid = properties["agent_rtc_uid"]
        self.idle_timeout = properties.get("idle_timeout", 30)
        self.status = "RUNNING"
        self.message = "agent is running"
        self.start_ts = int(time.time())
        self.stop_ts = 0
        self.started = time.monotonic()

    def end(self, message):
        """Stops the agent for good."""
        self.status, self.message = "STOPPED", message
        self.stop_ts = int(time.time())

    def shown(self):
        """As plain data for the control API."""
        return {name: getattr(self, name) for name in (
            "agent_id", "name", "channel", "agent_rtc_uid", "idle_timeout",
            "status", "message", "start_ts", "stop_ts")}


class Agents:
    """All agents, by id and, while they run, by name."""

    def __init__(self, idle_factor=0.0):
        """With ${idle_factor} an agent ends idle_timeout / ${idle_factor}
        seconds after its start: nobody ever visits it here."""
        self.idle_factor = idle_factor
        self.by_id = {}
        self.by_name = {}

    def clear(self):
        """Forgets every agent."""
        self.by_id.clear()
        self.by_name.clear()

    def start(self, body):
        """A new running agent for a checked join body."""
        agent = Agent(body)
        self.by_id[agent.agent_id] = agent
        self.by_name[agent.name] = agent
        return agent

    def stop(self, agent, message="OK"):
        """Ends a running agent; its name is free again."""
        agent.end(message)
        del self.by_name[agent.name]

    def find(self, agent_id):
        """The agent of that id, running or not, or None."""
        agent = self.by_id.get(agent_id)
        return agent and self._aged(agent)

    def running(self, name):
        """The running agent of that name, or None."""
        agent = self.by_name.get(name)
        if agent is None or self._aged(agent).status not in ALIVE:
            return None
        return agent

    def all(self):
        """Every agent, oldest first."""
        return [self._aged(agent) for agent in self.by_id.values()]

    def _aged(self, agent):
        """Idle agents end when somebody looks, which no caller can tell
        from a timer."""
        age = time.monotonic() - agent.started
        if (self.idle_factor and agent.idle_timeout
                and agent.status in ALIVE
                and age * self.idle_factor >= agent.idle_timeout):
            self.stop(agent, "Idle for too long")
        return agent


class Ledger:
    """Every call in order of arrival. An entry is written when its request
    has arrived and completed when the answer is on its way, so that calls
    still waiting can be seen too."""

    def __init__(self):
        self.entries = collections.deque(maxlen=ENTRIES_MAX)
        self.count = 0

    def clear(self):
        """Forgets every entry."""
        self.entries.clear()
        self.count = 0

    def open(self, request):
        """A new entry for a request that has just arrived."""
        self.count += 1
        entry = {
            "number": self.count, "time": time.time(),
            "connection": request.connection, "peer": request.peer,
            "call": None, "channel": None, "agent_id": None,
            "method": request.method, "target": request.target,
            "headers": {name: value for name, value in request.headers
                        if name != "authorization"},
            "authorization": None, "body": None, "checked": None,
            "executed": False, "fault": None, "status": None,
        }
        self.entries.append(entry)
        return entry

    def shown(self, channel=None):
        """The entries, of one channel or all, as plain data."""
        kept = [entry for entry in self.entries
                if channel is None or entry["channel"] == channel]
        return {"total": self.count, "requests": kept}
