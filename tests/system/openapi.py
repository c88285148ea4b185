"""Holds every answer against deploy/www/openapi.json.

What does not fit is noted, and fails the test during which it came
(conftest.py). A JSON answer of ours, wherever it was read, must be one that
the description has for its status; where the address and the method are known
too, it must be one of that operation, with its headers.
"""

import json

from jsonschema import Draft202012Validator

from processes import ROOT

FILE = ROOT / "deploy/www/openapi.json"
CLIENT_LEFT = 499


def expand(document, node):
    """The node with what its references lead to in their places."""
    if isinstance(node, list):
        return [expand(document, item) for item in node]
    if not isinstance(node, dict):
        return node
    rest = {name: expand(document, value) for name, value in node.items()
            if name != "$ref"}
    if "$ref" not in node:
        return rest
    target = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step.replace("~1", "/").replace("~0", "~")]
    target = expand(document, target)
    # Beside a schema's reference there may be more that must hold.
    return {"allOf": [target], **rest} if rest else target


class Response:
    """One answer of an operation: what its body and headers must be."""

    def __init__(self, described):
        (self.media, content), = described["content"].items()
        self.body = Draft202012Validator(content["schema"])
        self.headers = {
            name: (header.get("required", False),
                   Draft202012Validator(header["schema"]))
            for name, header in described.get("headers", {}).items()}

    def faults_of_body(self, body):
        """What is wrong with it, in words."""
        return [f"{error.json_path}: {error.message}"
                for error in self.body.iter_errors(body)]

    def faults_of_headers(self, answer):
        """The same for those that are described."""
        found = []
        for name, (required, schema) in self.headers.items():
            values = answer.all(name)
            if required and not values:
                found.append(f"{name} is missing")
            found += [f"{name}: {error.message}" for value in values
                      for error in schema.iter_errors(value)]
        return found


def addresses(path, operation):
    """The path with each value that a parameter in it may have."""
    paths = [path]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            paths = [one.replace("{%s}" % parameter["name"], value)
                     for one in paths
                     for value in parameter["schema"]["enum"]]
    return paths


def prefixes(servers):
    """What stands before a path, from the site's root."""
    return [server["url"].removeprefix("..").rstrip("/")
            for server in servers]


class Description:
    """The file, ready to judge answers."""

    def __init__(self, document):
        self.document = document
        self.operations = {}  # responses by status, by (method, address)
        self.known = {}       # all responses of a status
        self.found = []
        self.looked = 0
        seen = {}             # by reference: operations share responses
        for path, item in document["paths"].items():
            for method, operation in item.items():
                responses = {}
                for status, node in operation["responses"].items():
                    key = json.dumps(node)
                    if key not in seen:
                        seen[key] = Response(expand(document, node))
                        self.known.setdefault(status, []).append(seen[key])
                    responses[status] = seen[key]
                servers = operation.get("servers", document["servers"])
                for prefix in prefixes(servers):
                    for address in addresses(path, expand(document,
                                                          operation)):
                        self.operations[method.upper(),
                                        prefix + address] = responses

    def _note(self, answer, faults, what):
        if faults:
            self.found.append(
                f"{what}: {answer.status} {answer.body[:300]!r}: "
                + "; ".join(faults))

    def shape(self, answer):
        """Judges an answer whose request is not known; returns it."""
        if (not answer.body.startswith(b'{"code":')
                or answer.status == CLIENT_LEFT):
            return answer  # the site's own page, no body, read by nobody
        self.looked += 1
        body = answer.json
        known = self.known.get(str(answer.status), self.known["default"])
        answer.fits = next((response for response in known
                            if response.body.is_valid(body)), None)
        if body["code"] not in (0, answer.status):
            self._note(answer, ["code is not the status"], "an answer")
        elif answer.fits is None:
            self._note(answer, known[0].faults_of_body(body), "an answer")
        return answer

    def answer(self, method, target, answer):
        """Judges the answer to that request, if its address is one of the
        description's; returns it."""
        responses = self.operations.get(("GET" if method == "HEAD" else method,
                                         target.partition("?")[0]))
        if responses is None or not answer.body:
            return answer  # what is in it, shape() has seen
        response = responses.get(str(answer.status), responses["default"])
        media = (answer.header("Content-Type") or "").partition(";")[0]
        if media not in ("application/json", response.media):
            return answer  # the site's own page
        faults = response.faults_of_headers(answer)
        if answer.fits is not response:
            faults += response.faults_of_body(
                answer.json if media == "application/json"
                else answer.body.decode())
        self._note(answer, faults, f"{method} {target}")
        return answer

    def take(self):
        """What was found since the last call."""
        found, self.found = self.found, []
        return found


API = Description(json.loads(FILE.read_text(encoding="utf-8")))
