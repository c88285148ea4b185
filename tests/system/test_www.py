"""The try-it page and the page about the API, as files and as the shipped
configuration serves them. test_www_browser.py uses them."""

import json
import re

import pytest

import servers
from processes import WRAPPED
from transports import Http

pytestmark = pytest.mark.skipif(WRAPPED, reason="no program of ours runs")

WWW = servers.DEPLOY / "www"
HTML = sorted(WWW.glob("*.html"))


class Pages:
    """A web server that serves them, or not; the programs do not run."""

    def __init__(self, folder, kind, shown=True, replace=()):
        how = {"pages": servers.copy_pages(folder) if shown else None,
               "replace": replace,
               "allow": (servers.FORBIDDEN, "directory index of")}
        if kind == "nginx":
            self.server = servers.Nginx(folder, **how)
        else:
            self.server = servers.Apache(folder, kind, **how)
        self.http = Http(kind, self.server)

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind:
            self.server.expect("")
        self.server.stop()

    def get(self, path):
        """The answer to a GET."""
        return self.http.request("GET", path)


KINDS = pytest.mark.parametrize("kind", ["nginx", "proxy-fcgi", "fcgid"])
ONLY_HERE = {"nginx": ("nginx/snippets/agora-agent/www.conf",
                       "allow 127.0.0.1;", "allow 192.0.2.1;"),
             "proxy-fcgi": ("apache/agora-agent-www.conf", "Require local",
                            "Require ip 192.0.2.1")}
ONLY_HERE["fcgid"] = ONLY_HERE["proxy-fcgi"]


@KINDS
def test_they_are_served_where_they_are_wanted(folder, kind):
    """At their address, with their types and a policy; nothing else is."""
    with Pages(folder, kind) as pages:
        location = pages.get("/agora-agent").header("Location")
        assert location.endswith("/agora-agent/")
        if kind == "nginx":  # TLS may end elsewhere
            assert location == "/agora-agent/"
        for path, media_type, word in (
                ("", "text/html", b"Try your voice agent"),
                ("api.html", "text/html", b"api.js"),
                ("openapi.json", "application/json", b'"openapi"'),
                ("try.js", "javascript", b"use strict"),
                ("style.css", "text/css", b"body"),
                ("icon.svg", "image/svg+xml", b"<svg")):
            answer = pages.get("/agora-agent/" + path)
            assert answer.status == 200 and word in answer.body, path
            assert media_type in answer.header("Content-Type")
            policy = answer.header("Content-Security-Policy")
            assert policy.startswith("default-src 'self';")
            assert "script-src 'self' 'wasm-unsafe-eval';" in policy
            assert answer.header("X-Content-Type-Options") == "nosniff"
            assert answer.header("Cache-Control") == "no-cache"
        for path in ("/", "/agora-agent/vendor/AgoraRTC_N.js",
                     "/agora-agent/vendor/", "/agora-agentx",
                     "/agora-agent/../run/x"):
            assert pages.get(path).status in (400, 403, 404), path


@KINDS
def test_they_are_nobodys_by_default(folder, kind):
    """The shipped site does not have them."""
    with Pages(folder, kind, shown=False) as pages:
        assert pages.get("/agora-agent/").status == 404
        assert pages.get("/agora-agent/openapi.json").status == 404


@KINDS
def test_they_are_for_those_who_are_listed(folder, kind):
    """As shipped for this machine; here it is taken off the list."""
    with Pages(folder, kind, replace=[ONLY_HERE[kind]]) as pages:
        answer = pages.get("/agora-agent/")
        assert answer.status == 403
        assert answer.json["detail"]


def test_both_servers_have_the_same_policy():
    """In one wording."""
    texts = [(servers.DEPLOY / name).read_text(encoding="utf-8") for name in (
        "nginx/snippets/agora-agent/www.conf", "apache/agora-agent-www.conf")]
    policies = [re.search(r'Content-Security-Policy "([^"]+)"', text)[1]
                for text in texts]
    assert policies[0] == policies[1]


@pytest.mark.parametrize("page", HTML, ids=lambda page: page.name)
def test_nothing_is_inline_or_from_elsewhere(page):
    """What default-src 'self' would refuse; and all files are there."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"),
                  flags=re.S)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert not re.search(r"<script[^>]*>[^<]", text)
    found = re.findall(r'\b(?:src|href)="([^"]*)"', text)
    assert len(found) > 3
    for name in found:
        assert name.startswith("vendor/") or (WWW / name).is_file(), name


def test_scripts_make_no_markup_out_of_text():
    """What an agent or a server says stays text."""
    for script in WWW.glob("*.js"):
        assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval",
                             script.read_text(encoding="utf-8")), script


def test_the_page_sends_what_the_api_takes():
    """Addresses and members of the script are those of openapi.json."""
    script = (WWW / "try.js").read_text(encoding="utf-8")
    api = json.loads((WWW / "openapi.json").read_text(encoding="utf-8"))
    for path in re.findall(r'"(v2/\w+)"|`(get_config)\?', script):
        assert "/" + "".join(path) in api["paths"]
    schemas = api["components"]["schemas"]
    for name in ("channelName", "rtcUid", "userUid", "profile", "parameters"):
        assert name in script
        assert name in schemas["StartRequest"]["properties"]
    for name in ("agentId", "channelName"):
        assert name in script
        assert name in schemas["StopRequest"]["properties"]
