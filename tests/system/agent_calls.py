"""Agent files that say what the Python SDK's calls say: see agent_cases.py.

Nothing here looks at what the SDK then sent. The options of its classes are
those of 1.4.1; where they go is what the documentation says today.
"""

import copy
import json
import re

from agent_cases import GEMINI_URL, complete, get, put

# Vendor of each class, and the options that have another place in params
# than their own name.
ASR = {
    "AmazonSTT": ("amazon", {
        "access_key": "access_key_id", "secret_key": "secret_access_key",
        "language": "language_code"}),
    "AresSTT": ("ares", {"language": None}),
    "AssemblyAISTT": ("assemblyai", {}),
    "DeepgramSTT": ("deepgram", {"api_key": "key"}),
    "GoogleSTT": ("google", {}),
    "MicrosoftSTT": ("microsoft", {}),
    "OpenAISTT": ("openai", {
        "model": "input_audio_transcription.model",
        "language": "input_audio_transcription.language"}),
    "SarvamSTT": ("sarvam", {}),
    "SpeechmaticsSTT": ("speechmatics", {}),
}
TTS = {
    "AmazonTTS": ("amazon", {
        "access_key": "aws_access_key_id",
        "secret_key": "aws_secret_access_key", "region": "region_name",
        "voice_id": "voice"}),
    "CartesiaTTS": ("cartesia", {
        "voice_id": "voice.id", "sample_rate": "output_format.sample_rate"}),
    "DeepgramTTS": ("deepgram", {}),
    "ElevenLabsTTS": ("elevenlabs", {}),
    "FishAudioTTS": ("fishaudio", {"key": "api_key"}),
    "GoogleTTS": ("google", {
        "key": "credentials", "voice_name": "VoiceSelectionParams.name",
        "language_code": "VoiceSelectionParams.language_code",
        "sample_rate_hertz": "AudioConfig.sample_rate_hertz"}),
    "HumeAITTS": ("humeai", {}),
    "MicrosoftTTS": ("microsoft", {}),
    "MiniMaxTTS": ("minimax", {"voice_id": "voice_setting.voice_id"}),
    "MurfTTS": ("murf", {"key": "api_key", "voice_id": "voiceId"}),
    "OpenAITTS": ("openai", {}),
    "RimeTTS": ("rime", {
        "key": "api_key", "model_id": "modelId",
        "sampling_rate": "samplingRate", "speed_alpha": "speedAlpha"}),
    "SarvamTTS": ("sarvam", {"key": "api_subscription_key"}),
}
AVATAR = {
    "AkoolAvatar": ("akool", {}),
    "AnamAvatar": ("anam", {"persona_id": "avatar_id"}),
    "HeyGenAvatar": ("heygen", {}),
    "LiveAvatarAvatar": ("liveavatar", {}),
}
MLLM = {"OpenAIRealtime": "openai", "GeminiLive": "gemini",
        "VertexAI": "vertexai"}
# Style, URL and model of each class when none is given.
LLM = {
    "OpenAI": ("openai", "https://api.openai.com/v1/chat/completions",
               "gpt-4o-mini"),
    "AzureOpenAI": ("openai", None, None),
    "Anthropic": ("anthropic", "https://api.anthropic.com/v1/messages",
                  "claude-3-5-sonnet-20241022"),
    "Gemini": ("gemini", None, "gemini-2.0-flash-exp"),
}
AZURE_VERSION = "2024-08-01-preview"

LLM_PARAMS = ("max_tokens", "temperature", "top_p", "top_k",
              "max_output_tokens")
LLM_MEMBERS = ("system_messages", "greeting_message", "failure_message",
               "max_history", "headers", "output_modalities",
               "greeting_configs", "template_variables", "vendor",
               "mcp_servers")
MLLM_PARAMS = ("model", "project_id", "location", "adc_credentials_string",
               "instructions", "voice")
MLLM_MEMBERS = ("url", "api_key", "messages", "input_modalities",
                "output_modalities", "greeting_message", "failure_message",
                "max_history", "predefined_tools", "turn_detection")
BLOCKS = ("turn_detection", "interruption", "sal", "advanced_features",
          "parameters", "geofence", "rtc", "filler_words", "labels")
# What the SDK turns into the documented type.
TYPED = ("enable_metrics", "threshold", "silence_duration_ms")


def given(options, *names):
    """The options of those names, without those that are None."""
    return {name: options[name] for name in names
            if options.get(name) is not None}


def placed(options, names):
    """The params that options become."""
    params = {}
    for option, value in options.items():
        path = names.get(option, option)
        if path is not None and value is not None:
            put(params, path, value)
    return params


def asr_block(kind, options):
    """Of with_stt()."""
    vendor, names = ASR[kind]
    options = dict(options)
    extra = options.pop("additional_params", None) or {}
    block = {"vendor": vendor, **given(options, "language")}
    params = placed({**options, **extra}, names)
    if params or vendor != "ares":
        block["params"] = params
    return block


def tts_block(kind, options):
    """Of with_tts(). Params of one's own come between those options that
    must be given and those that may."""
    vendor, names = TTS[kind]
    block = {"vendor": vendor, **given(options, "skip_patterns")}
    options = {name: value for name, value in options.items()
               if name != "skip_patterns"}
    extra = options.pop("params", None)
    if extra:
        must = given(options, "api_key", "model")
        options = {**must, **extra, **{
            name: value for name, value in options.items()
            if name not in must}}
    params = block["params"] = placed(options, names)
    if "voice" in params and vendor == "cartesia":
        params["voice"]["mode"] = "id"
    if "output_format" in params:
        params["output_format"]["container"] = "raw"
    return block


def avatar_block(kind, options):
    """Of with_avatar(). Here the options win."""
    vendor, names = AVATAR[kind]
    options = dict(options)
    enable = options.pop("enable", True)
    extra = options.pop("additional_params", None) or {}
    return {"enable": enable, "vendor": vendor,
            "params": {**placed(extra, names), **placed(options, names)}}


def mllm_block(kind, options, agent):
    """Of with_mllm()."""
    block = {"enable": True, "vendor": MLLM[kind],
             **given(options, *MLLM_MEMBERS)}
    params = given(options, *MLLM_PARAMS)
    extra = options.get("params") or options.get("additional_params") or {}
    params = ({**extra, **params} if kind == "GeminiLive"
              else {**params, **extra})
    if params:
        block["params"] = params
    if agent.get("greeting"):
        block.setdefault("greeting_message", agent["greeting"])
    return block


def access(kind, options):
    """URL and key of an LLM, and the model that belongs to them."""
    _, url, model = LLM[kind]
    url = options.get("base_url") or options.get("url") or url
    if options.get("model") is not None:
        model = options["model"]
    key = options.get("api_key")
    if kind == "AzureOpenAI":
        version = options.get("api_version")
        model = options["deployment_name"]
        url = (f"{options['endpoint']}/openai/deployments/{model}"
               "/chat/completions?api-version="
               + (AZURE_VERSION if version is None else version))
    elif url is None:  # Gemini's own, which has the key in it
        url, key = GEMINI_URL.format(model, key), None
    return url, key, model


def llm_block(kind, options, agent):
    """Of with_llm(). What its options do not say, the agent may; but the
    agent's instructions win."""
    url, key, model = access(kind, options)
    block = {"style": LLM[kind][0], "url": url, **given({"api_key": key},
                                                        "api_key")}
    block["input_modalities"] = options.get("input_modalities") or ["text"]
    block["params"] = {**({} if model is None else {"model": model}),
                       **(options.get("params") or {}),
                       **given(options, *LLM_PARAMS)}
    block.update(copy.deepcopy(given(options, *LLM_MEMBERS)))
    if kind == "AzureOpenAI" and not block.get("vendor"):
        block["vendor"] = "azure"
    for server in block.get("mcp_servers", ()):
        server.setdefault("transport", "streamable_http")
    for member, option in (("greeting_message", "greeting"),
                           ("failure_message", "failure_message"),
                           ("max_history", "max_history")):
        if agent.get(option):
            block.setdefault(member, agent[option])
    if agent.get("instructions"):
        block["system_messages"] = [{"role": "system",
                                     "content": agent["instructions"]}]
    return block


def typed(value):
    """A block with the documentation's types."""
    if not isinstance(value, dict):
        return value
    return {name: (json.loads(member) if name in TYPED
                   and isinstance(member, str) else typed(member))
            for name, member in value.items()}


def agent_of(calls):
    """The agent that the SDK's calls describe: {preset?, pipeline_id?,
    properties}."""
    agent, session = calls["agent"], calls.get("session") or {}
    properties = given(session, "idle_timeout", "enable_string_uid")
    for name, value in given(agent, *BLOCKS).items():
        properties[name] = typed(value.get("value", value)
                                 if "$model" in value else value)
    made = {}
    for method, *arguments in calls["chain"]:
        if method == "with_tools":
            put(properties, "advanced_features", {
                **properties.get("advanced_features", {}),
                "enable_tools": arguments[0]})
        else:
            made[method] = arguments
    if "with_mllm" in made:
        properties["mllm"] = mllm_block(*made["with_mllm"], agent)
        features = properties.get("advanced_features", {})
        if features.pop("enable_mllm", None) and not features:
            del properties["advanced_features"]
    else:
        for method, block, make in (("with_stt", "asr", asr_block),
                                    ("with_tts", "tts", tts_block),
                                    ("with_avatar", "avatar", avatar_block)):
            if method in made:
                properties[block] = make(*made[method])
        if "with_llm" in made:
            properties["llm"] = llm_block(*made["with_llm"], agent)
    complete(properties)
    return {**presets_of(session), "properties": properties}


def presets_of(session):
    """preset and pipeline_id, if they say anything."""
    listed = session.get("preset") or ""
    listed = listed.split(",") if isinstance(listed, str) else listed
    preset = ",".join(filter(None, map(str.strip, listed)))
    found = {"preset": preset, "pipeline_id": session.get("pipeline_id")}
    return {name: value for name, value in found.items() if value}


# -- From an agent to an agent file ------------------------------------------

# The default agent, but for texts, which no case has, and idle_timeout.
DEFAULT = {
    "enable_string_uid": True, "idle_timeout": None,
    "advanced_features": {"enable_rtm": True},
    "parameters": {"data_channel": "rtm", "enable_error_message": True},
    "asr": {"vendor": "deepgram", "language": "en",
            "params": {"model": "nova-3", "language": "en"}},
    "llm": {"style": "openai", "input_modalities": ["text"],
            "greeting_message": None, "failure_message": None,
            "max_history": 15, "system_messages": None,
            "params": {"model": "gpt-4o-mini", "max_tokens": 1024,
                       "temperature": 0.7, "top_p": 0.95}},
    "tts": {"vendor": "minimax",
            "params": {"model": "speech-2.6-turbo", "voice_setting": {
                "voice_id": "English_captivating_female1"}}},
}
# How the default agent's LLM is named, if at all.
DEFAULT_LLM = {"vendor": "openai", "style": "openai", "url": LLM["OpenAI"][1]}
# What a preset is for, by its beginning.
PRESETS = {"deepgram_": "asr", "openai_gpt_": "llm", "minimax_": "tts"}
SECRETS = re.compile(r"(^|_)(key|key_id|credentials|credentials_string|"
                     r"token)$")


def default_beside(agent):
    """What our program keeps of the default agent beside that file."""
    kept = copy.deepcopy(DEFAULT)
    wanted = agent["properties"]
    if agent.get("pipeline_id") or "mllm" in wanted:
        del kept["asr"], kept["llm"], kept["tts"]
        return kept
    for name in agent.get("preset", "").split(","):
        for start, block in PRESETS.items():
            if name.startswith(start):
                kept[block]["params"].pop("model", None)
    for block in ("asr", "tts"):
        if get(wanted, f"{block}.vendor") not in (
                None, kept[block]["vendor"]):
            del kept[block]
    if any(get(wanted, f"llm.{name}") not in (None, usual)
           for name, usual in DEFAULT_LLM.items()):
        del kept["llm"]["params"]
    return kept


def patch(default, wanted):
    """The merge patch (RFC 7396) from the one to the other."""
    changes = {}
    for name in {**default, **wanted}:
        old, new = default.get(name), wanted.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            new = patch(old, new)
            if new:
                changes[name] = new
        elif name not in default or old is None or old != new:
            changes[name] = new
    return changes


class Variables:
    """Settings of one's own that stand for the keys in agent files."""

    def __init__(self):
        self.names = {}

    def settings(self):
        """They and their values."""
        return {name: value for value, name in self.names.items()}

    def _name(self, value):
        name = self.names.setdefault(value, f"CASE_{len(self.names)}_API_KEY")
        return f"${{{name}}}"

    def put_in(self, value, secret=False):
        """The same value with variables for all keys."""
        if isinstance(value, dict):
            return {name: self.put_in(member, bool(SECRETS.search(name)))
                    for name, member in value.items()}
        if not isinstance(value, str) or not value:
            return value
        if secret:
            return self._name(value)
        start, sign, key = value.partition("&key=")
        return start + sign + self._name(key) if key else value


def agent_file(case, name, variables):
    """The agent file for a case, as data."""
    agent = agent_of(case["input"])
    properties = patch(default_beside(agent), agent["properties"])
    return {"name": name, **agent,
            "properties": variables.put_in(properties)}
