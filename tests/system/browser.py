"""Chromium without a window, spoken to over a pipe.

    with Browser(folder) as browser, browser.open(url) as page:
        page.click("start")
        page.wait("document.title === 'x'")
        assert not page.faults()
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from processes import PATIENCE

PROGRAM = shutil.which("chromium")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
           "--disable-extensions", "--disable-background-networking",
           "--disable-component-update", "--mute-audio",
           "--use-fake-device-for-media-stream",
           "--remote-debugging-pipe")
WAIT_S = 30 * PATIENCE


def high(descriptor):
    """The same descriptor out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
    os.close(descriptor)
    return moved


class Browser:
    """A browser of its own, with a profile in ${folder}."""

    def __init__(self, folder, *options):
        theirs_in, self.to = map(high, os.pipe())
        self.come, theirs_out = map(high, os.pipe())
        # No bus: it complains, and goes on.
        with open(os.path.join(folder, "chromium.log"), "wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, *OPTIONS, *options,
                 f"--user-data-dir={folder}/profile", "about:blank"],
                pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=lambda: (os.dup2(theirs_in, 3),
                                                os.dup2(theirs_out, 4)),
                env={"PATH": os.environ["PATH"], "HOME": str(folder)})
        os.close(theirs_in)
        os.close(theirs_out)
        self.numbers = 0
        self.received = b""
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        try:
            self.call("Browser.close")
            self.process.wait(WAIT_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            os.close(self.to)
            os.close(self.come)

    def _message(self, deadline):
        """The next one, or None."""
        while b"\0" not in self.received:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.come], [], [], left)[0]:
                return None
            data = os.read(self.come, 1 << 20)
            assert data, f"the browser ended: {self.process.poll()}"
            self.received += data
        text, _, self.received = self.received.partition(b"\0")
        return json.loads(text)

    def call(self, method, session=None, **params):
        """Has a command of the DevTools protocol carried out."""
        self.numbers += 1
        number = self.numbers
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + WAIT_S
        while True:
            answer = self._message(deadline)
            assert answer, f"no answer to {method}"
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def open(self, url, microphone="granted", width=1000, height=900,
             before=""):
        """A tab of a new user, who answers so when he is asked for his
        microphone; ${before} is a script that runs before the page's."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        self.call("Browser.setPermission", permission={"name": "microphone"},
                  setting=microphone, browserContextId=context)
        target = self.call("Target.createTarget", url="about:blank",
                           browserContextId=context)
        session = self.call("Target.attachToTarget", flatten=True,
                            targetId=target["targetId"])["sessionId"]
        page = Page(self, context, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=width < 600)
        if before:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        page.call("Page.navigate", url=url)
        page.wait("document.readyState === 'complete' && "
                  "location.href !== 'about:blank'")
        return page


class Page:
    """A tab."""

    def __init__(self, browser, context, session):
        self.browser = browser
        self.context = context
        self.session = session

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        """Also ends the connections, which nginx would wait for."""
        self.browser.call("Target.disposeBrowserContext",
                          browserContextId=self.context)

    def call(self, method, **params):
        """Browser.call() for this tab."""
        return self.browser.call(method, self.session, **params)

    def value(self, expression):
        """What the expression is worth in the page."""
        result = self.call("Runtime.evaluate", expression=expression,
                           awaitPromise=True, returnByValue=True,
                           userGesture=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression, seconds=WAIT_S):
        """Waits until the expression is true; returns its value."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.value(expression)
            if value:
                return value
            assert time.monotonic() < deadline, (
                f"not within {seconds} s: {expression}; the page says: "
                + self.value("document.body.innerText"))
            time.sleep(0.02)

    def text(self, name):
        """The text of the element with that id, as it is seen."""
        return self.value(f"document.getElementById('{name}').innerText")

    def click(self, name):
        """A click in the middle of the element with that id."""
        box = self.value(
            f"(() => {{ const e = document.getElementById('{name}');"
            "e.scrollIntoView({block: 'center'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0],
                      y=box[1], button="left", clickCount=1)

    def fill(self, name, text):
        """Types into the field with that id."""
        self.value(f"document.getElementById('{name}').value = "
                   + json.dumps(text))

    def faults(self):
        """What the browser found to complain about in this tab."""
        self.value("0")  # all events of before have come
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled":
                if params["type"] in ("error", "warning", "assert"):
                    found.append(json.dumps(params["args"]))
            elif event["method"] == "Log.entryAdded":
                entry = params["entry"]
                if entry["level"] in ("error", "warning"):
                    found.append(f"{entry['text']} {entry.get('url', '')}")
        return found

    def close(self):
        """As its user closes a tab."""
        self.call("Page.close")

    def picture(self, path):
        """Saves what is seen, all of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={**size, "scale": 1})["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
