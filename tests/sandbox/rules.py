"""What the service accepts: the documentation's rules for a call's token and
for the join body, each as a function that raises Refused.

Stricter than is known of the real service where a rule costs an honest client
nothing: a duplicate JSON member or a foreign content type shows a fault here
rather than in production.
"""

import functools
import json

import accesstoken
import vendors

TOKEN_SECONDS_MAX = 86400
UID_MAX = 4294967295
IDLE_MAX = 259200
CHANNEL_MAX = 64
ACCOUNT_MAX = 255
CHANNEL_CHARACTERS = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    " !#$%&()+-:;<=.>?@[]^_{}|~,")
PRESETS = {
    "asr": ("deepgram_nova_2", "deepgram_nova_3"),
    "llm": ("openai_gpt_4o_mini", "openai_gpt_4_1_mini", "openai_gpt_5_nano",
            "openai_gpt_5_mini"),
    "tts": ("minimax_speech_2_6_turbo", "minimax_speech_2_8_turbo",
            "openai_tts_1"),
}


class Refused(Exception):
    """The call is refused with this status and {detail, reason}."""

    def __init__(self, status, reason, detail):
        super().__init__(detail)
        self.status = status
        self.answer = {"detail": detail, "reason": reason}


def _permission(status, detail):
    return Refused(status, "InvalidPermission", detail)


def _invalid(detail):
    return Refused(400, "InvalidFieldValue", detail)


# -- Tokens -----------------------------------------------------------------

# Each is looked at twice. Nobody changes what comes out.
_parsed = functools.lru_cache(1000)(accesstoken.parse)


def parsed_header(value):
    """The token of an Authorization header value. Raises Refused (401)."""
    if value is None:
        raise _permission(401, "Missing authorization header")
    scheme = "agora token="
    if not value.startswith(scheme):
        raise _permission(401, "Authorization is not 'agora token=...'")
    try:
        return _parsed(value[len(scheme):])
    except accesstoken.BadToken as error:
        raise _permission(401, f"token: {error}") from error


def check_token(token, app_id, certificate, now):
    """A token of this project that is good at ${now}."""
    if token.app_id != app_id:
        raise _permission(403, "token is of another app id")
    if not accesstoken.signed_by(token, certificate):
        raise _permission(401, "token has a wrong signature")
    if token.expire > TOKEN_SECONDS_MAX:
        raise _permission(401, "token lives for more than 86400 s")
    if token.ends() <= now:
        raise _permission(401, "token has expired")


def _check_privilege(token, service, privilege, what, now):
    if privilege not in service.privileges:
        raise _permission(403, f"token lacks the privilege {what}")
    if token.issue_ts + service.privileges[privilege] <= now:
        raise _permission(403, f"token's privilege {what} has expired")


def check_rtc(token, channel, uid, now):
    """RTC join for that channel and uid. An empty account is the layout's
    wildcard, and what uid "0" needs."""
    rtc = token.service(accesstoken.RTC)
    if rtc is None:
        raise _permission(403, "token needs the service RTC")
    if rtc.fields["channel"] != channel:
        raise _permission(403, "token is for another channel")
    if rtc.fields["account"] not in ("", uid):
        raise _permission(403, "token is for another RTC account")
    _check_privilege(token, rtc, accesstoken.RTC_JOIN, "RTC join", now)


def check_grants(token, channel, uid, now):
    """As check_rtc(), and RTM login for the uid."""
    check_rtc(token, channel, uid, now)
    rtm = token.service(accesstoken.RTM)
    if rtm is None:
        raise _permission(403, "token needs the service RTM")
    if rtm.fields["user_id"] != uid and uid != "0":
        raise _permission(403, "token is for another RTM user")
    _check_privilege(token, rtm, accesstoken.RTM_LOGIN, "RTM login", now)


def parsed_body_token(text, path="properties.token"):
    """A token in a join body. Raises Refused (403)."""
    try:
        return _parsed(text)
    except accesstoken.BadToken as error:
        raise _permission(403, f"{path}: {error}") from error


# -- The join body ----------------------------------------------------------

def _no_duplicates(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def parsed_json(content_type, body):
    """The JSON object of a request. Raises Refused (400)."""
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(400, "InvalidRequestBody",
                      "content type is not application/json")
    try:
        value = json.loads(body.decode("utf-8"),
                           object_pairs_hook=_no_duplicates,
                           parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "InvalidRequestBody",
                      f"body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refused(400, "InvalidRequestBody", "body is not a JSON object")
    return value


def _typed(value, kind):
    """isinstance, but true is not a number."""
    if kind in (int, vendors.NUMBER) and isinstance(value, bool):
        return False
    return isinstance(value, kind)


def _member(owner, path, kind, required=False):
    """The member at the end of the dotted path, of that type, or None."""
    name = path.rpartition(".")[2]
    if name not in owner:
        if required:
            raise Refused(400, "MissingRequiredField", f"{path} is required")
        return None
    if not _typed(owner[name], kind):
        raise _invalid(f"{path} has the wrong type")
    return owner[name]


def _required_text(owner, path):
    text = _member(owner, path, str, required=True)
    if text == "":
        raise _invalid(f"{path} is empty")
    return text


def _check_channel(channel):
    if not set(channel) <= CHANNEL_CHARACTERS:
        raise _invalid("properties.channel has a character not allowed")
    if len(channel) > CHANNEL_MAX:
        raise _invalid("properties.channel is too long")


def _check_uid(uid, path, strings):
    """A decimal uid, or with ${strings} any legal account."""
    if strings:
        if len(uid) > ACCOUNT_MAX or not set(uid) <= CHANNEL_CHARACTERS:
            raise _invalid(f"{path} is not a user account")
    elif not (uid.isascii() and uid.isdecimal()
              and len(uid) <= len(str(UID_MAX)) and int(uid) <= UID_MAX):
        raise _invalid(f"{path} is not a number up to {UID_MAX}")


def _check_remotes(properties, agent_uid, strings):
    path = "properties.remote_rtc_uids"
    remotes = _member(properties, path, list, required=True)
    if len(remotes) != 1 or not isinstance(remotes[0], str) or not remotes[0]:
        raise _invalid(f"{path} is not a list of one user id")
    if remotes[0] == "*":
        return
    _check_uid(remotes[0], path, strings)
    if remotes[0] == agent_uid:
        raise _invalid(f"{path} names the agent itself")


def _check_options(properties):
    """Types and ranges of what may stand beside the required members."""
    idle = _member(properties, "properties.idle_timeout", int)
    if idle is not None and not 0 <= idle <= IDLE_MAX:
        raise _invalid(f"properties.idle_timeout is not in 0..{IDLE_MAX}")
    features = _member(properties, "properties.advanced_features", dict) or {}
    for name in features:
        _member(features, f"properties.advanced_features.{name}", bool)
    parameters = _member(properties, "properties.parameters", dict) or {}
    where = "properties.parameters."
    data_channel = _member(parameters, where + "data_channel", str)
    if data_channel not in (None, "datastream", "rtm"):
        raise _invalid(where + "data_channel is unknown")
    if data_channel == "rtm" and not features.get("enable_rtm"):
        raise _invalid(where + "data_channel rtm needs enable_rtm")
    for name in ("enable_metrics", "enable_error_message"):
        _member(parameters, where + name, bool)


def _preset_categories(body):
    """The categories that the preset covers. null is sent by some SDKs."""
    preset = body.get("preset")
    if preset is None:
        return set()
    if not isinstance(preset, str):
        raise _invalid("preset has the wrong type")
    covered = set()
    for name in preset.split(","):
        category = next((c for c in PRESETS if name in PRESETS[c]), None)
        if category is None:
            raise _invalid(f"preset {name!r} is unknown")
        covered.add(category)
    return covered


def _check_models(body, properties):
    """Every model comes from the preset, is managed, or brings what it
    needs. With an mllm the three others are ignored; asr has a default."""
    covered = _preset_categories(body)
    mllm = _member(properties, "properties.mllm", dict) or {}
    if _member(mllm, "properties.mllm.enable", bool):
        _check_block(mllm, "mllm", True)
        return
    for name in ("asr", "llm", "tts"):
        ours = name not in covered
        block = _member(properties, f"properties.{name}", dict,
                        required=ours and name != "asr")
        if block is not None:
            managed = block.get("credential_mode") == "managed"
            _check_block(block, name, ours and not managed)
    _check_messages(properties.get("llm", {}))


def _check_block(block, kind, required):
    """What the vendor's page says; with ${required} all that it needs."""
    where = f"properties.{kind}"
    _member(block, f"{where}.vendor", str)
    _member(block, f"{where}.style", str)
    line = vendors.line_of(kind, block)
    if line is None:
        raise _invalid(f"{where}: vendor or style is unknown")
    for paths, types, needed in vendors.members(line):
        found = [(path, vendors.at(block, path)) for path in paths]
        found = [(path, value) for path, value in found if value is not ...]
        for path, value in found:
            if not _typed(value, types):
                raise _invalid(f"{where}.{path} has the wrong type")
            if needed and value == "":
                raise _invalid(f"{where}.{path} is empty")
        if needed and required and not found:
            raise Refused(400, "MissingRequiredField",
                          f"{where}.{' or '.join(paths)} is required")


def _check_messages(llm):
    """The url, and the messages in the form of OpenAI or of Gemini."""
    if not llm.get("url", "http://").startswith(("https://", "http://")):
        raise _invalid("properties.llm.url is not a URL")
    path = "properties.llm.system_messages"
    for message in _member(llm, path, list) or []:
        if not (isinstance(message, dict)
                and isinstance(message.get("role"), str)
                and (isinstance(message.get("content"), str)
                     or isinstance(message.get("parts"), list))):
            raise _invalid(f"{path} is malformed")


def _check_avatar(properties, uid):
    """The avatar is a participant of its own, and hears the voice at a rate
    of its own."""
    where = "properties.avatar"
    avatar = _member(properties, where, dict) or {}
    if not _member(avatar, f"{where}.enable", bool):
        return
    _check_block(avatar, "avatar", True)
    own = avatar["params"]["agora_uid"]
    _check_uid(own, f"{where}.params.agora_uid", False)
    if own in (uid, *properties["remote_rtc_uids"]):
        raise _invalid(f"{where}.params.agora_uid is somebody else's")
    wanted = vendors.AVATAR_RATES.get(avatar["vendor"])
    rate = vendors.tts_rate(properties.get("tts", {}))
    if wanted is not None and rate not in (wanted, ...):
        raise _invalid(f"{where}: the voice is not at {wanted} Hz")


def avatar_of(properties):
    """The params of a checked body's enabled avatar, or None."""
    avatar = properties.get("avatar", {})
    return avatar["params"] if avatar.get("enable") else None


def check_join_body(body):
    """Everything about a join body that needs no token. The answer is its
    properties."""
    _required_text(body, "name")
    properties = _member(body, "properties", dict, required=True)
    _check_channel(_required_text(properties, "properties.channel"))
    _required_text(properties, "properties.token")
    uid = _required_text(properties, "properties.agent_rtc_uid")
    strings = bool(_member(properties, "properties.enable_string_uid", bool))
    _check_uid(uid, "properties.agent_rtc_uid", strings)
    _check_remotes(properties, uid, strings)
    _check_options(properties)
    if body.get("pipeline_id") is None:
        _check_models(body, properties)
    _check_avatar(properties, uid)
    return properties
