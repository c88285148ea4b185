"""Misbehaviour on command: which call is hit, and what then happens.

A fault is {"match": {...}, "do": {...}}; README.md lists the members. It is
set over the control API or, for whoever can only choose a channel name, by
calling a channel "fault-...".
"""

import base64
import binascii
import math
import random
import re

from ledger import STATES

CALLS = ("join", "leave", "get", "list")
MATCH = {"call": str, "channel": str, "agent_id": str, "host": str,
         "nth": int, "times": int}
DO = {"status": int, "headers": dict, "body": object, "delay_s": (int, float),
      "execute": bool, "close": str, "raw": str, "prefix": str,
      "drip": (int, float), "drip_body": (int, float), "body_size": int,
      "headers_count": int, "header_size": int, "conflict_id": str,
      "hang": bool, "execute_after_s": (int, float),
      "agent_status": str, "agent_status_s": (int, float),
      "unfiltered": bool, "omit": list, "gzip": bool, "hints": int,
      "date_skew_s": (int, float)}
FAULT = {"match": dict, "do": dict, "chance": (int, float), "seed": int}
CLOSE = ("before", "reset", "mid_headers", "after_headers", "mid_body",
         "after")
# Members that replace or swallow the real answer. A fault with one of them
# does not carry out the call unless it says so: an error is an error.
REPLACES = ("status", "body", "raw", "hang", "execute_after_s")

REASONS = {
    400: "InvalidRequest", 401: "InvalidPermission",
    403: "ServiceNotEnabled", 404: "TaskNotFound", 409: "TaskConflict",
    422: "ResourceQuotaLimitExceeded", 429: "ConcurrencyLimitExceeded",
    500: "InternalError", 501: "NotImplemented", 502: "InternalError",
    503: "ServiceUnavailable", 504: "TaskOperationTimeout",
}


class BadFault(ValueError):
    """A fault with a member or value that means nothing."""


def _b64(text):
    return base64.b64encode(text).decode("ascii")


# What a channel name may ask for after "fault-".
NAMED = {
    "close": {"close": "before", "execute": False},
    "reset": {"close": "reset", "execute": False},
    "hang": {"hang": True},
    "lost": {"close": "before", "execute": True},
    "lost-reset": {"close": "reset", "execute": True},
    "lost-hang": {"hang": True, "execute": True},
    "cut-headers": {"close": "mid_headers", "execute": True},
    "cut-body": {"close": "mid_body", "execute": True},
    "no-body": {"close": "after_headers", "execute": True},
    "drop": {"close": "after"},
    "html": {"status": 502, "headers": {"Content-Type": "text/html"},
             "body": "<html><h1>502 Bad Gateway</h1></html>"},
    "route": {"status": 404,
              "body": {"message": "no Route matched with those values"}},
    "garbage": {"status": 200, "execute": True, "body": "{\"agent_id\": "},
    "no-id": {"status": 200, "execute": True, "body": {"status": "RUNNING"}},
    "bad-id": {"status": 200, "execute": True, "body": {
        "agent_id": "../../join?", "create_ts": 1, "status": "RUNNING"}},
    "stopping": {"status": 400, "body": {
        "detail": "task is already in the process of shutting down",
        "reason": "InvalidRequest"}},
    "conflict-id": {"conflict_id": "agent_id"},
    "conflict-task": {"conflict_id": "taskId"},
    "hints": {"hints": 1},
    "many-hints": {"hints": 1000000},
    "gzip-bomb": {"body_size": 10 << 30, "gzip": True},
    "http09": {"raw": _b64(b"hello\n")},
    "big-body": {"body_size": 10 << 30},
    "many-headers": {"headers_count": 1000000},
    "big-header": {"header_size": 10 << 20},
}
NUMBER = r"(\d+(?:\.\d+)?)"
PATTERNS = (
    (r"(\d{3})", lambda m: {"status": int(m[1])}),
    (r"(\d{3})-done", lambda m: {"status": int(m[1]), "execute": True}),
    (r"(\d{3})-after-(.+)", lambda m: {
        "status": int(m[1]), "headers": {"Retry-After": m[2]}}),
    (r"slow-" + NUMBER, lambda m: {"delay_s": float(m[1])}),
    (r"late-" + NUMBER, lambda m: {
        "execute_after_s": float(m[1]), "close": "before"}),
    (r"late-hang-" + NUMBER, lambda m: {
        "execute_after_s": float(m[1]), "hang": True}),
    (r"skew-(-?\d+)", lambda m: {"date_skew_s": int(m[1])}),
    (r"(starting|recovering)-" + NUMBER, lambda m: {
        "agent_status": m[1].upper(), "agent_status_s": float(m[2])}),
    (r"burnt-" + NUMBER, lambda m: {
        "agent_status": "STOPPING", "agent_status_s": float(m[1])}),
    (r"drip-" + NUMBER, lambda m: {"drip": float(m[1])}),
    (r"drip-body-" + NUMBER, lambda m: {"drip_body": float(m[1])}),
)
# fault-[call-]WHAT[xTIMES][_anything]
NAME = re.compile(r"fault-(?:(join|leave|get|list)-)?([^_]+?)(?:x(\d+))?"
                  r"(?:_.*)?")


def _named_do(what):
    """What "fault-<what>" does, or None for a name that means nothing."""
    if what in NAMED:
        return dict(NAMED[what])
    for pattern, make in PATTERNS:
        match = re.fullmatch(pattern, what)
        if match:
            return make(match)
    return None


def from_channel(channel):
    """The fault that a channel name asks for, or None. It hits the join
    unless the name says another call."""
    match = NAME.fullmatch(channel)
    do = match and _named_do(match[2])
    if not do:
        return None
    wanted = {"call": match[1] or "join", "channel": channel}
    if match[3]:
        wanted["times"] = int(match[3])
    return Fault(wanted, do)


def _check_members(members, allowed, where):
    if not isinstance(members, dict):
        raise BadFault(f"{where} is not an object")
    for name, value in members.items():
        if name not in allowed:
            raise BadFault(f"{where}.{name} is unknown")
        # In Python true is a number, too.
        odd = isinstance(value, bool) and allowed[name] not in (bool, object)
        if odd or not isinstance(value, allowed[name]):
            raise BadFault(f"{where}.{name} has the wrong type")


def _check_values(match, do):
    if match.get("call", "join") not in CALLS:
        raise BadFault(f"match.call is none of {CALLS}")
    if do.get("close", "after") not in CLOSE:
        raise BadFault(f"do.close is none of {CLOSE}")
    if do.get("agent_status", "IDLE") not in STATES:
        raise BadFault(f"do.agent_status is none of {STATES}")
    if "execute_after_s" in do and (answers(do) and "status" not in do
                                    or do.get("execute")):
        raise BadFault("do.execute_after_s needs an answer that is lost")
    for name in ("raw", "prefix"):
        try:
            base64.b64decode(do.get(name, ""), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadFault(f"do.{name} is not base64") from error


class Fault:
    """One fault and how often its match has been seen. With a ${chance}
    below 1 it is the ${seed} that says which of these calls count."""

    def __init__(self, match, do, chance=1, seed="0"):
        _check_members(match, MATCH, "match")
        _check_members(do, DO, "do")
        _check_values(match, do)
        if not 0 <= chance <= 1:
            raise BadFault("chance is not in 0..1")
        self.match = match
        self.do = do
        self.chance = chance
        self.random = random.Random(seed)
        self.seen = 0
        self.first = match.get("nth", 1)
        times = match.get("times", 1 if "nth" in match else math.inf)
        self.last = self.first + times - 1

    def matches(self, facts):
        """Whether ${facts} (call, channel, agent_id, host) are meant."""
        return all(facts[name] == wanted
                   for name, wanted in self.match.items()
                   if name not in ("nth", "times"))

    def hit(self, facts):
        """Counts the call if it matches; whether this one is to fail."""
        if not self.matches(facts) or self.random.random() >= self.chance:
            return False
        self.seen += 1
        return self.first <= self.seen <= self.last


class Faults:
    """The faults in force, in the order in which they were set."""

    def __init__(self):
        self.listed = []
        self.by_channel = {}

    def clear(self):
        """Ends all misbehaviour, and forgets how often names were seen."""
        self.listed.clear()
        self.by_channel.clear()

    def add(self, items):
        """Adds faults given as plain data, all or none. Raises BadFault."""
        if not isinstance(items, list):
            raise BadFault("not a list of faults")
        made = []
        for item in items:
            _check_members(item, FAULT, "fault")
            # No two faults may be chosen for the same calls.
            seed = f"{item.get('seed', 0)}/{len(self.listed) + len(made)}"
            made.append(Fault(item.get("match", {}), item.get("do", {}),
                              item.get("chance", 1), seed))
        self.listed.extend(made)
        return len(self.listed)

    def _of_channel(self, channel):
        if not isinstance(channel, str) or not channel.startswith("fault-"):
            return []
        if channel not in self.by_channel:
            self.by_channel[channel] = from_channel(channel)
        fault = self.by_channel[channel]
        return [fault] if fault else []

    def find(self, **facts):
        """What to do to this call: the "do" of the first fault that it
        hits, or {}. Every fault that matches counts the call."""
        hits = [fault for fault in
                self.listed + self._of_channel(facts["channel"])
                if fault.hit(facts)]
        return hits[0].do if hits else {}


def executes(do):
    """Whether a call hit by that fault is carried out all the same."""
    return do.get("execute", not any(name in do for name in REPLACES)
                  and do.get("close") in (None, "after"))


def answers(do):
    """Whether the client gets to see the status of the answer."""
    return not ("raw" in do or do.get("hang")
                or do.get("close") in ("before", "reset", "mid_headers"))


def whole(do):
    """Whether the client gets the whole body."""
    return "raw" not in do and do.get("close") in (None, "after")


def default_body(status):
    """The service's own words for an error status that a fault chose."""
    reason = REASONS.get(status, "InternalError")
    return {"detail": f"{reason}, as the test asked", "reason": reason}
