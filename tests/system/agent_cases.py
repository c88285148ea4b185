"""What the Python SDK sent, and what the documentation makes of it.

vectors/join-agents.json has the calls that were made on the SDK 1.4.1, and
the join request that it then sent. agent_calls.py makes an agent file out of
the calls alone, in the form that the documentation gives to an agent today;
documented() makes the same out of the request, by the differences listed
here. A start with that file must send that request.

Pages are below https://docs.agora.io/en/; models/... is ai/models/...
"""

import copy
import json
import pathlib
import re
from typing import NamedTuple

VECTORS = (pathlib.Path(__file__).resolve().parent.parent / "vectors"
           / "join-agents.json")

# What the SDK takes when a session does not say it.
CHANNEL = "channel_1770199765"
AGENT_UID = "58888506"
USER_UID = "1234567"

TOKEN = "<token>"  # stands for one of ours


def cases():
    """All of them by name, those of the original's code with its calls."""
    with open(VECTORS, encoding="utf-8") as file:
        found = {case["name"]: case for case in json.load(file)["cases"]}
    for case in found.values():
        if "via" in case["input"]:
            case["input"] = found["py/a_seed_rebuilt_fixed_name"]["input"]
    return found


# -- Members by their paths --------------------------------------------------

def get(owner, path):
    """The member at the end of a dotted path, or None."""
    for name in path.split("."):
        owner = owner.get(name) if isinstance(owner, dict) else None
    return owner


def put(owner, path, value):
    """Sets it; makes the objects on the way."""
    *way, last = path.split(".")
    for name in way:
        owner = owner.setdefault(name, {})
    owner[last] = value


def without_nulls(value):
    """The same without members that are null; those in lists stay."""
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(member) for name, member in value.items()
            if member is not None}


def canonical(value):
    """A value as text: equal ones are equal, and 1 is 1.0 but not true."""
    def number(text):
        value = float(text)
        return int(value) if value.is_integer() else value
    return json.dumps(json.loads(json.dumps(value), parse_float=number),
                      sort_keys=True)


# -- What the documentation asks for and the SDK of that day left out --------

JOIN = "api-reference/api-ref/conversational-ai/join"


class Required(NamedTuple):
    """A member of a block, what stands there in the documentation's example
    (if the example has no real value: one of ours), and what must stand
    beside it for it to matter."""

    who: str  # block and its vendor, or the llm's style
    path: str
    value: object
    page: str
    beside: str = None


REQUIRED = (
    Required("asr amazon", "params.language_code", "en-US",
             "models/asr/amazon"),
    Required("asr microsoft", "params.language", "en-US",
             "models/asr/microsoft"),
    Required("asr assemblyai", "params.language", "en-US",
             "models/asr/assembly-ai"),
    Required("asr openai", "params.input_audio_transcription.model",
             "gpt-4o-mini-transcribe", "models/asr/openai"),
    Required("asr openai", "params.input_audio_transcription.prompt",
             "Please transcribe the following audio into text. Output in "
             "English.", "models/asr/openai"),
    Required("asr openai", "params.input_audio_transcription.language",
             "en", "models/asr/openai"),
    Required("llm anthropic", "headers", {"anthropic-version": "2023-06-01"},
             "models/llm/claude"),
    Required("llm anthropic", "params.max_tokens", 1024,
             "models/llm/claude"),
    Required("tts elevenlabs", "params.base_url",
             "wss://api.elevenlabs.io/v1", "models/tts/elevenlabs"),
    Required("tts openai", "params.base_url", "https://api.openai.com/v1",
             "models/tts/openai", beside="params.api_key"),
    Required("tts minimax", "params.audio_setting.sample_rate", 44100,
             "models/tts/minimax", beside="params.key"),
    Required("tts cartesia", "params.model_id", "sonic-2",
             "models/tts/cartesia"),
    Required("tts amazon", "params.engine", "neural", "models/tts/amazon"),
    Required("tts fishaudio", "params.backend", "speech-1.5",
             "models/tts/fish-audio"),
    Required("tts rime", "params.modelId", "mistv2", "models/tts/rime"),
    Required("avatar akool", "params.agora_uid", "9001",
             "models/avatar/akool", beside="enable"),
    Required("avatar anam", "params.agora_uid", "9001",
             "models/avatar/anam", beside="enable"),
    Required("mllm openai", "url", "wss://api.openai.com/v1/realtime",
             "models/mllm/openai"),
)


class Switch(NamedTuple):
    """What in advanced_features must be on for a member to have a meaning,
    or for that value of it."""

    name: str
    path: str
    value: str  # or None
    page: str


SWITCHES = (
    Switch("enable_tools", "llm.mcp_servers", None, "ai/build/mcp-tools"),
    Switch("enable_sal", "sal", None, JOIN),
    Switch("enable_rtm", "parameters.data_channel", "rtm", JOIN),
)


def block_of(properties, who):
    """The block, if it is that vendor's."""
    name, vendor = who.split(" ")
    block = properties.get(name) or {}
    if vendor == block.get("vendor") or (
            name == "llm" and vendor == block.get("style")):
        return block
    return None


def complete(properties):
    """Adds what is required and missing; returns the rows that were."""
    added = []
    for row in REQUIRED:
        block = block_of(properties, row.who)
        if block and get(block, row.path) is None and (
                row.beside is None or get(block, row.beside)):
            put(block, row.path, copy.deepcopy(row.value))
            added.append(row)
    for row in SWITCHES:
        switch = f"advanced_features.{row.name}"
        value = get(properties, row.path)
        needs_it = value == row.value if row.value else value
        if needs_it and not get(properties, switch):
            put(properties, switch, True)
            added.append(row)
    return added


# -- From the SDK's request to the documented one ----------------------------

class Renamed(NamedTuple):
    """A member of a block that the SDK of that day sent elsewhere."""

    who: str
    old: str
    new: str
    page: str


RENAMED = (
    Renamed("asr deepgram", "params.api_key", "params.key",
            "models/asr/deepgram"),
    Renamed("asr amazon", "params.access_key", "params.access_key_id",
            "models/asr/amazon"),
    Renamed("asr amazon", "params.secret_key", "params.secret_access_key",
            "models/asr/amazon"),
    Renamed("asr amazon", "params.language", "params.language_code",
            "models/asr/amazon"),
    Renamed("asr openai", "params.model",
            "params.input_audio_transcription.model", "models/asr/openai"),
    Renamed("tts amazon", "params.access_key", "params.aws_access_key_id",
            "models/tts/amazon"),
    Renamed("tts amazon", "params.secret_key",
            "params.aws_secret_access_key", "models/tts/amazon"),
    Renamed("tts amazon", "params.region", "params.region_name",
            "models/tts/amazon"),
    Renamed("tts amazon", "params.voice_id", "params.voice",
            "models/tts/amazon"),
    Renamed("tts cartesia", "params.sample_rate",
            "params.output_format.sample_rate", "models/tts/cartesia"),
    Renamed("tts fishaudio", "params.key", "params.api_key",
            "models/tts/fish-audio"),
    Renamed("tts google", "params.key", "params.credentials",
            "models/tts/google"),
    Renamed("tts google", "params.voice_name",
            "params.VoiceSelectionParams.name", "models/tts/google"),
    Renamed("tts google", "params.language_code",
            "params.VoiceSelectionParams.language_code",
            "models/tts/google"),
    Renamed("tts google", "params.sample_rate_hertz",
            "params.AudioConfig.sample_rate_hertz", "models/tts/google"),
    Renamed("tts murf", "params.key", "params.api_key", "models/tts/murf"),
    Renamed("tts murf", "params.voice_id", "params.voiceId",
            "models/tts/murf"),
    Renamed("tts rime", "params.key", "params.api_key", "models/tts/rime"),
    Renamed("tts rime", "params.model_id", "params.modelId",
            "models/tts/rime"),
    Renamed("tts sarvam", "params.key", "params.api_subscription_key",
            "models/tts/sarvam"),
    Renamed("avatar anam", "params.persona_id", "params.avatar_id",
            "models/avatar/anam"),
)


def rename(properties):
    """Moves them; returns the rows that were there."""
    moved = []
    for row in RENAMED:
        block = block_of(properties, row.who)
        if block and get(block, row.old) is not None:
            way, _, last = row.old.rpartition(".")
            put(block, row.new, get(block, way).pop(last))
            moved.append(row)
    return moved


GEMINI_URL = ("https://generativelanguage.googleapis.com/v1beta/models/{}"
              ":streamGenerateContent?alt=sse&key={}")

# The others, each a function that changes a body, its properties or not, and
# answers whether it had to; with what it is about, and the page.

def one_user(body):
    """The SDK's session could name everybody; we name the user."""
    if body["properties"]["remote_rtc_uids"] != ["*"]:
        return False
    body["properties"]["remote_rtc_uids"] = [USER_UID]
    return True


def no_pipeline(body):
    """One without a name is none."""
    return body.get("pipeline_id") == "" and not body.pop("pipeline_id")


def spoken_language(body):
    """The documentation has the language in the vendor's params, too."""
    done = False
    for who, path in (("asr assemblyai", "params.language"),
                      ("asr openai",
                       "params.input_audio_transcription.language")):
        block = block_of(body["properties"], who)
        if block and block.get("language") is not None:
            put(block, path, block["language"])
            done = True
    return done


def raw_audio(body):
    """Cartesia's sample rate belongs to an output format."""
    block = block_of(body["properties"], "tts cartesia")
    if not block or get(block, "params.output_format") is None:
        return False
    put(block, "params.output_format.container", "raw")
    return True


def gemini_url(body):
    """Gemini's URL has the model and the key in it."""
    block = block_of(body["properties"], "llm gemini")
    if not block or not block["url"].endswith("/v1beta/models"):
        return False
    block["url"] = GEMINI_URL.format(block["params"]["model"],
                                     block.pop("api_key"))
    return True


def azure_model(body):
    """Azure's model is the name of the deployment."""
    url = get(body["properties"], "llm.url") or ""
    found = re.search("/openai/deployments/([^/]+)/", url)
    if found:
        put(body["properties"], "llm.params.model", found.group(1))
    return bool(found)


def avatar_token(body):
    """We make the avatar's token, as later versions of the SDK do."""
    params = get(body["properties"], "avatar.params") or {}
    if (not get(body["properties"], "avatar.enable")
            or "agora_uid" not in params or params.get("agora_token")):
        return False
    params["agora_token"] = TOKEN
    return True


OTHERS = (
    (one_user, "remote_rtc_uids: one user", JOIN),
    (no_pipeline, "pipeline_id: not empty", JOIN),
    (spoken_language, "asr: params say the language, too",
     "models/asr/openai, assembly-ai"),
    (raw_audio, "tts cartesia: output_format", "models/tts/cartesia"),
    (gemini_url, "llm gemini: url with model and key", "models/llm/gemini"),
    (azure_model, "llm azure: params.model", "models/llm/azure-openai"),
)
AT_LAST = avatar_token, f"avatar: params.agora_token ({JOIN})"


def about(row):
    """A row as one line."""
    if isinstance(row, Renamed):
        return f"{row.who}: {row.old} is {row.new} ({row.page})"
    if isinstance(row, Switch):
        return f"{row.path} needs {row.name} ({row.page})"
    return f"{row.who}: {row.path} is required ({row.page})"


ALL_DIFFERENCES = [
    *(about(row) for row in RENAMED),
    *(f"{what} ({page})" for _, what, page in OTHERS),
    *(about(row) for row in REQUIRED + SWITCHES), AT_LAST[1]]


def recorded(case):
    """The SDK's request as it is compared: without name, token, and members
    that are null."""
    body = without_nulls(copy.deepcopy(case["body"]))
    del body["name"], body["properties"]["token"]
    return body


def documented(case):
    """The same in the documented form, and what had to be changed."""
    body = recorded(case)
    differences = [about(row) for row in rename(body["properties"])]
    differences += [f"{what} ({page})" for change, what, page in OTHERS
                    if change(body)]
    differences += [about(row) for row in complete(body["properties"])]
    change, what = AT_LAST
    if change(body):
        differences.append(what)
    return body, differences


# -- What no agent file can say ----------------------------------------------

class Refused(NamedTuple):
    """Cases by a pattern for their names, why they are left out, and what
    our program answers instead: status and a word of its detail. Without a
    status nothing is started, for nothing of the case would be left."""

    cases: str
    why: str
    status: int = None
    word: str = None


REFUSED = (
    Refused("a_auth_.*|a_client_extra_headers",
            "how the call itself is authorized is not the agent's"),
    Refused("e_session_token_given", "the agent's token is made by us"),
    Refused("e_session_remote_(none|many)", "there is one user"),
    Refused("e_unicode_channel|e_session_channel_empty",
            "not a channel's name", 400, "channelName"),
    Refused("e_session_agent_uid_0", "that lets Agora choose the uid, which "
            "the token must have", 400, "rtcUid"),

    # What is required and for which there is no example, or a model without
    # a key that is not one of Agora's.
    Refused("c_no_vendors|d_preset_(single|list_blank|empty|unknown|dup)_"
            "no_vendors|d_seed_(no_llm|stt_only|tts_only)",
            "no language model", 500, "properties.llm is missing"),
    Refused("c_only_llm|d_preset_(csv_spaces|list|unknown_plus)_no_vendors|"
            "d_seed_(no_tts|llm_only)",
            "no voice", 500, "properties.tts is missing"),
    Refused("c_stt_DeepgramSTT_required|d_infer_asr_(nova_2_phonecall|"
            "enhanced|no_model|no_options)", "Deepgram without key",
            500, "properties.asr.params.key is missing"),
    Refused("c_stt_GoogleSTT_.*", "a key where a service account is needed",
            500, "properties.asr.params.project_id is missing"),
    Refused("c_tts_MiniMaxTTS_required|d_infer_tts_minimax_speech~02~turbo",
            "MiniMax without key", 500,
            "properties.tts.params.key is missing"),
    Refused("d_infer_tts_openai_voice=alloy_model=tts-1-hd",
            "OpenAI without key", 500,
            "properties.tts.params.api_key is missing"),
    Refused("c_tts_HumeAITTS_.*", "no voice is named", 500,
            "properties.tts.params.voice_id is missing"),
    Refused("c_avatar_AnamAvatar_(required|tts_.*|before_tts_bad_rate)",
            "no avatar is named", 500,
            "properties.avatar.params.avatar_id is missing"),
    Refused(r"e_filler_words_content\.static_config\..*", "no phrases", 500,
            "static_config.phrases is missing"),
    Refused("e_mcp_servers_4", "a server without address", 500,
            "mcp_servers[0].endpoint is missing"),

    Refused("e_advanced_features_full_.*", "enable_mllm, but no mllm", 500,
            "properties.tts is not used beside"),

    # What is required, and is there, but empty.
    Refused("b_empty_key_tts_elevenlabs", "an empty key", 500,
            "properties.tts.params.key is empty"),
    *(Refused(case, "an empty option", 500, f"properties.{member} is empty")
      for case, member in (
          ("c_stt_AmazonSTT_falsy", "asr.params.language_code"),
          ("c_stt_AssemblyAISTT_falsy", "asr.params.language"),
          ("c_stt_DeepgramSTT_falsy", "asr.params.key"),
          ("c_stt_MicrosoftSTT_falsy", "asr.params.language"),
          ("c_stt_OpenAISTT_falsy",
           "asr.params.input_audio_transcription.model"),
          ("c_tts_CartesiaTTS_falsy", "tts.params.model_id"),
          ("c_tts_ElevenLabsTTS_falsy", "tts.params.base_url"),
          ("c_tts_MiniMaxTTS_falsy", "tts.params.key"),
          ("c_tts_RimeTTS_falsy", "tts.params.modelId"))),

    # Numbers outside their ranges.
    Refused("c_tts_OpenAITTS_falsy", "no speed at all", 500,
            "properties.tts.params.speed must be from"),
    Refused("e_turn_detection_full_.*|e_kitchen_sink", "3 ms", 500,
            "end_of_speech.vad_config.silence_duration_ms must be from"),
    Refused("e_turn_detection_falsy_dict", "0", 500,
            "turn_detection.config.speech_threshold must be"),
    Refused("e_filler_words_(full|falsy)_.*", "0 or 3 ms", 500,
            "fixed_time_config.response_wait_ms must be from"),
    Refused("e_rtc_falsy_dict", "0", 500,
            "properties.rtc.encryption_mode must be from"),
)


def is_one_of(name, pattern):
    """Answers whether the case is among those of a pattern."""
    return bool(re.fullmatch(pattern, name.partition("/")[2]))


def refused(name):
    """The row for a case, or None."""
    return next((row for row in REFUSED if is_one_of(name, row.cases)), None)


def is_started(name):
    """Answers whether there is something to start."""
    row = refused(name)
    return row is None or row.status is not None


KINDS = EQUAL, DIFFERENT, LEFT_OUT = (
    "sent equal", "documented difference", "not expressible")


def kind(name, case):
    """Which of the three a case is."""
    if refused(name):
        return LEFT_OUT
    return DIFFERENT if documented(case)[1] else EQUAL
