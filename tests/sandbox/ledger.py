"""What the sandbox remembers: every call, and the agents it has started.

Everything runs on one event loop, so there is nothing to lock.
"""

import collections
import os
import string
import time

STATES = ("IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "RECOVERING",
          "FAILED")
ALIVE = ("STARTING", "RUNNING", "STOPPING", "RECOVERING")
SERVING = ("STARTING", "RUNNING", "RECOVERING")  # and nobody has stopped it
NEXT = {"STARTING": "RUNNING", "RECOVERING": "RUNNING", "STOPPING": "STOPPED"}
NOTES_MAX = 100  # how many tellings and leaves of one agent are kept
ENTRIES_MAX = 50000  # older entries go, so that a long benchmark is bounded
ID_ALPHABET = string.ascii_uppercase + string.digits
ID_LEN = 26  # as in the documentation's examples


class Agent:
    """A started agent, everything known about its end, and who was told of
    it: ${told} has the whole answers that named it, ${leaves} the attempts
    to end it."""

    def __init__(self, body):
        properties = body["properties"]
        self.agent_id = "".join(ID_ALPHABET[byte % len(ID_ALPHABET)]
                                for byte in os.urandom(ID_LEN))
        self.name = body["name"]
        self.channel = properties["channel"]
        self.agent_rtc_uid = properties["agent_rtc_uid"]
        self.idle_timeout = properties.get("idle_timeout", 30)
        self.status = "RUNNING"
        self.message = "agent is running"
        self.start_ts = int(time.time())
        self.stop_ts = 0
        self.started = time.monotonic()
        self.until = None  # when the status changes by itself
        self.told = []
        self.leaves = []

    def pair(self):
        """What there must be one agent for."""
        return self.channel, self.agent_rtc_uid

    def note_told(self, entry):
        """A whole answer that names the agent has been sent."""
        if len(self.told) < NOTES_MAX:
            self.told.append({name: entry[name] for name in (
                "number", "time", "connection", "call", "status")})

    def note_leave(self, entry):
        """Somebody has tried to end the agent."""
        if len(self.leaves) < NOTES_MAX:
            self.leaves.append({name: entry[name] for name in (
                "number", "time", "connection", "executed", "status")})

    def shown(self):
        """As plain data for the control API."""
        return {name: getattr(self, name) for name in (
            "agent_id", "name", "channel", "agent_rtc_uid", "idle_timeout",
            "status", "message", "start_ts", "stop_ts", "told", "leaves")}


class Agents:
    """All agents: by id, by channel, while they hold it by name, and while
    they serve by pair."""

    def __init__(self, idle_factor=0.0):
        """With ${idle_factor} an agent ends idle_timeout / ${idle_factor}
        seconds after its start: nobody ever visits it here."""
        self.idle_factor = idle_factor
        self.by_id = {}
        self.by_channel = {}
        self.by_name = {}
        self.by_pair = {}
        self.most = {}  # pair -> how many served it at once, if ever two

    def clear(self):
        """Forgets every agent."""
        for index in (self.by_id, self.by_channel, self.by_name,
                      self.by_pair, self.most):
            index.clear()

    def start(self, body, status="RUNNING", seconds=None):
        """A new agent for a checked join body; put() has the rest."""
        agent = Agent(body)
        for other in list(self.by_pair.get(agent.pair(), ())):
            self._aged(other)
        self.by_id[agent.agent_id] = agent
        self.by_channel.setdefault(agent.channel, []).append(agent)
        self.put(agent, status, seconds)
        return agent

    def stop(self, agent, message="OK", status="STOPPED", seconds=None):
        """Ends a running agent; put() has the rest."""
        agent.message = message
        self.put(agent, status, seconds)

    def put(self, agent, status, seconds=None):
        """Puts an agent into a state, for that many seconds: NEXT tells
        what comes then. Its name is taken while it is alive, and while the
        seconds of an ended one last."""
        agent.status = status
        agent.until = None if seconds is None else time.monotonic() + seconds
        agent.stop_ts = (0 if status in ALIVE
                         else agent.stop_ts or int(time.time()))
        if status in ALIVE or seconds is not None:
            self.by_name[agent.name] = agent
        elif self.by_name.get(agent.name) is agent:
            del self.by_name[agent.name]
        self._count(agent)

    def _count(self, agent):
        pair = agent.pair()
        serving = self.by_pair.setdefault(pair, {})  # ordered, as a set
        if agent.status in SERVING:
            serving[agent] = True
        else:
            serving.pop(agent, None)
        if not serving:
            del self.by_pair[pair]
        elif len(serving) > 1:
            self.most[pair] = max(len(serving), self.most.get(pair, 0))

    def find(self, agent_id):
        """The agent of that id, running or not, or None."""
        agent = self.by_id.get(agent_id)
        return agent and self._aged(agent)

    def holder(self, name):
        """The agent that has this name for itself, or None."""
        agent = self.by_name.get(name)
        return agent and self._aged(agent) and self.by_name.get(name)

    def all(self, channel=None):
        """Every agent, of one channel or all, oldest first."""
        found = (self.by_id.values() if channel is None
                 else self.by_channel.get(channel, ()))
        return [self._aged(agent) for agent in found]

    def unknown(self):
        """The agents whose id nobody has ever been told."""
        return [agent for agent in self.all() if not agent.told]

    def duplicates(self):
        """The pairs that more than one agent serves, and those that more
        than one has ever served at once, as plain data."""
        self.all()
        return {
            "now": [{"channel": pair[0], "agent_rtc_uid": pair[1],
                     "agents": [agent.agent_id for agent in serving]}
                    for pair, serving in self.by_pair.items()
                    if len(serving) > 1],
            "ever": [{"channel": pair[0], "agent_rtc_uid": pair[1],
                      "most": most} for pair, most in self.most.items()]}

    def _aged(self, agent):
        """What time does to an agent is done when somebody looks, which no
        caller can tell from a timer."""
        if agent.until is not None and time.monotonic() >= agent.until:
            self.put(agent, NEXT.get(agent.status, agent.status))
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
        self.calls = collections.Counter()

    def clear(self):
        """Forgets every entry."""
        self.entries.clear()
        self.count = 0
        self.calls.clear()

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
            "whole": False,
        }
        self.entries.append(entry)
        return entry

    def shown(self, channel=None, call=None, after=0):
        """The entries, of one channel and kind of call or all, whose number
        is higher than ${after}, as plain data."""
        kept = [entry for entry in self.entries
                if channel in (None, entry["channel"])
                and call in (None, entry["call"])
                and entry["number"] > after]
        return {"total": self.count, "requests": kept}
