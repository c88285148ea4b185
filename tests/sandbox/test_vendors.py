"""What the sandbox knows about vendors: a block lacks nothing that its page
requires, and its members have the page's types. In process, for speed, but
for what needs tokens."""

import copy
import json
import pathlib

import pytest

import rules
import vendors

SHAPES = json.loads((pathlib.Path(__file__).parent.parent
                     / "vectors/vendor-shapes.json").read_text("utf-8"))
UID, AVATAR_UID = "58888506", "4000000001"
SAMPLES = {str: "x", int: 7, vendors.NUMBER: 0.5, bool: True, list: [],
           dict: {}, (dict, str): "{}"}


def body_with(kind, block):
    """A join body with that block; the other models come from the preset."""
    presets = {"asr": "deepgram_nova_3", "llm": "openai_gpt_4o_mini",
               "tts": "minimax_speech_2_6_turbo"}
    presets.pop(kind, None)
    return {"name": "agent", "preset": ",".join(presets.values()),
            "properties": {"channel": "room", "token": "007",
                           "agent_rtc_uid": UID, "remote_rtc_uids": ["1"],
                           kind: block}}


def refusal(kind, block, **more):
    """(reason, detail) for a body with that block; None if it is good."""
    try:
        rules.check_join_body({**body_with(kind, block), **more})
    except rules.Refused as refused:
        assert refused.status == 400
        return refused.answer["reason"], refused.answer["detail"]
    return None


def put(block, path, value):
    """Sets a member, or with ... removes it."""
    *folders, name = path.split(".")
    for folder in folders:
        block = block.setdefault(folder, {})
    if value is ...:
        block.pop(name, None)
    else:
        block[name] = value


def whole(kind, **names):
    """A block of that vendor or style with everything on its line."""
    block = dict(names)
    if kind in ("mllm", "avatar"):
        block["enable"] = True
    for paths, types, _ in vendors.members(vendors.line_of(kind, block)):
        if vendors.at(block, paths[0]) is ...:
            put(block, paths[0], copy.deepcopy(SAMPLES[types]))
    if kind == "llm":
        block["url"] = "https://llm.example/v1"
    if kind == "avatar":
        block["params"]["agora_uid"] = AVATAR_UID
    return block


def blocks():
    """(kind, names) of everything that the tables know."""
    for kind, table in vendors.VENDORS.items():
        for vendor in table:
            if vendor is not None:
                yield pytest.param(kind, {"vendor": vendor},
                                   id=f"{kind}-{vendor}")
    for style in vendors.LLM_STYLES:
        yield pytest.param("llm", {"style": style}, id=f"llm-{style}")


@pytest.mark.parametrize("kind, names", blocks())
def test_each_required_member(kind, names):
    """The whole block is good. Without a required member it is not, without
    another one it is; but an object may hold one that is required."""
    good = whole(kind, **names)
    assert refusal(kind, good) is None
    words = list(vendors.members(vendors.line_of(kind, names)))
    needed = {path for paths, _, required in words if required
              for path in paths}
    for paths, types, required in words:
        bad = copy.deepcopy(good)
        for path in paths:
            put(bad, path, ...)
        if required:
            reason, detail = refusal(kind, bad)
            assert reason == "MissingRequiredField"
            assert detail.startswith(f"properties.{kind}.{paths[0]}")
        elif types is not dict and not needed & set(paths):
            assert refusal(kind, bad) is None


@pytest.mark.parametrize("kind, names", blocks())
def test_each_type(kind, names):
    """A member of another type is refused, required or not; so is an empty
    text where one is required."""
    good = whole(kind, **names)
    for paths, types, required in vendors.members(
            vendors.line_of(kind, names)):
        wrong = [None, 1 if types is str else True if types is not bool
                 else "true"] + [""] * (required and types is str)
        for value in wrong:
            bad = copy.deepcopy(good)
            put(bad, paths[0], value)
            assert refusal(kind, bad)[0] == "InvalidFieldValue", (
                paths, value)


# Members that the page requires and the SDK does not send.
SDK_LACKS = {
    "AkoolAvatar": {"params.agora_uid": AVATAR_UID},
    "AnamAvatar": {"params.agora_uid": AVATAR_UID},
}
# Its placeholders of vendor that are none.
PLACEHOLDER = "<vendor>"


@pytest.mark.parametrize("shape", [
    pytest.param(shape, id=shape["class"]) for shape in SHAPES["shapes"]
    if "wire_full" in shape])
def test_what_the_sdk_sends_is_accepted(shape):
    """Written down by others, from another source."""
    kind = shape["example"].partition("/")[0]
    block = copy.deepcopy(shape["wire_full"])
    for path, value in SDK_LACKS.get(shape["class"], {}).items():
        put(block, path, value)
    if block.get("vendor") == PLACEHOLDER:
        del block["vendor"]
    if block.get("url", "").startswith("<endpoint>"):
        block["url"] = "https://endpoint.example"
    assert refusal(kind, block) is None


def test_a_page_that_the_sdk_does_not_follow():
    """Akool's and Anam's avatars are participants, too."""
    for vendor in ("akool", "anam"):
        block = whole("avatar", vendor=vendor)
        del block["params"]["agora_uid"]
        assert "agora_uid is required" in refusal("avatar", block)[1]


@pytest.mark.parametrize("kind, names", [
    ("asr", {"vendor": "hearsay"}), ("tts", {"vendor": "gemini"}),
    ("llm", {"vendor": "gpt"}), ("llm", {"style": "haiku"}),
    ("mllm", {"vendor": "anthropic", "enable": True}),
    ("avatar", {"vendor": "ghost", "enable": True})])
def test_unknown_vendor(kind, names):
    reason, detail = refusal(kind, {**names, "params": {}})
    assert reason == "InvalidFieldValue" and "unknown" in detail


@pytest.mark.parametrize("names", [
    {"vendor": []}, {"vendor": 1}, {"vendor": {}}, {"style": []}])
def test_vendor_is_text(names):
    assert refusal("llm", names)[0] == "InvalidFieldValue"


@pytest.mark.parametrize("kind, block", [
    ("asr", {"vendor": "deepgram", "params": {"model": "nova-3"}}),
    ("llm", {"url": "https://api.openai.com/v1/chat/completions"}),
    ("tts", {"vendor": "minimax", "params": {"model": "speech-2.6-turbo"}})])
def test_managed_needs_no_key(kind, block):
    managed = {**block, "credential_mode": "managed"}
    assert refusal(kind, managed) is None
    own = {**block, "credential_mode": "byok"}
    assert (refusal(kind, own) is None) == (kind == "llm")


def test_preset_may_name_no_vendor():
    """As in the page about presets."""
    block = {"params": {"voice_setting": {"voice_id": "v"}}}
    assert refusal("tts", block, preset=(
        "minimax_speech_2_8_turbo,openai_gpt_4o_mini")) is None
    assert "vendor is required" in refusal("tts", block)[1]


def test_pipeline_brings_what_is_missing():
    block = {"vendor": "deepgram"}
    assert refusal("tts", block, pipeline_id="p", preset=None) is None
    assert refusal("tts", block)[0] == "MissingRequiredField"


def test_engine_has_an_asr():
    """Ares, when the block names none; Fengming in China."""
    for block in ({}, {"vendor": "ares"}, {"vendor": "fengming"}):
        assert refusal("asr", {**block, "language": "zh-CN"}) is None


@pytest.mark.parametrize("messages, good", [
    ([{"role": "user", "parts": [{"text": "Be brief."}]}], True),
    ([{"role": "user", "content": "Be brief."}], True),
    ([{"role": "user"}], False), ([{"parts": []}], False)])
def test_messages_in_the_form_of_gemini(messages, good):
    block = {**whole("llm", style="gemini"), "system_messages": messages}
    assert (refusal("llm", block) is None) == good


def test_disabled_blocks_do_not_matter():
    body = body_with("avatar", {"enable": False, "vendor": "ghost"})
    body["properties"]["mllm"] = {"enable": False, "vendor": "ghost"}
    body["preset"] += ",minimax_speech_2_6_turbo"
    rules.check_join_body(body)


def test_mllm_replaces_the_others():
    body = body_with("mllm", whole("mllm", vendor="openai"))
    body["preset"] = None
    rules.check_join_body(body)


# -- Avatars ----------------------------------------------------------------

@pytest.mark.parametrize("uid", [
    UID, "1", "", "x", "-1", "4294967296", 4000000001])
def test_avatar_has_a_uid_of_its_own(uid):
    block = whole("avatar", vendor="akool")
    block["params"]["agora_uid"] = uid
    assert refusal("avatar", block)[0] == "InvalidFieldValue"


@pytest.mark.parametrize("vendor, rate, good", [
    ("akool", 16000, True), ("akool", 24000, False),
    ("liveavatar", 24000, True), ("liveavatar", 16000, False),
    ("heygen", 44100, False), ("anam", 44100, True)])
@pytest.mark.parametrize("path", vendors.TTS_RATES)
def test_avatar_hears_at_its_own_rate(vendor, rate, good, path):
    body = body_with("avatar", whole("avatar", vendor=vendor))
    body["properties"]["tts"] = {"params": {}}
    put(body["properties"]["tts"], f"params.{path}", rate)
    try:
        rules.check_join_body(body)
    except rules.Refused as refused:
        assert not good and f"{rate}" not in refused.answer["detail"]
    else:
        assert good


def join_with_avatar(sandbox, token):
    """The status of a join with an avatar with that token."""
    body = sandbox.join_body("room")
    block = whole("avatar", vendor="anam")
    put(block, "params.agora_token", token)
    body["properties"]["avatar"] = block
    return sandbox.call("POST", "/join", body,
                        token=sandbox.token("room", UID)).status


def test_avatar_has_a_token_of_its_own(sandbox):
    assert join_with_avatar(
        sandbox, sandbox.token("room", AVATAR_UID)) == 200


@pytest.mark.parametrize("how", [
    {"uid": UID}, {"channel": "hall"}, {"certificate": "0" * 32},
    {"issued": 1, "seconds": 60}, {"app_id": "0" * 32}, None])
def test_avatar_with_a_wrong_token(sandbox, how):
    token = ...
    if how is not None:
        token = sandbox.token(**{"channel": "room", "uid": AVATAR_UID,
                                 **how})
    assert join_with_avatar(sandbox, token) in (401, 403)
    assert sandbox.agents() == []


def test_refused_by_the_service(sandbox):
    """Through the process, with the answer of the real one."""
    body = sandbox.join_body("room")
    body["preset"] = "deepgram_nova_3,openai_gpt_4o_mini"
    body["properties"]["tts"] = {"vendor": "cartesia",
                                 "params": {"api_key": "k"}}
    answer = sandbox.call("POST", "/join", body,
                          token=sandbox.token("room", UID))
    assert (answer.status, answer.json()) == (400, {
        "detail": "properties.tts.params.model_id is required",
        "reason": "MissingRequiredField"})
