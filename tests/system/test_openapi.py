"""deploy/www/openapi.json: it is sound, says what the programs do, and every
answer of the tests is held against it."""

import re

import pytest
from jsonschema import Draft202012Validator

from openapi import API, Description, addresses, expand, prefixes
from processes import ROOT
from transports import ROUTES, Answer, parse_cgi

DOCUMENT = API.document
OPERATIONS = [(method, path, operation)
              for path, item in DOCUMENT["paths"].items()
              for method, operation in item.items()]
MONITORING = [(path, operation) for _, path, operation in OPERATIONS
              if "monitoring" in operation["tags"]]


def nodes(node):
    """The node and all below it that are objects."""
    if isinstance(node, dict):
        yield node
    for child in (node.values() if isinstance(node, dict) else node):
        if isinstance(child, (dict, list)):
            yield from nodes(child)


def test_it_is_openapi_3_1():
    """What needs no schema of OpenAPI's own: every reference leads
    somewhere, every schema is one, all names are different."""
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["jsonSchemaDialect"] == Draft202012Validator.META_SCHEMA[
        "$id"]
    whole = expand(DOCUMENT, DOCUMENT)
    schemas = [node["schema"] for node in nodes(whole) if "schema" in node]
    schemas += whole["components"]["schemas"].values()
    assert len(schemas) > 20
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    names = set(DOCUMENT["components"]["securitySchemes"])
    assert {name for _, _, operation in OPERATIONS
            for choice in operation["security"] for name in choice} == names


def test_its_version_is_ours():
    """That of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"^VERSION = (\S+)$", makefile, re.M)[1]
    assert DOCUMENT["info"]["version"] == version


def test_it_has_every_route():
    """With each of its servers; those of one program are described alike."""
    routes = [(method, path, operation)
              for method, path, operation in OPERATIONS
              if (path, operation) not in MONITORING]
    assert {prefix + path for prefix in prefixes(DOCUMENT["servers"])
            for _, path, _ in routes} == set(ROUTES)
    alike = {}
    for method, path, operation in routes:
        assert method == ("get" if "config" in path else "post")
        alike.setdefault(ROUTES[path], []).append(
            {name: value for name, value in operation.items()
             if name not in ("operationId", "summary", "description")})
    assert set(alike) == {"get_config", "start_agent", "stop_agent"}
    for operations in alike.values():
        assert all(operation == operations[0] for operation in operations)


def test_it_has_what_monitoring_asks():
    """Each address of nginx's file, at the site's root only."""
    text = (ROOT / "deploy/nginx/snippets/agora-agent/health.conf").read_text(
        encoding="utf-8")
    assert MONITORING
    assert {prefix + address for path, operation in MONITORING
            for prefix in prefixes(operation["servers"])
            for address in addresses(path, expand(DOCUMENT, operation))} == (
        set(re.findall(r"^location = (\S+)", text, re.M)))


def test_it_has_every_status_of_the_programs():
    """With the words that belong to it (fcgi/answer.c)."""
    text = (ROOT / "fcgi/answer.c").read_text(encoding="utf-8")
    table = re.findall(r'\{ FAIL_\w+, (\d+), "[^"]*",\s+"([^"]*)" \}', text)
    assert len(table) > 12
    known = {int(status): [response.body for response in responses]
             for status, responses in API.known.items() if status != "default"}
    for status, msg in table:
        if status in ("200", "499"):  # not an error; read by nobody
            continue
        body = {"code": int(status), "msg": msg, "detail": "Because."}
        assert any(schema.is_valid(body) for schema in known[int(status)]), msg


def test_its_examples_are_right():
    """Each is what its own schema wants."""
    looked = 0
    for node in nodes(expand(DOCUMENT, DOCUMENT)):
        examples = list(node.get("examples", {}).values()) if isinstance(
            node.get("examples"), dict) else []
        examples = [example["value"] for example in examples]
        if "example" in node:
            examples.append(node["example"])
        if "schema" in node:
            schema = Draft202012Validator(node["schema"])
        else:
            examples, schema = node.get("examples", []), Draft202012Validator(
                node)
        for example in examples if isinstance(examples, list) else []:
            assert not list(schema.iter_errors(example)), example
            looked += 1
    assert looked > 20


GOOD = (b'{"code":0,"msg":"success","data":{"agent_id":"A1","channel_name":'
        b'"c","status":"started"}}')
REFUSED = (b'{"code":400,"msg":"invalid request","detail":"No.",'
           b'"request_id":"1"}')
HEADERS = [("Content-Type", "application/json"), ("X-Request-Id", "1"),
           ("Cache-Control", "no-store")]


def answered(status, body, headers=HEADERS, path="/v2/startAgent"):
    """What is noted about such an answer."""
    API.answer("POST", path, API.shape(Answer(status, headers, body)))
    return API.take()


def test_good_answers_are_not_noted():
    """Neither by their own nor by another address."""
    assert not answered(200, GOOD)
    assert not answered(200, GOOD, path="/api/startAgent")
    assert not answered(400, REFUSED)
    assert not answered(200, b"<p>a page</p>", [("Content-Type", "text/html")])


@pytest.mark.parametrize("status, body", [
    (200, GOOD.replace(b'"started"', b'"starting"')),
    (200, GOOD.replace(b'"A1"', b'""')),
    (200, GOOD.replace(b'"A1"', b"1")),
    (200, GOOD.replace(b'"agent_id":"A1",', b"")),
    (200, GOOD.replace(b'"data"', b'"more":1,"data"')),
    (200, GOOD.replace(b'"agent_id"', b'"more":1,"agent_id"')),
    (200, b'{"code":0,"msg":"success"}'),
    (200, REFUSED),
    (200, b'{"message":"hello"}'),
    (400, GOOD),
    (400, REFUSED.replace(b"400", b"401")),
    (400, REFUSED.replace(b'"No."', b'["No."]')),
    (400, REFUSED.replace(b'"detail":"No.",', b"")),
    (400, REFUSED.replace(b"invalid request", b"internal error")),
    (400, REFUSED.replace(b'"request_id"', b'"upstream":{},"request_id"')),
    (409, REFUSED.replace(b"400", b"409")),
    (422, b'{"detail":[{"msg":"field required"}]}'),
])
def test_a_wrong_answer_is_noted(status, body):
    """Each differs in one thing from a good one."""
    assert answered(status, body)


@pytest.mark.parametrize("headers", [
    HEADERS[:2], [HEADERS[0], HEADERS[2]],
    [*HEADERS[:2], ("Cache-Control", "max-age=60")]])
def test_a_wrong_header_is_noted(headers):
    """What is promised of every success."""
    assert answered(200, GOOD, headers)


def test_an_answer_of_another_address_is_noted():
    """A start that answers like a stop does not pass as one."""
    assert answered(200, GOOD, path="/v2/stopAgent")
    assert not answered(200, b'{"code":0,"msg":"success"}',
                        path="/v2/stopAgent")


def judged(path, status, media, body):
    """Whether such an answer to a GET passes."""
    API.answer("GET", path, API.shape(Answer(
        status, [("Content-Type", media), *HEADERS[1:]], body)))
    return not API.take()


@pytest.mark.parametrize("path, media, body, fits", [
    ("/healthz", "application/json", b'{"status":"ok"}', True),
    ("/healthz/stop_agent", "application/json", b'{"status":"well"}', False),
    ("/readyz", "application/json", b'{"status":"ready"}', True),
    ("/readyz", "application/json", b'{"status":"not ready"}', False),
    ("/api/readyz", "application/json", b'{"status":"not ready"}', True),
    ("/metrics/get_config", "text/plain; version=0.0.4",
     b"# HELP agora_agent_build_info The version.\n", True),
    ("/metrics/get_config", "text/plain", b"nothing", False),
    ("/metrics/get_config", "application/json", b'{"status":"ok"}', False)])
def test_answers_to_monitoring_are_judged(path, media, body, fits):
    """Also those that are no JSON; below /api there are none."""
    assert judged(path, 200, media, body) is fits


@pytest.mark.parametrize("body, fits", [
    (b'{"status":"not ready","reason":"Because."}', True),
    (b'{"status":"not ready"}', False),
    (b'{"status":"ready"}', False),
    (REFUSED.replace(b"400", b"503").replace(b"invalid request",
                                             b"service unavailable"), True)])
def test_a_503_has_a_reason(body, fits):
    """The program's, or the web server's."""
    assert judged("/readyz", 503, "application/json", body) is fits


def test_an_answer_without_its_request_is_noted():
    """Where only what came back is known, its shape still counts."""
    head = b"Status: 400 Bad Request\r\nContent-Type: application/json\r\n\r\n"
    parse_cgi(head + REFUSED)
    assert not API.take()
    parse_cgi(head + REFUSED.replace(b'"detail":"No.",', b""))
    assert API.take()


@pytest.mark.parametrize("kind", ["cgi", "fastcgi", "nginx"])
def test_answers_of_a_transport_are_judged(rig, kind, monkeypatch):
    """A description that wants something else makes a test fail."""
    transport = rig.transport(kind)
    looked = API.looked
    transport.request("GET", "/get_config")
    assert API.looked == looked + 1 and not API.take()
    other = Description({**DOCUMENT, "paths": {"/get_config": {
        "get": DOCUMENT["paths"]["/v2/stopAgent"]["post"]}}})
    monkeypatch.setattr("transports.API", other)
    transport.request("GET", "/get_config")
    assert len(other.take()) == 2  # shape and operation
