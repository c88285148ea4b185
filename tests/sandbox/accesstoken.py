"""AccessToken2 ("007") tokens: read, verify, build.

Written from the published layout alone, so that the sandbox is a second
opinion about the tokens of the C code and shares none of its mistakes.

    token        = "007" base64(zlib(string(signature) signing_info))
    string(s)    = u16 length, bytes                       (little endian)
    signing_info = string(app_id) u32 issue_ts u32 expire u32 salt
                   u16 count, count * service
    service      = u16 type, u16 count, count * (u16 privilege, u32 seconds),
                   fields of the type
"""

import base64
import binascii
import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass, field

RTC, RTM, STREAMING, FPA, CHAT, FCDN, APAAS, RTM2 = range(1, 9)
RTC_JOIN = 1
RTM_LOGIN = 1
RTC_PUBLISHER = (1, 2, 3, 4)
INFLATED_MAX = 65536  # bytes; the layout's strings cannot need more here

# What follows the privileges of a service, in order ("s" string, "h" i16).
FIELDS = {
    RTC: (("channel", "s"), ("account", "s")),
    RTM: (("user_id", "s"),),
    STREAMING: (("channel", "s"), ("account", "s")),
    FPA: (),
    CHAT: (("user_id", "s"),),
    FCDN: (("channel", "s"), ("account", "s")),
    APAAS: (("room_uuid", "s"), ("user_uuid", "s"), ("role", "h")),
}


class BadToken(ValueError):
    """The text is not a token; the message says at which step."""


@dataclass
class Service:
    """One service of a token: privileges in seconds after issue_ts."""

    type: int
    privileges: dict
    fields: dict

    def claims(self):
        """As plain data for the ledger."""
        return {"type": self.type, "privileges": self.privileges,
                **self.fields}


@dataclass
class Token:
    """A token taken apart; signed is what the signature covers."""

    signature: bytes
    signed: bytes
    app_id: str
    issue_ts: int
    expire: int
    salt: int
    services: list = field(default_factory=list)

    def service(self, wanted):
        """The first service of that type, or None."""
        for service in self.services:
            if service.type == wanted:
                return service
        return None

    def ends(self):
        """The first second at which the token is no longer good."""
        return self.issue_ts + self.expire

    def claims(self):
        """As plain data for the ledger, without signature and salt: what
        is shown there can never be used as a token."""
        return {"app_id": self.app_id, "issue_ts": self.issue_ts,
                "expire": self.expire,
                "services": [s.claims() for s in self.services]}


class Reader:
    """Takes fields off the front of a payload."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, form):
        """One little-endian number in struct's notation."""
        size = struct.calcsize("<" + form)
        if self.at + size > len(self.data):
            raise BadToken("payload ends inside a number")
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += size
        return value

    def string(self):
        """A u16 length and that many bytes."""
        size = self.number("H")
        if self.at + size > len(self.data):
            raise BadToken("payload ends inside a string")
        self.at += size
        return self.data[self.at - size:self.at]

    def text(self):
        """A string that must be UTF-8."""
        try:
            return self.string().decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadToken("string is not UTF-8") from error

    def numbered(self, read):
        """u16 count, then that many (u16 key, read())."""
        count = self.number("H")
        return {self.number("H"): read() for _ in range(count)}


def _permissions(reader):
    """RTM2: resource -> permission -> names."""
    def names():
        return [reader.text() for _ in range(reader.number("H"))]
    return reader.numbered(lambda: reader.numbered(names))


def _service(reader):
    """The next service, or None when its type, so its length, is unknown."""
    kind = reader.number("H")
    if kind not in FIELDS and kind != RTM2:
        return None
    privileges = reader.numbered(lambda: reader.number("I"))
    if kind == RTM2:
        values = {"user_id": reader.text(),
                  "permissions": _permissions(reader)}
    else:
        values = {name: reader.text() if form == "s" else reader.number(form)
                  for name, form in FIELDS[kind]}
    return Service(kind, privileges, values)


def _inflate(text):
    """From the token's text to its payload, with a ceiling."""
    if not text.startswith("007"):
        raise BadToken("does not start with 007")
    try:
        packed = base64.b64decode(text[3:], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken(f"base64: {error}") from error
    stream = zlib.decompressobj()
    try:
        payload = stream.decompress(packed, INFLATED_MAX)
    except zlib.error as error:
        raise BadToken(f"zlib: {error}") from error
    if stream.unconsumed_tail:
        raise BadToken("inflates to too much")
    return payload


def parse(text):
    """Takes a token apart without judging it. Raises BadToken."""
    outer = Reader(_inflate(text))
    signature = outer.string()
    signed = outer.data[outer.at:]
    reader = Reader(signed)
    token = Token(signature, signed, reader.text(), reader.number("I"),
                  reader.number("I"), reader.number("I"))
    for _ in range(reader.number("H")):
        service = _service(reader)
        if service is None:
            break
        token.services.append(service)
    return token


def _hmac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def sign(signed, certificate, issue_ts, salt):
    """The signature over the signing info."""
    first = _hmac(struct.pack("<I", issue_ts), certificate.encode("ascii"))
    return _hmac(_hmac(struct.pack("<I", salt), first), signed)


def signed_by(token, certificate):
    """Whether the holder of the certificate made this token."""
    expected = sign(token.signed, certificate, token.issue_ts, token.salt)
    return hmac.compare_digest(expected, token.signature)


def _pack_string(data):
    return struct.pack("<H", len(data)) + data


def _pack_service(service):
    out = struct.pack("<HH", service.type, len(service.privileges))
    for privilege, seconds in sorted(service.privileges.items()):
        out += struct.pack("<HI", privilege, seconds)
    for name, form in FIELDS[service.type]:
        value = service.fields[name]
        out += (_pack_string(value.encode("utf-8")) if form == "s"
                else struct.pack("<" + form, value))
    return out


def build(app_id, certificate, services, *, issue_ts, expire, salt):
    """A token of any services but RTM2. For tests."""
    signed = _pack_string(app_id.encode("ascii"))
    signed += struct.pack("<IIIH", issue_ts, expire, salt, len(services))
    signed += b"".join(_pack_service(service) for service in services)
    signature = sign(signed, certificate, issue_ts, salt)
    packed = zlib.compress(_pack_string(signature) + signed)
    return "007" + base64.b64encode(packed).decode("ascii")


def rtc_rtm(channel, account, seconds, user_id=None):
    """The two services of every token that this project makes."""
    return [
        Service(RTC, dict.fromkeys(RTC_PUBLISHER, seconds),
                {"channel": channel, "account": account}),
        Service(RTM, {RTM_LOGIN: seconds},
                {"user_id": account if user_id is None else user_id}),
    ]
