"""The control API under /_sandbox/: what tests ask and command.

It needs no token: the sandbox listens on the loopback only.
"""

import inspect
import json

import certificates
import network
import wire
from faults import BadFault
from ledger import ALIVE, SERVING, STATES


class BadControl(ValueError):
    """A control call that means nothing."""


class Control:
    """The control calls on one sandbox."""

    def __init__(self, agora, door):
        """${door} is the network.Network through which clients come."""
        self.agora = agora
        self.door = door
        self.calls = {
            ("GET", "health"): self._health,
            ("GET", "ledger"): self._ledger,
            ("GET", "agents"): self._agents,
            ("POST", "agents"): self._set_agent,
            ("GET", "unknown"): self._unknown,
            ("GET", "duplicates"): self._duplicates,
            ("POST", "faults"): self._faults,
            ("POST", "network"): self._network,
            ("POST", "certificate"): self._certificate,
            ("POST", "reset"): self._reset,
        }

    async def answer(self, request):
        """The response to a request below /_sandbox/."""
        name = request.segments[1] if len(request.segments) == 2 else ""
        call = self.calls.get((request.method, name))
        if call is None:
            return wire.json_response(404, {"detail": "no such control call"})
        try:
            value = call(request)
            if inspect.isawaitable(value):
                value = await value
            return wire.json_response(200, value)
        except (BadControl, BadFault) as error:
            return wire.json_response(400, {"detail": str(error)})

    def _health(self, _request):
        return {"status": "ok", "app_id": self.agora.app_id,
                "connections": self.door.server.connections,
                "network": self.door.mode,
                "requests": self.agora.ledger.count,
                "calls": self.agora.ledger.calls}

    def _ledger(self, request):
        query = request.query
        after = query.get("after", "0")
        if not (after.isascii() and after.isdecimal()):
            raise BadControl("after is not a number")
        return self.agora.ledger.shown(query.get("channel"),
                                       query.get("call"), int(after))

    def _agents(self, request):
        state = request.query.get("state")
        channel = request.query.get("channel")
        wanted = {None: STATES, "running": ALIVE}.get(state, (state,))
        return {"agents": [
            agent.shown() for agent in self.agora.agents.all(channel)
            if agent.status in wanted]}

    def _unknown(self, request):
        """Agents whose id nobody was ever told: those that still cost money
        and that nobody is ending, or all that there ever were."""
        wanted = STATES if request.query.get("state") == "any" else SERVING
        return {"agents": [agent.shown()
                           for agent in self.agora.agents.unknown()
                           if agent.status in wanted]}

    def _duplicates(self, _request):
        return self.agora.agents.duplicates()

    def _set_agent(self, request):
        """Puts an agent into another state or time of start."""
        wanted = _object(request)
        agent = self.agora.agents.find(wanted.get("agent_id"))
        if agent is None:
            raise BadControl("no such agent")
        if wanted.get("status", "RUNNING") not in STATES:
            raise BadControl(f"status is none of {STATES}")
        _check_seconds(wanted, "status_s")
        if "status" in wanted:
            self.agora.agents.put(agent, wanted["status"],
                                  wanted.get("status_s"))
        agent.start_ts = int(wanted.get("start_ts", agent.start_ts))
        return agent.shown()

    def _faults(self, request):
        return {"faults": self.agora.faults.add(_json(request))}

    async def _network(self, request):
        wanted = _object(request)
        mode, for_s = wanted.get("mode", self.door.first), wanted.get("for_s")
        if mode not in network.MODES:
            raise BadControl(f"mode is none of {network.MODES}")
        _check_seconds(wanted, "for_s")
        await self.door.set(mode, for_s)
        return {}

    async def _certificate(self, request):
        kind = _object(request).get("kind", "good")
        if kind not in certificates.KINDS:
            raise BadControl(f"kind is none of {certificates.KINDS}")
        await self.door.certificate(kind)
        return {}

    async def _reset(self, _request):
        self.agora.reset()
        await self.door.as_new()
        return {}


def _json(request):
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise BadControl(f"body is not JSON: {error}") from error


def _check_seconds(wanted, name):
    if not isinstance(wanted.get(name), (int, float, type(None))):
        raise BadControl(f"{name} is not a number")


def _object(request):
    value = _json(request)
    if not isinstance(value, dict):
        raise BadControl("body is not an object")
    return value
