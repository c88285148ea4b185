"""Looks for secrets where none may be, during every test (H01).

Secrets are the values of settings that upstream.settings() hands out, tokens
of any kind, and the ids of agents that were started, which are as good as a
key to them. They may be nowhere in answers (but for get_config's token and
startAgent's id), logs, temporary files, or in /proc of a running program.
"""

import array
import base64
import os
import re
import urllib.parse

SECRET_NAME = re.compile(r"(^|_)(APP_CERTIFICATE|API_KEYS?)$")
SECRET_MIN = 16  # characters; shorter ones are words of a test
TOKEN = re.compile(rb"007eJ[A-Za-z0-9+/=]{40,}|agora token=0")
AGENT_ID = re.compile(rb"(?<![A-Z0-9])[A-Z0-9]{26}(?![A-Z0-9])")
FILE_MAX = 64 * 1024 * 1024  # bytes that are searched
WORD = array.array("Q").itemsize


def spellings(value):
    """The value as a log or an answer could have it."""
    raw = value.encode("utf-8")
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(),
             urllib.parse.quote(value).encode(),
             "".join(f"%{byte:02x}" for byte in raw).encode(),
             "".join(f"\\u{byte:04x}" for byte in raw).encode(),
             "".join(f"\\x{byte:02x}" for byte in raw).encode()}
    if re.fullmatch("[0-9a-fA-F]+", value):  # hex digits in either case
        found |= {raw.lower(), raw.upper()}
    for skip in range(3):  # where base64's groups of three may begin
        coded = base64.b64encode(bytes(skip) + raw)
        found.add(coded[4 if skip else 0:len(coded) // 4 * 4 - 4])
    return found


def words(text):
    """${text} as numbers, each of them WORD bytes."""
    return array.array("Q", text[:len(text) // WORD * WORD])


class Watch:
    """What has been a secret so far, and where one was found.

    Tests write hundreds of megabytes and have hundreds of secrets, so a text
    is first looked through once for all of them: of a spelling, which is
    longer than two words, one word of the text is a part, wherever it stands.
    """

    def __init__(self):
        self.names = {}  # name by spelling
        self.parts = set()  # words that a text with a secret may have
        self.agents = set()
        self.found = []
        self.looked = {"answers": 0, "files": 0, "processes": 0}

    def keep(self, name, value):
        """${value} is a secret from now on."""
        if len(value) < SECRET_MIN or self.names.get(value.encode()) == name:
            return
        for text in spellings(value):
            self.names[text] = name
            self._keep_parts(text)

    def _keep_parts(self, text):
        for at in range(WORD):
            self.parts.update(words(text[at:at + WORD]))

    def keep_agent(self, agent_id):
        """An agent that was started."""
        self.agents.add(agent_id)
        self._keep_parts(agent_id)

    def _may_be_in(self, text):
        """Whether a secret or an agent's id may be in ${text}."""
        return not self.parts.isdisjoint(words(text))

    def keep_settings(self, settings):
        """The secret ones among them."""
        for name, value in settings.items():
            if SECRET_NAME.search(name):
                for part in value.split(","):
                    self.keep(name, part.strip())

    def take(self):
        """What was found since the last call."""
        found, self.found = self.found, []
        return found

    def secrets_in(self, text):
        """The names of the settings, and tokens, that are in ${text}."""
        hits = {match.group()[:16] for match in TOKEN.finditer(text)}
        if self._may_be_in(text):
            hits |= {name.encode() for spelling, name in self.names.items()
                     if spelling in text}
        return hits

    def search(self, where, text):
        """Notes the secrets and agents' ids in a text of ours."""
        hits = self.secrets_in(text)
        if self._may_be_in(text):
            hits |= self.agents & set(AGENT_ID.findall(text))
        if hits:
            self.found.append((where, sorted(hits)))

    def answer(self, path, answer):
        """Notes what should not be in an answer; returns the answer."""
        self.looked["answers"] += 1
        body = answer.body
        if answer.status == 200 and body.startswith(b'{"code":0'):
            data = answer.json.get("data") or {}
            if path.partition("?")[0].endswith(("/get_config",
                                                "/get_config.fcgi")):
                body = body.replace(data["token"].encode(), b"", 1)
            if "agent_id" in data:
                self.keep_agent(data["agent_id"].encode())
        hits = self.secrets_in(answer.raw_head + b"\n" + body)
        if hits:
            self.found.append((f"answer to {path}", sorted(hits)))
        return answer

    def files(self, folder, leave=()):
        """Searches all files below a folder but those with an inode in
        ${leave}."""
        for root, _, names in os.walk(folder):
            for path in (os.path.join(root, name) for name in names):
                if (not os.path.isfile(path)
                        or os.stat(path).st_ino in leave):
                    continue
                with open(path, "rb") as file:
                    text = file.read(FILE_MAX)
                if text.startswith(b"\x7fELF"):
                    continue  # a copy of a program
                self.looked["files"] += 1
                self.search(path, text)

    def process(self, pid):
        """Searches what everybody can read about a process."""
        for name in ("environ", "cmdline", "comm", "status", "maps"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    self.search(f"/proc/PID/{name}", file.read())
                    self.looked["processes"] += name == "environ"
            except OSError:  # it has ended
                return


WATCH = Watch()
