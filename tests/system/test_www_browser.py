"""The try-it page in Chromium, through nginx, with the programs and the
sandbox. Agora's SDKs, which need the outside network, are doubles (www/);
the microphone is the browser's, which beeps.

"make test-browser" runs these, as does "make test" with SLOW_TESTS=1.
"""

import json
import os
import shutil
import tempfile

import pytest

import accesstoken
import servers
from browser import PROGRAM, Browser
from processes import PATIENCE, ROOT, WRAPPED, wait_until
from starts import Site
from upstream import APP_ID

WANTED = os.environ.get("BROWSER_TESTS") or os.environ.get("SLOW_TESTS")
pytestmark = pytest.mark.skipif(
    WRAPPED or not WANTED, reason="make test-browser, or SLOW_TESTS=1, runs "
    "it")

PAGE = "/agora-agent/"
SDKS = ("AgoraRTC_N.js", "agora-rtm.js")
# The pages themselves need no more than this; the shipped policy has more for
# Agora's SDKs.
STRICT = ("nginx/snippets/agora-agent/www.conf",
          servers.shipped("nginx/snippets/agora-agent/www.conf").partition(
              'Content-Security-Policy "')[2].partition('"')[0],
          "default-src 'self'")
# Timers a hundred times as fast, for what takes minutes.
FAST = ("const slow = window.setTimeout; window.setTimeout ="
        "(f, ms, ...more) => slow(f, ms / 100, ...more);")
PICTURES = os.environ.get("PICTURES")  # a folder to save what is seen in


@pytest.fixture(scope="module", name="browser")
def one_browser():
    """One for all tests; each opens tabs of its own."""
    assert PROGRAM, "chromium is not installed"
    with tempfile.TemporaryDirectory(prefix="agora-browser-") as folder:
        with Browser(folder) as browser:
            yield browser


@pytest.fixture(autouse=True)
def fresh_sandbox(upstream):
    """No test finds agents or faults of another."""
    upstream.sandbox.reset()
    yield
    upstream.sandbox.reset()


class Visit:
    """The page, opened."""

    def __init__(self, browser, site, path=PAGE, **how):
        """${how} is for Browser.open()."""
        self.sandbox = site.rig.upstream.sandbox
        self.page = browser.open(
            f"http://localhost:{site.server.port}{path}", **how)

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        try:
            if kind:
                self.picture("failed")
        finally:
            self.page.__exit__()

    def picture(self, name):
        """For people, when PICTURES is set."""
        if PICTURES:
            self.page.picture(os.path.join(PICTURES, name + ".png"))

    def state(self, *states):
        """Waits until the state is one of these; returns its text."""
        self.page.wait(f"{json.dumps(states)}.includes("
                       "document.getElementById('state').dataset.state)")
        return self.page.text("state")

    def start(self):
        """A click on Start, and all that follows."""
        self.page.click("start")
        self.state("running")

    def stop(self):
        """The same for Stop."""
        self.page.click("stop")
        assert self.state("idle") == "Stopped"

    def fact(self, name):
        """Of those below "Session and calls", which may be folded."""
        return self.page.value(
            f"document.getElementById('{name}').textContent")

    def calls(self, name):
        """What the page made the doubles do under that name."""
        calls = self.page.value("agoraDouble.calls")
        return [call[1:] for call in calls if call[0] == name]

    def names(self):
        """The same, in the order of doing."""
        return [call[0] for call in self.page.value("agoraDouble.calls")]

    def event(self, sdk, name, *arguments):
        """Has a double report something to the page."""
        self.page.value(f"agoraDouble.{sdk}.at(-1).listeners[{name!r}]("
                        + ",".join(map(json.dumps, arguments)) + ")")

    def message(self, **said):
        """What the agent sends over RTM."""
        self.event("rtms", "message", {"message": json.dumps(said),
                                       "publisher": self.fact("agent-uid")})

    def said(self):
        """The transcript as who, what and how."""
        return self.page.value(
            "[...document.querySelectorAll('#transcript li')].map("
            "li => [li.className.trim(), li.lastChild.textContent])")

    def agents(self, status):
        """The ids of the agents in that state."""
        return [agent["agent_id"] for agent in self.sandbox.agents()
                if agent["status"] == status]

    def until_stopped(self):
        """Waits until there is no agent that costs money."""
        wait_until(lambda: not self.sandbox.running(), 5 * PATIENCE,
                   "the agent is stopped")

    def wide(self):
        """Whether one would have to scroll sideways."""
        return self.page.value("document.documentElement.scrollWidth > "
                               "document.documentElement.clientWidth")


@pytest.fixture(name="pages")
def some_pages(rig):
    """The pages with the doubles in the place of Agora's SDKs."""
    pages = servers.copy_pages(rig.programs.file("www"))
    for name in SDKS:
        path = pages / "vendor" / name
        shutil.copyfile(ROOT / "tests/system/www" / name, path)
        path.chmod(0o644)
    return pages


@pytest.fixture(name="site")
def one_site(rig, pages):
    """A site with the usual settings."""
    with Site(rig, pages=pages, replace=[STRICT]) as site:
        yield site


def good_token(upstream, token, channel, uid):
    """Whether the token is ours, for that channel and uid."""
    parsed = accesstoken.parse(token)
    rtc, rtm = parsed.services
    return (accesstoken.signed_by(parsed, upstream.certificate)
            and rtc.fields == {"channel": channel, "account": uid}
            and rtm.fields == {"user_id": uid})


def test_the_whole_way(browser, site, upstream):
    """Config, join, start, transcript, stop."""
    with Visit(browser, site) as visit:
        assert visit.page.text("state") == "Not started"
        visit.start()
        channel, uid = visit.fact("channel"), visit.fact("uid")
        join = upstream.join(channel)["properties"]
        assert join["remote_rtc_uids"] == [uid]
        assert join["agent_rtc_uid"] == visit.fact("agent-uid")
        assert visit.agents("RUNNING") == [visit.fact("agent")]

        assert sorted(visit.names()) == ["join", "login", "publish", "rtm",
                                         "subscribed"]
        (app_id, joined, token, account), = visit.calls("join")
        assert (app_id, joined, account) == (APP_ID, channel, uid)
        assert good_token(upstream, token, channel, uid)
        assert visit.calls("login") == [[token]]
        assert visit.calls("rtm") == [[APP_ID, uid]]
        assert visit.calls("subscribed") == [[channel]]
        assert visit.calls("publish") == [[["audio"]]]

        visit.event("clients", "user-published",
                    {"uid": visit.fact("agent-uid")}, "audio")
        visit.page.wait("agoraDouble.played === 1")
        for state in ("listening", "thinking", "speaking"):
            visit.event("rtms", "presence", {
                "publisher": visit.fact("agent-uid"),
                "stateChanged": {"state": state, "turn_id": "1"}})
            assert visit.state(state) == f"The agent is {state}"
        visit.event("rtms", "presence", {
            "publisher": uid, "stateChanged": {"state": "idle"}})
        assert visit.state("speaking")  # that was not the agent

        visit.page.click("mute")
        assert visit.page.text("mute") == "Unmute"
        visit.page.click("mute")
        assert visit.calls("muted") == [[True], [False]]

        visit.stop()
        assert visit.agents("STOPPED") and not visit.sandbox.running()
        assert visit.names()[-3:] == ["closed", "leave", "logout"]
        assert not visit.page.faults()
        visit.start()  # and once more
        assert visit.fact("channel") != channel
        visit.stop()


def test_the_transcript(browser, site):
    """Turns grow, end, are interrupted; what is said stays text."""
    with Visit(browser, site) as visit:
        visit.start()
        visit.message(object="assistant.transcription", turn_id=0,
                      turn_seq_id=1, turn_status=1, text="Hello!")
        visit.message(object="user.transcription", turn_id=1, text="What is",
                      final=False)
        assert visit.said() == [["agent", "Hello!"],
                                ["user unfinished", "What is"]]
        visit.message(object="user.transcription", turn_id=1, final=True,
                      text="What is <b>HTML</b>?")
        visit.message(object="assistant.transcription", turn_id=1,
                      turn_seq_id=2, turn_status=0, text="A language")
        visit.message(object="assistant.transcription", turn_id=1,
                      turn_seq_id=1, turn_status=0, text="A")
        assert visit.said()[1:] == [["user", "What is <b>HTML</b>?"],
                                    ["agent unfinished", "A language"]]
        visit.message(object="assistant.transcription", turn_id=1,
                      turn_seq_id=3, turn_status=2, text="A language of")
        assert visit.said()[2] == ["agent interrupted", "A language of"]
        visit.event("rtms", "message", {"message": "no JSON"})
        visit.message(object="message.metrics", turn_id=1)
        assert len(visit.said()) == 3
        visit.page.value("agoraDouble.rtms[0].listeners.message({message:"
                         "new TextEncoder().encode(JSON.stringify({object:"
                         "'user.transcription', turn_id: 2, text: 'Ja, süß',"
                         "final: true}))})")
        assert visit.said()[3] == ["user", "Ja, süß"]
        visit.picture("transcript")
        visit.message(object="message.error", module="llm", code=1001,
                      message="no quota")
        assert "trouble (llm): no quota" in visit.page.text("error")
        visit.stop()
        assert not visit.page.faults()


SECURED = {
    "open": {},
    "token": {"REQUIRE_TOKEN": "1", "CHANNELS": "issued"},
    "keys": {"API_KEYS": "a-key-of-a-visitor-1"},
    "both": {"REQUIRE_TOKEN": "1", "API_KEYS": "a-key-of-a-visitor-1"},
}


def stops(site):
    """The answers to stops so far, as nginx has logged them."""
    lines = map(json.loads, site.server.access_lines())
    return [line["status"] for line in lines if line["uri"] == "/v2/stopAgent"]


@pytest.mark.parametrize("secured", SECURED)
@pytest.mark.parametrize("how", ["close", "go elsewhere"])
def test_a_closed_tab_stops_the_agent(browser, rig, pages, secured, how):
    """By sendBeacon, or where that does not do by a fetch that outlives the
    page."""
    with Site(rig, pages=pages, **SECURED[secured]) as site, \
            Visit(browser, site) as visit:
        if "API_KEYS" in SECURED[secured]:
            visit.page.fill("key", SECURED[secured]["API_KEYS"])
        visit.start()
        assert len(visit.sandbox.running()) == 1
        if how == "close":
            visit.page.close()
        else:
            visit.page.call("Page.navigate", url="about:blank")
        visit.until_stopped()
        leave, = visit.sandbox.ledger(call="leave")
        assert leave["status"] == 200
        wait_until(lambda: stops(site), 5 * PATIENCE, "nginx logs the stop")
        assert stops(site) == ["200"]


def test_a_tab_that_is_closed_during_a_start(browser, site):
    """The request is broken off; the backend undoes what came of it."""
    with Visit(browser, site) as visit:
        visit.sandbox.fault("join", match={"times": 1}, delay_s=1,
                            execute=True)
        visit.page.click("start")
        wait_until(lambda: visit.sandbox.ledger(call="join"), 5 * PATIENCE,
                   "the join is on its way")
        visit.page.close()
        wait_until(lambda: visit.sandbox.ledger(call="leave"), 5 * PATIENCE,
                   "the agent is stopped")
        visit.until_stopped()


def test_stop_during_a_start(browser, site):
    """Waits for the start, and stops its agent."""
    with Visit(browser, site) as visit:
        visit.sandbox.fault("join", match={"times": 1}, delay_s=1,
                            execute=True)
        visit.page.click("start")
        wait_until(lambda: visit.sandbox.ledger(call="join"), 5 * PATIENCE,
                   "the join is on its way")
        visit.page.click("stop")
        assert visit.page.text("state") == "Stopping …"
        assert visit.state("idle") == "Stopped"
        assert visit.agents("STOPPED") and not visit.sandbox.running()
        assert visit.page.value("document.getElementById('error').hidden")
        assert not visit.page.faults()


def test_the_token_is_renewed(browser, rig, pages, upstream):
    """A minute before it expires, and as often as it takes; also when the
    SDK says so. The minutes are short here."""
    with Site(rig, pages=pages, TOKEN_TTL="300") as site, \
            Visit(browser, site, before=FAST) as visit:
        visit.start()
        first = visit.calls("join")[0][2]
        wait_until(lambda: len(visit.calls("rtm renew")) == 2, 20 * PATIENCE,
                   "the token is renewed twice")
        tokens = [token for token, in visit.calls("renew")]
        assert visit.calls("rtm renew") == [[token] for token in tokens]
        assert len({first, *tokens}) == 3
        for token in tokens:
            assert good_token(upstream, token, visit.fact("channel"),
                              visit.fact("uid"))
        visit.event("clients", "token-privilege-will-expire")
        visit.page.wait("agoraDouble.calls.filter("
                        "c => c[0] === 'renew').length >= 3")
        visit.stop()
        assert not visit.page.faults()


def test_a_renewal_that_fails_is_tried_again(browser, rig, pages):
    """And says so."""
    with Site(rig, pages=pages, TOKEN_TTL="300") as site, \
            Visit(browser, site, before=FAST) as visit:
        visit.start()
        visit.page.value("const real = fetch; window.fetch = (url, ...more) =>"
                         "String(url).includes('uid=') ? (window.fetch = real,"
                         "Promise.reject(new TypeError('cut'))) :"
                         "real(url, ...more)")
        visit.page.wait("!document.getElementById('error').hidden")
        assert "The token was not renewed: The web server cannot be reached" \
            in visit.page.text("error")
        visit.page.wait("agoraDouble.calls.some(c => c[0] === 'renew')")
        visit.stop()


def failing(visit):
    """What the page says after a start that fails, and can be repeated."""
    visit.page.click("start")
    assert visit.state("failed") == "Not started"
    assert not visit.page.value("document.getElementById('start').disabled")
    return visit.page.text("error")


def test_errors_show_their_detail(browser, rig, pages):
    """The backend's own, Agora's, and the web server's."""
    with Site(rig, pages=pages, AGENT_DIR=rig.programs.file("none")) as site, \
            Visit(browser, site) as visit:
        visit.sandbox.fault("join", match={"times": 1}, status=403,
                            body={"reason": "ServiceNotEnabled",
                                  "detail": "secret words"})
        text = failing(visit)
        assert "enable Conversational AI" in text and "In the logs: id=" in text
        assert "secret words" not in text
        visit.picture("refused")
        visit.page.fill("profile", "nobody")
        assert "there is no such profile" in failing(visit)
        visit.page.fill("profile", "")
        visit.sandbox.fault("join", match={"times": 20}, status=503)
        assert "Try again in" in failing(visit)
        visit.sandbox.reset()

        site.programs["get_config"].stop()
        site.server.expect(servers.DOWN, servers.KEPT_ONE_CLOSED)
        assert "not running" in failing(visit)
        assert not visit.sandbox.running()


def test_no_routes_at_all(browser, rig, pages):
    """Where the API is not below the page's address."""
    page = pages / "index.html"
    page.write_text(page.read_text("utf-8").replace(
        'content="../"', 'content="./"'), "utf-8")
    with Site(rig, pages=pages, replace=[(
            "nginx/site.example", "error_page 403 404 405",
            "error_page 403 405")]) as site, \
            Visit(browser, site) as visit:
        assert "did not answer in JSON (HTTP status 404)" in failing(visit)


def test_a_stop_that_fails_can_be_repeated(browser, site):
    """The page says that the agent may run."""
    with Visit(browser, site) as visit:
        visit.start()
        visit.sandbox.fault("leave", match={"times": 3}, status=400)
        visit.page.click("stop")
        assert visit.state("failed") == "The agent may still be running"
        assert "refused the stop" in visit.page.text("error")
        visit.sandbox.reset()  # which forgets the agent, too: 404
        visit.stop()


def test_an_agent_that_leaves(browser, site):
    """Is noticed, and said."""
    with Visit(browser, site) as visit:
        visit.start()
        visit.event("clients", "user-left", {"uid": "5"})
        visit.state("running")
        visit.event("clients", "user-left", {"uid": visit.fact("agent-uid")})
        assert visit.state("idle") == "Stopped"
        assert "has left" in visit.page.text("error")
        visit.until_stopped()


def test_no_microphone_no_agent(browser, site):
    """The browser's refusal is explained, and nothing is started."""
    with Visit(browser, site, microphone="denied") as visit:
        assert "may not use the microphone" in failing(visit)
        visit.picture("microphone")
        assert not visit.sandbox.ledger(call="join")
        assert not visit.page.faults()


def test_agora_is_silent(browser, site):
    """That is said after 20 s, which are short here, and costs nothing."""
    with Visit(browser, site, PAGE + "?silent", before=FAST) as visit:
        text = failing(visit)
        assert "cannot be entered" in text and "within 20 s" in text
        assert visit.names()[-3:] == ["closed", "leave", "logout"]
        assert not visit.sandbox.ledger(call="join")


def test_stop_while_agora_is_silent(browser, site):
    """Nobody has to wait for that."""
    with Visit(browser, site, PAGE + "?silent") as visit:
        visit.page.click("start")
        visit.page.wait("agoraDouble.calls.some(c => c[0] === 'login')")
        assert visit.page.text("state") == "Entering the channel …"
        visit.stop()
        assert visit.names()[-3:] == ["closed", "leave", "logout"]
        assert not visit.sandbox.ledger(call="join")


def test_without_agoras_sdks(browser, rig):
    """The page says so, and does the backend's part."""
    pages = servers.copy_pages(rig.programs.file("www"))
    with Site(rig, pages=pages) as site, Visit(browser, site) as visit:
        assert "AgoraRTC_N.js" in visit.page.text("missing")
        visit.start()
        assert visit.agents("RUNNING") == [visit.fact("agent")]
        visit.picture("without-sdks")
        visit.stop()
        assert not visit.sandbox.running()
        faults = visit.page.faults()
        assert len(faults) == 2 and all(
            "404" in fault and "/vendor/" in fault for fault in faults)


@pytest.mark.parametrize("width", [320, 1000])
def test_it_fits_the_screen(browser, site, width):
    """Of a small phone, too: nobody scrolls sideways."""
    with Visit(browser, site, width=width) as visit:
        assert not visit.wide()
        visit.start()
        visit.message(object="assistant.transcription", turn_id=1,
                      turn_status=1, text="W" * 200)
        visit.message(object="message.error", module="llm", code=1,
                      message="x" * 200)
        visit.page.value("document.querySelectorAll('details').forEach("
                         "d => d.open = true)")
        assert not visit.wide()
        visit.picture(f"try-{width}")
        visit.stop()


@pytest.mark.parametrize("width", [320, 1000])
def test_the_api_page(browser, site, width):
    """Shows every route, answer and member of openapi.json."""
    with Visit(browser, site, PAGE + "api.html", width=width) as visit:
        visit.page.wait("document.getElementById('startAgent') !== null")
        visit.page.value("document.querySelectorAll('details').forEach("
                         "d => d.open = true)")
        assert not visit.wide()
        text = visit.page.value("document.body.innerText")
        api = json.loads((ROOT / "deploy/www/openapi.json").read_text())
        members = [name for schema in api["components"]["schemas"].values()
                   for name in schema.get("properties", {})]
        responses = [response["description"].replace("`", "")
                     for response in api["components"]["responses"].values()]
        for word in (*api["paths"], *members, *responses, "expires_at",
                     "upstream_timeout", "Retry-After", "X-Agora-Token"):
            assert word in text, word
        assert "undefined" not in text and "[object" not in text
        visit.picture(f"api-{width}")
        assert not visit.page.faults()
