"""The service itself: join, leave, get and list as the documentation has
them, with every call entered in the ledger and open to faults.
"""

import asyncio
import itertools
import json
import re
import secrets
import time
from dataclasses import dataclass

import accesstoken
import faults
import rules
import wire
from ledger import ID_LEN, STATES, Agents, Ledger

BASES = (["api", "conversational-ai-agent"],
         ["cn", "api", "conversational-ai-agent"])
LIST_LIMIT = 20
LIST_SECONDS = 7200
AGENT_ID = re.compile(rb"[0-9A-Z]{%d}" % ID_LEN)
NO_ROUTE = {"message": "no Route matched with those values"}


@dataclass
class Call:
    """A request that was understood, and what is known about it."""

    kind: str  # of faults.CALLS
    app_id: str
    agent_id: str
    request: wire.Request
    body: dict = None


def route(request):
    """The call that method and path mean, or None."""
    path = request.segments
    for base in BASES:
        if path[:len(base)] == base:
            path = path[len(base):]
            break
    else:
        return None
    if len(path) < 4 or path[:2] != ["v2", "projects"]:
        return None
    app_id, rest = path[2], path[3:]
    if (request.method, rest) == ("POST", ["join"]):
        return Call("join", app_id, None, request)
    if (request.method, rest) == ("GET", ["agents"]):
        return Call("list", app_id, None, request)
    if rest[0] == "agents" and len(rest) == 2 and request.method == "GET":
        return Call("get", app_id, rest[1], request)
    if (rest[0] == "agents" and rest[2:] == ["leave"]
            and request.method == "POST"):
        return Call("leave", app_id, rest[1], request)
    return None


def _claims(read, text):
    """What a token says, for the ledger; never the token."""
    try:
        return read(text).claims()
    except (rules.Refused, accesstoken.BadToken) as error:
        return {"error": str(error)}


def _lenient_body(body):
    """The body for the ledger, whatever it is."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return {"unreadable": body.decode("utf-8", "replace")}


def _without(body, name):
    """A JSON body without one of its members."""
    value = json.loads(body or b"null")
    if not isinstance(value, dict):
        return body
    value.pop(name, None)
    return json.dumps(value).encode("utf-8")


class Agora:
    """One project at the service."""

    def __init__(self, app_id, certificate, idle_factor=0.0):
        self.app_id = app_id
        self.certificate = certificate
        self.agents = Agents(idle_factor)
        self.ledger = Ledger()
        self.faults = faults.Faults()
        self.late = set()  # timers of calls that are carried out later

    def reset(self):
        """As new: no agents, no entries, no faults, no call to come."""
        for timer in self.late:
            timer.cancel()
        self.late.clear()
        self.agents.clear()
        self.ledger.clear()
        self.faults.clear()

    # -- One request --------------------------------------------------------

    def answer(self, request):
        """Carries out a request. Returns (response, what a fault does to
        its delivery, ledger entry)."""
        entry = self.ledger.open(request)
        entry["authorization"] = _claims(rules.parsed_header,
                                         request.header("authorization"))
        entry["body"] = _lenient_body(request.body)
        call = route(request)
        if call is None:
            entry["checked"] = entry["status"] = 404
            return wire.json_response(404, NO_ROUTE), {}, entry
        self._label(call, entry)
        do = self.faults.find(
            call=call.kind, channel=entry["channel"],
            agent_id=entry["agent_id"], host=request.host())
        response = self._carry_out(call, entry, do)
        entry["fault"] = do or None
        response = self._disturbed(response, do)
        entry["status"] = response.status if faults.answers(do) else None
        agent = call.kind == "leave" and self.agents.find(call.agent_id)
        if agent:
            agent.note_leave(entry)
        return response, do, entry

    def delivered(self, response, entry):
        """Notes that the whole answer has been sent: its client now knows
        the agents that it names."""
        entry["whole"] = True
        for agent_id in AGENT_ID.findall(response.body):
            agent = self.agents.by_id.get(agent_id.decode("ascii"))
            if agent:
                agent.note_told(entry)

    def _label(self, call, entry):
        """Says in the entry which call and channel this is, as far as a
        request that may still be refused tells it."""
        entry["call"], entry["agent_id"] = call.kind, call.agent_id
        self.ledger.calls[call.kind] += 1
        channel = call.request.query.get("channel")
        if call.kind == "join" and isinstance(entry["body"], dict):
            properties = entry["body"].get("properties")
            if isinstance(properties, dict):
                channel = properties.get("channel")
        elif call.agent_id is not None:
            agent = self.agents.find(call.agent_id)
            channel = agent.channel if agent else None
        entry["channel"] = channel

    def _carry_out(self, call, entry, do):
        """The honest answer to a call. It is only checked, not carried out,
        when a fault says so; the answer is then the fault's to make."""
        check = getattr(self, f"_check_{call.kind}")
        try:
            self._check_project(call)
            check(call)
        except rules.Refused as refused:
            return self._refused(refused, entry)
        if "execute_after_s" in do:
            self._perform_late(call, entry, do)
        if not faults.executes(do):
            entry["checked"] = 200
            return wire.Response()
        return self._perform(call, entry, do)

    def _perform(self, call, entry, do):
        try:
            response = getattr(self, f"_do_{call.kind}")(call, do)
        except rules.Refused as refused:
            return self._refused(refused, entry)
        entry["executed"] = True
        entry["checked"] = response.status
        return response

    def _perform_late(self, call, entry, do):
        """As a service does that is still busy with a call whose client has
        given up."""
        def perform():
            self.late.discard(timer)
            self._perform(call, entry, do)
        timer = asyncio.get_running_loop().call_later(
            do["execute_after_s"], perform)
        self.late.add(timer)

    @staticmethod
    def _refused(refused, entry):
        entry["checked"] = refused.status
        return wire.json_response(refused.status, refused.answer)

    def _disturbed(self, response, do):
        """The answer with what a fault puts in its place."""
        response.headers["Agora-Request-Id"] = secrets.token_hex(16)
        status = do.get("status", response.status)
        if "body" in do or status != response.status:
            body = do.get("body", faults.default_body(status))
            text = isinstance(body, str)
            response.body = (body if text else json.dumps(body)).encode()
            response.headers["Content-Type"] = "application/json"
        for name in do.get("omit", ()):
            response.body = _without(response.body, name)
        if status in (204, 304):
            response.body = b""
        response.status = status
        response.headers.update(do.get("headers", {}))
        return response

    # -- Checks: raise Refused ----------------------------------------------

    def _check_project(self, call):
        token = rules.parsed_header(call.request.header("authorization"))
        if call.app_id != self.app_id:
            raise rules.Refused(403, "InvalidPermission",
                                "project is not allowed")
        rules.check_token(token, self.app_id, self.certificate, time.time())

    def _check_join(self, call):
        call.body = rules.parsed_json(call.request.header("content-type"),
                                      call.request.body)
        properties = rules.check_join_body(call.body)
        channel, uid = properties["channel"], properties["agent_rtc_uid"]
        now = time.time()
        rules.check_grants(
            rules.parsed_header(call.request.header("authorization")),
            channel, uid, now)
        token = rules.parsed_body_token(properties["token"])
        rules.check_token(token, self.app_id, self.certificate, now)
        rules.check_grants(token, channel, uid, now)
        avatar = rules.avatar_of(properties)
        if avatar is not None:
            token = rules.parsed_body_token(
                avatar.get("agora_token", ""),
                "properties.avatar.params.agora_token")
            rules.check_token(token, self.app_id, self.certificate, now)
            rules.check_rtc(token, channel, avatar["agora_uid"], now)

    def _check_agent(self, call):
        """An ended agent can be looked at, not ended again."""
        agent = self.agents.find(call.agent_id)
        if agent is None or (call.kind == "leave"
                             and agent.status in ("STOPPED", "FAILED")):
            raise rules.Refused(404, "TaskNotFound",
                                "agent does not exist or has ended")
        if call.kind == "leave" and agent.status == "STOPPING":
            raise rules.Refused(
                400, "InvalidRequest",
                "task is already in the process of shutting down")

    _check_leave = _check_get = _check_agent

    def _check_list(self, call):
        for name in ("from_time", "to_time", "limit"):
            text = call.request.query.get(name, "")
            if text and not (text.isascii() and text.isdecimal()):
                raise rules.Refused(400, "InvalidFieldValue",
                                    f"{name} is not a number")
        for state in call.request.query.get("state", "2").split(","):
            if state not in map(str, range(len(STATES))):
                raise rules.Refused(400, "InvalidFieldValue",
                                    "state is not a list of 0..6")
        cursor = call.request.query.get("cursor")
        if cursor and cursor not in self.agents.by_id:
            raise rules.Refused(400, "InvalidFieldValue",
                                "cursor is not an agent")

    # -- The calls themselves -----------------------------------------------

    def _do_join(self, call, do):
        holder = self.agents.holder(call.body["name"])
        if holder:
            refused = rules.Refused(409, "TaskConflict",
                                    "an agent of that name is running")
            if "conflict_id" in do:
                refused.answer[do["conflict_id"]] = holder.agent_id
            raise refused
        agent = self.agents.start(call.body,
                                  do.get("agent_status", "RUNNING"),
                                  do.get("agent_status_s"))
        return wire.json_response(200, {
            "agent_id": agent.agent_id, "create_ts": agent.start_ts,
            "status": agent.status})

    def _do_leave(self, call, do):
        self.agents.stop(self.agents.find(call.agent_id),
                         status=do.get("agent_status", "STOPPED"),
                         seconds=do.get("agent_status_s"))
        return wire.Response()

    def _do_get(self, call, _do):
        agent = self.agents.find(call.agent_id)
        return wire.json_response(200, {
            name: getattr(agent, name) for name in (
                "message", "start_ts", "stop_ts", "status", "agent_id",
                "name")})

    def _do_list(self, call, do):
        query = call.request.query
        now = int(time.time())
        since = int(query.get("from_time") or now - LIST_SECONDS)
        until = int(query.get("to_time") or now)
        limit = int(query.get("limit") or LIST_LIMIT)
        states = [STATES[int(s)] for s in query.get("state", "2").split(",")]
        channel = None if do.get("unfiltered") else query.get("channel")

        def wanted(agent):
            return (agent.status in states
                    and since <= agent.start_ts <= until)
        agents = self.agents.all(channel)
        # The next page begins with the agent that the cursor names; should
        # that one have ended meanwhile, with the one behind it.
        cursor = query.get("cursor")
        left = itertools.dropwhile(
            lambda agent: cursor and agent.agent_id != cursor, agents)
        found = list(filter(wanted, left))
        shown, rest = found[:limit], found[limit:]
        return wire.json_response(200, {
            "data": {"count": len(shown), "list": [
                {"start_ts": agent.start_ts, "status": agent.status,
                 "agent_id": agent.agent_id} for agent in shown]},
            "meta": {"cursor": rest[0].agent_id if rest else "",
                     "total": len(list(filter(wanted, agents)))},
            "status": "ok"})
