"""The agent files of deploy/agents: each is taken, and sends what it says."""

import functools
import json
import os
import pathlib
import re
import subprocess

import pytest

from processes import PATIENCE, ROOT
from test_join_body import Caller
from watch import WATCH

AGENTS = ROOT / "deploy/agents"
FILES = sorted(str(path.relative_to(AGENTS))[:-len(".json")]
               for path in AGENTS.rglob("*.json"))
KINDS = ("asr", "llm", "tts", "mllm", "avatar")
VENDOR_FILES = [name for name in FILES if "/" in name]
COMPLETE_FILES = [name for name in FILES if "/" not in name]
SHAPES = json.loads(
    (ROOT / "tests/vectors/vendor-shapes.json").read_text("utf-8"))["shapes"]

# In the documentation, but not among the classes of the SDK.
NO_CLASS = {"asr/smallestai", "llm/xai", "tts/smallestai",
            "avatar/lemonslice", "avatar/protoface", "avatar/tavus"}

# Where the documentation disagrees with the SDK it wins: what it has more,
# and what it has not, below docs.agora.io/en/ai/models.
AVATAR_UID = {"params.agora_uid", "params.agora_token"}
GOOGLE = {"project_id", "location", "adc_credentials_string"}
DIFFERENCES = {
    "AkoolAvatar": (AVATAR_UID, set()),  # avatar/akool
    "AnamAvatar": (AVATAR_UID, set()),  # avatar/anam
    "GeminiLive": (set(), {"url"}),  # mllm/gemini
    "VertexAI": (GOOGLE, {"url"} | {f"params.{name}" for name in GOOGLE}),
    "cn.TencentSTT": (  # the Chinese reference of the REST API
        {"params.secret_id", "params.secret_key"},
        {"params.key", "params.secret"}),
}

# What the default agent says stays with every llm.
SPOKEN = ("style", "input_modalities", "greeting_message", "failure_message",
          "max_history", "system_messages")
# Objects whose members are anybody's.
OPEN = ("headers", "http_options", "pronunciation_dict",
        "template_variables")


def agent(name):
    """An agent file as data."""
    return json.loads((AGENTS / f"{name}.json").read_text("utf-8"))


def variables(name):
    """The names of the variables of a file."""
    return set(re.findall(r"(?<!\$)\$\{(\w+)\}", json.dumps(agent(name))))


@functools.lru_cache(None)
def value_of(name):
    """One for all tests; those of keys are looked for by watch.py."""
    if name.endswith("_URL"):
        return f"https://{name.lower().replace('_', '-')}.example"
    value = os.urandom(16).hex()
    if re.search("KEY|SECRET|TOKEN|CREDENTIALS", name):
        WATCH.keep(name, value)
    return value


def values(names):
    """A value for each."""
    return {name: value_of(name) for name in names}


def filled(value, given):
    """A file's data with the variables in it."""
    if isinstance(value, dict):
        return {name: filled(item, given) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, given) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda hit: given[hit[1]], value)
    return value


class Started:
    """A start with an agent file, and what Agora was sent."""

    def __init__(self, rig, name):
        self.given = values(variables(name))
        self.file = filled(agent(name), self.given)["properties"]
        caller = Caller(rig, rig.upstream.settings(
            AGENT_FILE=str(AGENTS / f"{name}.json"), **self.given))
        try:
            self.entry = caller.joined()
        finally:
            caller.close()
        self.sent = self.entry["body"]["properties"]

    def block(self, kind):
        """The block that was sent, without what is not the file's: what the
        default agent says, and what is made for each start."""
        block, ours = dict(self.sent[kind]), self.file[kind]
        if kind == "llm":
            for name in SPOKEN:
                if name not in ours:
                    del block[name]
        if kind == "avatar":
            params = block["params"] = dict(block["params"])
            assert params.pop("agora_token").startswith("007")
            if block["vendor"] == "generic":
                assert params.pop("agora_appid") == rig_app_id(self.entry)
                assert params.pop("agora_channel") == self.sent["channel"]
        return block


def rig_app_id(entry):
    """Of the project that a call was for."""
    return re.search("/projects/([0-9a-f]{32})/", entry["target"])[1]


@pytest.fixture(name="started", scope="module")
def starts_by_file(rig):
    """The start with each file; one is enough."""
    made = {}

    def start(name):
        if name not in made:
            made[name] = Started(rig, name)
        return made[name]
    return start


# -- The program -------------------------------------------------------------

def check(rig, name, given):
    """--check with that file: exit status, whether it is used, findings."""
    path = str(AGENTS / f"{name}.json")
    settings = rig.upstream.settings(AGENT_FILE=path, **given)
    done = subprocess.run(
        [rig.programs.path("start_agent"), "--check"], check=False,
        env=rig.programs.environment(
            {"AGORA_ENV_FILE": rig.programs.env_file(settings)}),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=60 * PATIENCE)
    text = done.stdout.decode("utf-8")
    return (done.returncode, f"  {path}: used\n" in text,
            re.findall(r"^ +((?:problem|warning): .*)$", text, re.M))


@pytest.mark.parametrize("name", FILES)
def test_check(rig, name):
    """--check finds neither a problem nor anything doubtful in the file."""
    assert check(rig, name, values(variables(name))) == (0, True, [])


@pytest.mark.parametrize("name", [n for n in FILES if variables(n)])
def test_check_without_variables(rig, name):
    """Each variable is missed by its name, of a text with several the first;
    and nothing else is."""
    status, used, found = check(rig, name, {})
    assert (status, used) == (1, False)
    missed = [re.fullmatch(r"problem: \S+ needs the variable (\w+), which is "
                           "not set; .*", line)[1] for line in found]
    assert set(missed) == set(re.findall(
        r'"[^"$]*\$\{(\w+)\}', json.dumps(agent(name))))


@pytest.mark.parametrize("name", FILES)
def test_accepted(started, name):
    """The sandbox takes the body by its own rules about the vendors, and
    every member of the file is in it with the file's value. Lists are equal
    as a whole. Models that Agora manages lose their name to the preset."""
    start = started(name)
    assert start.entry["checked"] == 200

    def covered(ours, sent):
        if isinstance(ours, dict):
            return all(member in sent and covered(ours[member], sent[member])
                       for member in ours)
        return ours == sent

    ours = json.loads(json.dumps(start.file))
    if "minimax" in start.entry["body"].get("preset", ""):
        ours.get("tts", {}).get("params", {}).pop("model", None)
    assert covered(ours, start.sent)


@pytest.mark.parametrize("name", VENDOR_FILES)
def test_block_is_the_files(started, name):
    """A vendor's block is sent as the file has it and with nothing of the
    default agent's, but for what an llm says and an avatar's token. (A key
    of OpenAI is a setting, too: with it the default agent has the same
    address, and keeps its parameters.)"""
    start = started(name)
    kind = name.partition("/")[0]
    block, ours = start.block(kind), dict(start.file[kind])
    if name == "llm/openai":
        ours["params"] = {"max_tokens": 1024, "temperature": 0.7,
                          "top_p": 0.95, **ours["params"]}
    assert block == ours
    others = set(KINDS) & set(start.sent)
    assert ("mllm" in others) == (kind == "mllm")
    assert ("avatar" in others) == (kind == "avatar")
    assert (others >= {"asr", "llm", "tts"}) == (kind != "mllm")


@pytest.mark.parametrize("name", COMPLETE_FILES)
def test_complete_ones_are_profiles(rig, name):
    """A client may choose each by its name."""
    given = values(set().union(*map(variables, COMPLETE_FILES)))
    caller = Caller(rig, rig.upstream.settings(AGENT_DIR=str(AGENTS),
                                               **given))
    try:
        sent = caller.joined(profile=name)["body"]["properties"]
    finally:
        caller.close()
    for kind, block in filled(agent(name), given)["properties"].items():
        if kind in KINDS and "vendor" in block:
            assert sent[kind]["vendor"] == block["vendor"]


# -- The official SDK --------------------------------------------------------

def paths(value, path=""):
    """{path: JSON type} of all members of a block; numbers are one type,
    lists and objects with anybody's members are not looked into."""
    if isinstance(value, dict) and path.rpartition(".")[2] not in OPEN:
        found = {path: dict} if path else {}
        for name, item in value.items():
            found.update(paths(item, f"{path}.{name}" if path else name))
        return found
    kind = type(value)
    return {path: float if kind is int else kind}


@pytest.mark.parametrize("shape", [
    pytest.param(shape, id=shape["class"]) for shape in SHAPES])
def test_shape_of_the_sdk(started, shape):
    """What is sent has every member that the SDK sends when given only what
    its class requires, none that it does not send when given everything, and
    all of the same JSON types; but for DIFFERENCES. Values are not compared:
    the SDK's are placeholders. Of four Chinese vendors there is no recording
    of the least, of Azure's realtime model none at all."""
    kind = shape["example"].partition("/")[0]
    start = started(shape["example"])
    sent = paths(start.sent[kind])
    more, fewer = DIFFERENCES.get(shape["class"], (set(), set()))
    assert more <= set(sent) and not fewer & set(sent)
    least = paths(shape.get("wire_min", {}))
    assert set(least) - fewer <= set(sent)
    if "wire_full" in shape:
        most = paths(shape["wire_full"])
        assert set(sent) - more <= set(most)
        assert {path: most[path] for path in sent if path not in more} == {
            path: sent[path] for path in sent if path not in more}
        assert not more & set(most) and fewer <= set(most)
    else:
        assert shape["class"] == "AzureOpenAIRealtime"


def test_every_vendor_has_an_example():
    """Of the SDK's classes each, and nothing that nobody knows of."""
    examples = {shape["example"] for shape in SHAPES}
    assert examples | NO_CLASS == set(VENDOR_FILES)
    assert not examples & NO_CLASS
    assert set(DIFFERENCES) <= {shape["class"] for shape in SHAPES}


# -- README ------------------------------------------------------------------

ROWS = re.findall(r"^\| `([^`]+)\.json` \| (.+) \| .+ \|$",
                  (AGENTS / "README.md").read_text("utf-8"), re.M)


def test_readme_lists_every_file():
    """Once, and no other."""
    assert sorted(name for name, _ in ROWS) == FILES


@pytest.mark.parametrize("name, needs", ROWS, ids=[row[0] for row in ROWS])
def test_readme_names_the_variables(name, needs):
    """Exactly those that the file uses."""
    assert set(re.findall(r"`([A-Z0-9_]+)`", needs)) == variables(name)


def test_names_can_be_profiles():
    """And the files are of a size and form to be read by people."""
    for name in FILES:
        assert re.fullmatch(r"([a-z]+/)?[a-z0-9_-]{1,32}", name)
        text = (AGENTS / f"{name}.json").read_text("utf-8")
        assert text == json.dumps(agent(name), indent=2,
                                  ensure_ascii=False) + "\n"


def test_keys_may_stand_in_the_environment(rig):
    """Then nobody sees them there: watch.py looks into /proc."""
    given = values(set().union(*map(variables, FILES)))
    caller = Caller(rig, rig.upstream.settings(AGENT_DIR=str(AGENTS)),
                    env=list(given.items()))
    try:
        sent = caller.joined(profile="own-keys")["body"]["properties"]
        program = caller.program["start_agent"]
        environ = pathlib.Path(f"/proc/{program.pid}/environ").read_bytes()
    finally:
        caller.close()
    assert sent["llm"]["api_key"] == given["OPENAI_API_KEY"]
    assert given["CARTESIA_VOICE_ID"].encode() in environ
    for name, value in given.items():
        if re.search("KEY|SECRET|TOKEN|CREDENTIALS", name):
            assert value.encode() not in environ, name
