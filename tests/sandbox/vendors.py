"""What a block of each vendor has to hold, by the vendor's page in the
documentation (and, for the Chinese ones, by the examples in the reference).

A table's entry is a line of words. A word is the path of a member below
"params", or below the block itself if it begins with a dot; behind it may
stand "!" (it is required) and a type (":int"; text if there is none). With
"one|other" either member does. Members that are not listed are passed on to
the vendor, as the service does. The entry None is for a block that names no
vendor.
"""

NUMBER = (int, float)
_TYPES = {"": str, "int": int, "number": NUMBER, "bool": bool, "list": list,
          "dict": dict, "headers": (dict, str)}

ASR = {
    None: "",  # ares, as the engine has it
    "amazon": "access_key_id! secret_access_key! region! language_code!"
              " media_sample_rate_hz:int media_encoding",
    "ares": ".keywords:list",
    "assemblyai": "api_key! language! uri",
    "deepgram": "key! url model language keyterm smart_format:bool"
                " punctuation:bool",
    "fengming": "",
    "google": "project_id! location! adc_credentials_string! language! model",
    "microsoft": "key! region! language! phrase_list:list",
    "openai": "api_key! input_audio_transcription!:dict"
              " input_audio_transcription.model!"
              " input_audio_transcription.prompt!"
              " input_audio_transcription.language!",
    "sarvam": "api_key! language! model",
    "smallestai": "api_key! url language sample_rate:int encoding"
                  " eou_timeout_ms:int keywords max_words",
    "speechmatics": "api_key! language! uri",
    "tencent": "secret_id|key! secret_key|secret! app_id!"
               " engine_model_type! voice_id!",
    "xai": "api_key! base_url sample_rate:int language",
    "xfyun": "app_id! api_key! api_secret! language!",
    "xfyun_bigmodel": "app_id! api_key! api_secret! language_name!"
                      " language!",
    "xfyun_dialect": "app_id! access_key_id! access_key_secret! language!",
}

TTS = {
    None: "",
    "amazon": "aws_access_key_id! aws_secret_access_key! region_name! voice!"
              " engine!",
    "bytedance": "token! app_id! cluster! voice_type! speed_ratio:number"
                 " volume_ratio:number pitch_ratio:number emotion",
    "bytedance_duplex": "token! app_id! speaker!",
    "cartesia": "api_key! model_id! base_url voice!:dict voice.mode!"
                " voice.id! output_format:dict output_format.container"
                " output_format.sample_rate:number language",
    "cosyvoice": "api_key! model! voice! sample_rate:int",
    "deepgram": "api_key! model! base_url sample_rate:number",
    "elevenlabs": "base_url! key! model_id! voice_id! sample_rate:number"
                  " speed:number stability:number similarity_boost:number"
                  " style:number use_speaker_boost:bool"
                  " optimize_streaming_latency:int",
    "fishaudio": "api_key! reference_id! backend!",
    "generic_http": ".url! .headers:dict .headers.Authorization|api_key!"
                    " model voice speed:number sample_rate:int"
                    " response_format instructions enable_request_id:bool",
    "google": "credentials! VoiceSelectionParams!:dict"
              " VoiceSelectionParams.name! AudioConfig:dict"
              " AudioConfig.speaking_rate:number"
              " AudioConfig.sample_rate_hertz:int",
    "gradium": "api_key! url model_name voice_id sample_rate:number",
    "humeai": "key! voice_id! provider! base_url speed:number"
              " trailing_silence:number config_id",
    "microsoft": "key! region! voice_name! speed:number volume:number"
                 " sample_rate:int",
    # The Chinese form has no group_id, no url and perhaps no audio_setting.
    "minimax": "key! model! group_id url voice_setting:dict"
               " voice_setting.voice_id|timber_weights!"
               " audio_setting:dict audio_setting.sample_rate:number"
               " pronunciation_dict:dict language_boost",
    "mistral": "api_key! model voice",
    "murf": "api_key! base_url voiceId locale rate:number pitch:number model"
            " sample_rate:number",
    "openai": "api_key! base_url! model! voice! instructions speed:number",
    "rime": "api_key! speaker! modelId! base_url",
    "sarvam": "api_subscription_key! speaker! target_language_code!"
              " pitch:number pace:number loudness:number sample_rate:number",
    "smallestai": "api_key! url model voice_id sample_rate:int speed:number"
                  " language math_notation:bool pronunciation_dicts:list",
    "stepfun": "api_key! model! voice_id!",
    "tencent": "app_id! secret_id! secret_key! voice_type!:int volume:number"
               " speed:number emotion_category emotion_intensity:int",
    "typecast": "api_key! voice_id! model!",
    "xai": "api_key! language! voice_id sample_rate:int",
}

# An llm is known by its dialect; what only speaks one needs a url and no more.
LLM_STYLES = {
    "anthropic": ".api_key! .headers!:headers model! max_tokens!:int",
    "bedrock": ".region! .api_key|.access_key! .api_key|.secret_key!"
               " .headers:dict",
    "dify": ".api_key! model! .headers:dict",
    "gemini": "model! top_k:number max_output_tokens:int .headers:dict",
    "openai": ".headers:dict",
}
LLM_VENDORS = {
    None: "", "aliyun": "", "bytedance": "", "custom": "", "deepseek": "",
    "openai": "", "tencent": "",
    "azure": ".api_key! model!",
    "xai": ".api_key! model!",
}

_GOOGLE = "model! transcribe_agent:bool transcribe_user:bool "
MLLM = {
    "azure": ".api_key! .url! .turn_detection!:dict model",
    "gemini": _GOOGLE + ".api_key! affective_dialog:bool"
              " proactive_audio:bool http_options:dict",
    "openai": ".api_key! .url! model",
    None: ".api_key!",
    "qwen_omni": ".api_key! .url! model",
    # The page has the three in the block, the SDK in its params.
    "vertexai": _GOOGLE + ".project_id|project_id! .location|location!"
                " .adc_credentials_string|adc_credentials_string!",
    "xai": ".api_key! .url! .params!:dict language sample_rate:int",
}

_LIVEAVATAR = ("api_key! quality! agora_uid! avatar_id"
               " disable_idle_timeout:bool activity_idle_timeout:int")
AVATAR = {
    None: "",
    "akool": "api_key! avatar_id! agora_uid!",
    "anam": "api_key! avatar_id! agora_uid! sample_rate:number quality"
            " video_encoding",
    "generic": "api_key! api_base_url! avatar_id! agora_uid! agora_appid"
               " agora_channel",
    "heygen": _LIVEAVATAR,
    "liveavatar": _LIVEAVATAR,
    "sensetime": "app_key! agora_uid! appId sceneList:list",
    "spatius": "spatius_api_key! spatius_app_id! spatius_avatar_id!"
               " agora_uid! region sample_rate:int"
               " session_expire_minutes:int",
}
AVATAR_RATES = {"akool": 16000, "heygen": 24000, "liveavatar": 24000}
TTS_RATES = ("sample_rate", "output_format.sample_rate",
             "AudioConfig.sample_rate_hertz", "audio_setting.sample_rate")


COMMON = {
    "asr": ".language .params:dict",
    "llm": ".url! .api_key .max_history:int .greeting_message"
           " .failure_message .greeting_audio_url .greeting_configs:dict"
           " .input_modalities:list .output_modalities:list"
           " .template_variables:dict .mcp_servers:list .params:dict"
           " temperature:number top_p:number max_tokens:int",
    "tts": ".vendor! .params:dict .skip_patterns:list",
    "mllm": ".messages:list .params:dict .input_modalities:list"
            " .output_modalities:list .greeting_message .failure_message"
            " .max_history:int .turn_detection:dict voice instructions"
            " input_audio_transcription:dict",
    "avatar": ".vendor! .params!:dict agora_token",
}
VENDORS = {"asr": ASR, "llm": LLM_VENDORS, "tts": TTS, "mllm": MLLM,
           "avatar": AVATAR}


def line_of(kind, block):
    """The words about a block whose vendor and style are text or absent;
    None if nobody knows that vendor or style."""
    lines = [COMMON[kind], VENDORS[kind].get(block.get("vendor"))]
    if kind == "llm":
        lines.append(LLM_STYLES.get(block.get("style", "openai")))
    return None if None in lines else " ".join(lines)


def members(line):
    """(paths, type, required) of each word of a line."""
    for word in line.split():
        name, _, kind = word.partition(":")
        paths = [path[1:] if path.startswith(".") else f"params.{path}"
                 for path in name.rstrip("!").split("|")]
        yield paths, _TYPES[kind], name.endswith("!")


def at(block, path):
    """The member of a block at a path, ... if there is none."""
    for name in path.split("."):
        if not isinstance(block, dict) or name not in block:
            return ...
        block = block[name]
    return block


def tts_rate(tts):
    """The sample rate that a tts block states, or ... if it states none."""
    rates = [at(tts, f"params.{path}") for path in TTS_RATES]
    return next((rate for rate in rates if rate is not ...), ...)
