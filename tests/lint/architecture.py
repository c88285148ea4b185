#!/usr/bin/python3
"""Checks what DESIGN.md promises about the shape of the C sources.

One third-party header, one file; arrows one way; no function that the house
style bans; no function over 100 lines.
"""

import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Third-party header -> the one file that may include it.
OWNERS = {
    "fcgiapp.h": "fcgi/connection.c",
    "curl/": "common/http.c",
    "json-c/": "common/json.c",
    "openssl/crypto.h": "common/secret.c",
    "openssl/": "common/hmac.c",
    "zlib.h": "common/token.c",
}
BANNED = re.compile(
    r"\b(strcpy|strcat|sprintf|vsprintf|strncpy|strtok|atoi|atol|gets"
    r"|isspace|isdigit|isalpha|isalnum|isxdigit|tolower|toupper"
    r"|system|popen|rand|srand)\s*\(")
GETENV = re.compile(r"\b(getenv|secure_getenv)\s*\(")
# Everything else is handed its settings.
GETENV_FILES = {"common/settings_environment.c"}
LINES_MAX = 100
LINES_MEDIAN = 25


def strip(text):
    """Blanks comments and strings, keeping the line numbers."""
    pattern = re.compile(
        r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'",
        re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def check_includes(name, text):
    """A header of another library is included by its owner alone."""
    for header in re.findall(r"#include\s+[<\"]([^>\"]+)[>\"]", text):
        if name.startswith("common/") and header.startswith("fcgi/"):
            yield f"{name}: common/ must not know {header}"
        if not name.startswith("deploy/") and header.startswith("deploy/"):
            yield f"{name}: must not know {header}"
        for prefix, owner in OWNERS.items():
            if header.startswith(prefix):
                if name != owner:
                    yield f"{name}: only {owner} includes {header}"
                break


def check_names(name, code):
    """Functions that invite mistakes are not called at all."""
    for match in BANNED.finditer(code):
        line = code.count("\n", 0, match.start()) + 1
        yield f"{name}:{line}: {match.group(1)}() is banned"
    if name not in GETENV_FILES and GETENV.search(code):
        yield f"{name}: settings are read by common/settings.c alone"


def lengths(code):
    """Start and length of every function, whose braces are in column one."""
    start = None
    for number, line in enumerate(code.split("\n"), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number - start
            start = None


def check_lengths(name, code):
    """None is longer than a person reads at once."""
    for start, length in lengths(code):
        if length > LINES_MAX:
            yield f"{name}:{start}: {length} lines, at most {LINES_MAX}"


def main():
    """Prints every finding; exit status 1 if there is one."""
    findings = []
    all_lengths = []
    for path in sorted(ROOT.glob("common/*.[ch]")) + \
            sorted(ROOT.glob("fcgi/*.[ch]")) + \
            sorted(ROOT.glob("deploy/tool/*.[ch]")):
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        code = strip(text)
        findings += check_includes(name, text)
        findings += check_names(name, code)
        findings += check_lengths(name, code)
        all_lengths += [length for _, length in lengths(code)]
    if statistics.median(all_lengths) > LINES_MEDIAN:
        findings.append(f"the median function has more than {LINES_MEDIAN} "
                        "lines")
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
