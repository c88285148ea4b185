"""The sandbox's own token code against Agora's published test tokens."""

import base64
import json
import os
import zlib

import pytest

import accesstoken

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                       "vectors", "token-vectors.json")
with open(VECTORS, encoding="utf-8") as file:
    OFFICIAL = json.load(file)
SIGNED = [v for v in OFFICIAL["vectors"] if v["app_cert"]]
APP_ID = "970CA35de60c44645bbae8a215061b33"
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"


def _expected_fields(service):
    """The fields of a vector's service, in the parser's types."""
    fields = {name: value for name, value in service.items()
              if name not in ("type", "name", "privileges")}
    if "permissions" in fields:
        fields["permissions"] = {
            int(resource): {int(p): names for p, names in kinds.items()}
            for resource, kinds in fields["permissions"].items()}
    return fields


@pytest.mark.parametrize("vector", OFFICIAL["vectors"],
                         ids=lambda v: v["token"][-12:])
def test_parses_official_token(vector):
    token = accesstoken.parse(vector["token"])
    assert (token.app_id, token.issue_ts, token.expire, token.salt) == (
        vector["app_id"], vector["issue_ts"], vector["expire"],
        vector["salt"])
    assert token.signature.hex() == vector["signature"]
    assert len(token.services) == len(vector["services"])
    for service, expected in zip(token.services, vector["services"]):
        assert service.type == expected["type"]
        assert service.privileges == {
            int(k): v for k, v in expected["privileges"].items()}
        assert service.fields == _expected_fields(expected)


@pytest.mark.parametrize("vector", SIGNED, ids=lambda v: v["token"][-12:])
def test_verifies_official_signature(vector):
    token = accesstoken.parse(vector["token"])
    assert accesstoken.signed_by(token, vector["app_cert"])
    assert not accesstoken.signed_by(token, vector["app_cert"].lower())
    token.signed = token.signed[:-1] + bytes([token.signed[-1] ^ 1])
    assert not accesstoken.signed_by(token, vector["app_cert"])


def test_enough_official_tokens():
    """The two tests above say nothing about an empty list."""
    assert len(OFFICIAL["vectors"]) >= 35 and len(SIGNED) >= 34


@pytest.mark.parametrize(
    "text", sorted({n["literal"] for n in OFFICIAL["not_tokens"]} | {
        "", "006abc", "007====", "007eJx\u20ac"}))
def test_refuses_what_is_no_token(text):
    with pytest.raises(accesstoken.BadToken):
        accesstoken.parse(text)


def test_refuses_a_bomb():
    packed = base64.b64encode(zlib.compress(bytes(1 << 22))).decode()
    with pytest.raises(accesstoken.BadToken, match="too much"):
        accesstoken.parse("007" + packed)


def test_builds_the_official_payload():
    """Compared after inflating: zlib builds differ in their bytes."""
    vector = OFFICIAL["vectors"][0]
    service = accesstoken.Service(
        accesstoken.RTC, {1: 600},
        {"channel": vector["services"][0]["channel"],
         "account": vector["services"][0]["account"]})
    text = accesstoken.build(vector["app_id"], vector["app_cert"], [service],
                             issue_ts=vector["issue_ts"],
                             expire=vector["expire"], salt=vector["salt"])
    token = accesstoken.parse(text)
    assert (b"\x20\x00" + token.signature + token.signed).hex() == (
        vector["payload_hex"])


def test_unknown_service_ends_the_list():
    """As the official parser: its length is unknown, the rest is unread."""
    text = accesstoken.build(
        APP_ID, CERTIFICATE, accesstoken.rtc_rtm("c", "1", 60),
        issue_ts=1, expire=60, salt=1)
    signed = bytearray(accesstoken.parse(text).signed)
    at = signed.rindex(b"\x02\x00\x01\x00\x01\x00")
    signed[at] = 99
    reader = accesstoken.Reader(bytes(signed[at:]))
    assert accesstoken._service(reader) is None


def test_claims_show_no_secret():
    text = accesstoken.build(
        APP_ID, CERTIFICATE, accesstoken.rtc_rtm("c", "1", 60),
        issue_ts=1, expire=60, salt=4242424242)
    shown = json.dumps(accesstoken.parse(text).claims())
    assert "4242424242" not in shown and "signature" not in shown
