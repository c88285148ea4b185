"""Agent files say what the Python SDK says: each of its recorded cases."""

import collections
import json
import os

import pytest

import agent_calls
import agent_cases
from checks import refused, succeeded
from rig import Rig
from test_join_body import Caller
from upstream import Upstream

GROUP = 60  # cases that one program has as profiles
LONG_AGO = 1700000000  # nobody is still writing the files
CASES = agent_cases.cases()
GROUPS = -(-len(CASES) // GROUP)

COUNTS = {agent_cases.EQUAL: 23, agent_cases.DIFFERENT: 331,
          agent_cases.LEFT_OUT: 73}

# What is sent as the SDK sends it, and the sandbox, which is stricter than
# our program, refuses: made-up values in the cases.
REFUSED_BY_AGORA = (
    "c_llm_.*_(all|all_agent_override|falsy|params_collide)",  # the vendor
    "c_llm_AzureOpenAI_.*",  # the URL
    "d_preset_unknown_.*",
    "c_stt_DeepgramSTT_additional_params_collide",  # the types
    "e_advanced_features_unknown_key",  # the type
    "c_avatar_AkoolAvatar_(required|tts_.*)",  # no avatar_id
    "c_mllm_OpenAIRealtime_falsy",  # an empty url
    # the token
    "c_avatar_(HeyGen|LiveAvatar)Avatar_(all|additional_params_collide)",
)


@pytest.fixture(scope="module", name="agora")
def own_agora(programs):
    """A sandbox for starts that are all in one channel."""
    folder = programs.file("agora")
    os.mkdir(folder, 0o755)
    session = Upstream(folder)
    yield session
    session.stop()


class Starts:
    """A program with a profile for each of some cases."""

    def __init__(self, programs, agora, names):
        self.agora = agora
        self.folder = programs.file("agents")
        self.variables = agent_calls.Variables()
        self.profiles = {name: f"case-{number}"
                         for number, name in enumerate(names)}
        os.mkdir(self.folder, 0o755)
        for name, profile in self.profiles.items():
            self._write(profile, agent_calls.agent_file(
                CASES[name], profile, self.variables))
        # With "unlimited" a file may say an idle_timeout of 0.
        self.caller = Caller(Rig(programs, agora), agora.settings(
            AGENT_DIR=self.folder, AGENT_IDLE_TIMEOUT="unlimited",
            **self.variables.settings()))

    def _write(self, profile, agent):
        path = os.path.join(self.folder, profile + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(agent, file)
        os.utime(path, (LONG_AGO, LONG_AGO))

    def start(self, name):
        """The answer to a start."""
        session = CASES[name]["input"].get("session") or {}
        user, = session.get("remote_uids", [agent_cases.USER_UID])
        answer, _ = self.caller.start(
            profile=self.profiles[name],
            channelName=session.get("channel", agent_cases.CHANNEL),
            rtcUid=session.get("agent_uid", agent_cases.AGENT_UID),
            userUid=agent_cases.USER_UID if user == "*" else user)
        return answer

    def joins(self):
        """The ledger's one entry for each case that has any."""
        found = {}
        for entry in self.agora.entries():
            if entry["call"] == "join":
                profile = entry["body"]["name"].partition("_")[0]
                assert profile not in found
                found[profile] = entry
        return {name: found[profile] for name, profile
                in self.profiles.items() if profile in found}


def body_of(entry):
    """What was sent, as agent_cases.documented() has it."""
    body = json.loads(json.dumps(entry["body"]))
    assert body.pop("name") and body["properties"].pop("token")
    avatar = agent_cases.get(body, "properties.avatar.params") or {}
    if avatar.get("agora_token", "").startswith("007"):
        avatar["agora_token"] = agent_cases.TOKEN
    return body


def check(name, answer, entry):
    """Compares what a start came to with what it should."""
    row = agent_cases.refused(name)
    if row:
        refused(answer, row.status, row.word)
        assert entry is None
        return
    assert entry, answer.json
    wanted, _ = agent_cases.documented(CASES[name])
    sent = body_of(entry)
    assert sent == wanted
    assert agent_cases.canonical(sent) == agent_cases.canonical(wanted)
    if not any(agent_cases.is_one_of(name, pattern)
               for pattern in REFUSED_BY_AGORA):
        succeeded(answer)


def wrong_ones(answers, joins):
    """What is wrong, by the cases' names."""
    wrong = {}
    for name, answer in answers.items():
        try:
            check(name, answer, joins.get(name))
        except AssertionError as error:
            wrong[name] = str(error)
    return wrong


@pytest.mark.parametrize("group", range(GROUPS))
def test_cases(programs, agora, group, record_property):
    """Each case, in the documented form, is exactly what is sent; or it is
    refused as the table says."""
    names = list(CASES)[group * GROUP:(group + 1) * GROUP]
    starts = Starts(programs, agora, names)
    answers = {name: starts.start(name) for name in names
               if agent_cases.is_started(name)}
    wrong = wrong_ones(answers, starts.joins())
    starts.caller.close()
    agora.sandbox.reset()
    assert not wrong, "\n".join(map(": ".join, wrong.items()))
    record_property("join cases", dict(collections.Counter(
        agent_cases.kind(name, CASES[name]) for name in names)))


def test_how_many():
    """So that none gets lost."""
    assert COUNTS == collections.Counter(
        agent_cases.kind(name, case) for name, case in CASES.items())


def test_every_difference_is_needed():
    """A row of the tables that no case has is wrong."""
    seen = {what for name, case in CASES.items()
            if not agent_cases.refused(name)
            for what in agent_cases.documented(case)[1]}
    assert seen == set(agent_cases.ALL_DIFFERENCES)
    for row in agent_cases.REFUSED:
        assert any(agent_cases.refused(name) is row for name in CASES), row
