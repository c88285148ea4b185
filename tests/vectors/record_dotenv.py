#!/usr/bin/python3
"""Records what python-dotenv makes of .env files, into dotenv.json.

The C reader has to agree with it byte for byte, so the expected results are
python-dotenv's own: every input is written to a file and loaded with
load_dotenv(override=False), as an application would. Recorded with 0.21.0.

Run it again after adding an input; the output depends on nothing else.
"""

import json
import logging
import os
import random
import sys
import tempfile

import dotenv
from dotenv.main import DotEnv
from dotenv.parser import parse_stream

HERE = os.path.dirname(os.path.abspath(__file__))
RANDOM_CASES = 300

OUTERS = [
    {},
    {"A": "outer a", "HOST": "outer.example"},
    {"A": "", "B": "${A}", "EMPTY": "", "ü": "umlaut"},
]

# One line each, or one statement; loaded alone and also one after another.
PLAIN = [
    "", " ", "\n", "\n\n", "\t\n \n", "#", "# comment", "  # comment\n",
    "A=b", "A=b\n", "A = b", "A =b", "A= b", "  A=b", "\tA\t=\tb\t",
    "A", "A\n", "A ", "A #c", "A#c", "A=", "A=\n", "A= ", "A=  # c",
    "A=#c", "A= #c", "A=b#c", "A=b #c", "A=b  # c", "A=b\t#c", "A=b # c # d",
    "A=b c", "A=b  c  ", "A=b=c", "A==b", "A = = b", "=b", "=", " = b",
    "A B=c", "A B", "A\tB", "1=2", "A.B=c", "A-B=c", "A:b", "A/b=c", "$A=b",
    'A"B=c', "A'B=c", '"A"=b', "A=b\\nc", "A=\\", "A=b\\#c", "A=b;c", "!A=b",
    "A=it's", 'A=say "hi"', "A=b'c'", "A=b 'c # d'", 'A=b"c # d"', "ü=ö",
    "A=日本 # 語", "A=ü\u00a0", "A=\u00a0ü", "A\u2003=\u2003b", "A=b\u3000#c",
    "A=b\x0b#c", "A=\x0cb\x0c", "A\x1c=b\x1f", "A=b\u0085C=d", "\u2028A=b",
    "A=b\u2028C=d", "\ufeffA=b", "A=\u200bb", "A=b\u1680", "A=b\u202f\u205f",
    "A=b\u180e", "A=\x01b", "A=\x7f", "A=\U0001f600",
]

EXPORTS = [
    "export A=b", "export  A=b", "export\tA=b", "export A", "export",
    "export\n", "export ", "export =b", "export=b", "exportA=b", "EXPORT A=b",
    "export export=b", "export export A=b", "export # c", "export #", "export#",
    "export 'A'=b", "export A b", "export\nA=b", "export\u00a0A=b",
    " export A=b", "export A = 'b' # c",
]

NAMES = [
    "'A'=b", "'A' = b", "'A'", "'A' # c", "''=b", "'A=b", "'A B'=c", "'A#B'=c",
    "'A=B'=c\nC=${A=B}", "'A\nB'=c\nD=e", "'A\\'=b", "'A'B=c", "'a'b'=c", "'",
    "''", "'''", "'A'='b'",
]

QUOTES = [
    "A='b'", 'A="b"', "A=''", 'A=""', "A= 'b' ", "A='b'c", "A='b' c",
    "A='b'#c", "A='b' # c", 'A="b"#c', 'A="b" x # c', "A='b\nC=d", 'A="b\nC=d',
    "A='b\nc'\nD=e", 'A="b\nc"\nD=e', 'A="b\n\n#c"#d\nE=f', "A='b # c'",
    'A="b # c"', "A=\"it's\"", "A='say \"hi\"'", "A='b''c'", 'A="b""c"',
    "A='b' 'c'", 'A="b\' c', "A='\t b '", 'A="', "A='", 'A="\nB="c"',
    "A='\nB='c'", 'A="b\nc" d\nE=f', "A='b\nc' d\nE=f", "A=`b`", "A=`b # c`",
    "A=‘b’", 'A="b\u2028c"\u2003# d', 'A="b"\x0b', "A='b'\u00a0#c",
]

ESCAPES = [
    r'A="\n"', r'A="\t\r\v\f\b\a"', r'A="\\"', r'A="\\n"', r'A="\""',
    r'A="b\"c"', r'A="\'"', r'A="\x41\u0041\101\0"', r'A="\$\{B\}"', r'A="\q"',
    r"A='\n'", r"A='\\'", r"A='\''", r"A='b\'c'", r"A='\"'", r"A='\\n'",
    'A="\\', 'A="b\\"', 'A="C:\\"\nB=c', "A='b\\'\nC=d", 'A="b\\\\"\nC="d"',
    'A="b\\"\nC="d"', "A='b\\'\nC='d'", 'A="b\\" c\\" d', "A='b\\'c\\'",
    'A="b\\\nc"', "A=b\\\nC=d", 'A="\\\\\\""', 'A="\\\\\\\\"', 'A="b\\" # c',
    'A="\\"', "A='\\'", 'A="\\""', 'A=\\"b\\"',
]

VARIABLES = [
    "B=${A}", "A=b\nC=${A}", "C=${A}\nA=b", "A=b\nA=${A}c", "A=${A}",
    "A=${A:-b}", "B=${EMPTY:-b}", "B=${NONE:-b}", "B=${NONE:-}", "B=${NONE}",
    "B=${NONE-b}", "B=${NONE:b}", "B=${NONE:=b}", "B=${NONE:-b:-c}", "B=${}",
    "B=${:-c}", "B=$A", "B=$$A", "B=$${A}", "B=${A", "B=${A}}", "B=${${A}}",
    "B=${A${A}", "B={A}", "B=$ {A}", "B=${ A }", "B=x${A}y${A}z",
    "B='${A}'", 'B="${A}"', 'B="\\${A}"', "B='\\${A}'", "B=${NONE:-${A}}",
    'B="${A\n}"', 'B="${NONE:-x\ny}"', "A\nB=${A}", "A\nB=${A:-c}",
    "A=\nB=${A:-c}", "A=b\nA\nC=${A:-d}", "A\nA=b\nC=${A}", "B=${B}", "B=${ü}",
    "HOST=file\nURL=https://${HOST}/x # y", "C=1\nC=${C}2\nC=${C}3",
    "C=1\nD=${C}\nC=2\nE=${C}", "C='${D}'\nD=x\nE=${C}", "B=${A:-#}",
    "B=${NONE:-a #b}", "B=${NONE:-'q'}", "C=x}\nB=${NONE:-${C}}", "B=${a:b:-c}",
    "B=${a:${A}", "B=${a:${NONE:-d}}", "B=${:}${A}", "B=${A:-", "C=${B}",
    "D='$'\nE='${D}{A}'", "'x y'=1\nB=${x y}", "B=%A% $(A) `A`",
]

LINES = [
    "A=1\nB=2\n", "A=1\r\nB=2\r\n", "A=1\rB=2\r", "A='1\r\n2'\r\nB=3",
    'A="1\r2"\rB=3', "A=1\n\r\nB=2", "A=1\nA=2", "A=1\nB=2\nA=3", "A=1\nA",
    "A\nA=1", "A=1\nnot a line\nB=2", "not a line\nalso not\nA=1",
    "\n\n  not a line\nA=1", "A=1\n=2\n\n=3", "A='1\nB=2\nC='3'\nD=4",
    "# a\n\nA=1 # b\n# c", "A=1\n\n\n B=2", 'A="1" B="2"\nC=3',
    'A="\r\n"\nnope nope\nB', "A=1\\\r\nB=2", "A=b \r\n", "A= \r\nB=c",
    "A=1\r\n\r\n\rx y\nB=2",
    # What the Agora CLI and people write.
    "AGORA_APP_ID=0123456789abcdef0123456789abcdef\n"
    'AGORA_APP_CERTIFICATE="fedcba9876543210fedcba9876543210"\n',
    "AGENT_INSTRUCTIONS=\"You are kind.\\nAnswer briefly.\"\nAGENT_GREETING='Hi'",
    "APP_ID= # todo\nAPP_CERTIFICATE=<your certificate>",
]

FRAGMENTS = (
    ["A", "B", "HOST", "NONE", "x", "ü", "1"] * 2
    + ["=", "=", "=", " = ", "\n", "\n", "\n", "\r\n", "\r", " ", "\t", "\u00a0"]
    + ["'", "'", '"', '"', "\\", "\\'", '\\"', "\\n", "\\\\", "#", " #", "# c"]
    + ["export ", "export", "${", "}", "${A}", "${B}", "${NONE}", "${NONE:-d}"]
    + ["${A:-d}", ":-", ":", "$", "A=b\n", "B='c'\n", 'HOST="d"\n', "\nB=${A}\n"]
)


def random_text(rng):
    """A short file of fragments: mostly wrong, which is the point."""
    return "".join(rng.choice(FRAGMENTS) for _ in range(rng.randint(3, 24)))


def inputs():
    """All files, each with the outer environments it is loaded in."""
    for text in PLAIN + EXPORTS + NAMES + QUOTES + ESCAPES + LINES:
        yield text, OUTERS[:1]
    for text in VARIABLES:
        yield text, OUTERS
    everything = PLAIN + EXPORTS + NAMES + ESCAPES + VARIABLES
    yield "\n".join(everything), OUTERS
    yield "\r\n".join(reversed(everything)), OUTERS[:2]
    rng = random.Random(1)
    for i in range(RANDOM_CASES):
        yield random_text(rng), [OUTERS[i % len(OUTERS)]]


def first_bad_line(path):
    """Line of the first statement that does not parse, 0 for none.

    python-dotenv counts blank lines before a statement as part of it; a
    person is better helped by the line the statement is on.
    """
    with open(path, encoding="utf-8") as stream:
        for binding in parse_stream(stream):
            if binding.error:
                text = binding.original.string
                blank = text[: len(text) - len(text.lstrip())]
                return binding.original.line + blank.count("\n")
    return 0


def check_load(path, outer, values):
    """Makes sure that load_dotenv() leaves in the environment what we record."""
    try:
        dotenv.load_dotenv(path, override=False)
    except ValueError:  # os.environ refuses "=" in a name
        assert any("=" in name for name in values)
        return
    wanted = {k: v for k, v in values.items() if v is not None}
    wanted.update(outer)
    assert dict(os.environ) == wanted, (path, outer)


def record(text, outer):
    """One input and what becomes of it."""
    saved = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, ".env")
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.environ.clear()
        os.environ.update(outer)
        try:
            values = DotEnv(path, encoding="utf-8", override=False).dict()
            bad_line = first_bad_line(path)
            check_load(path, outer, values)
        finally:
            os.environ.clear()
            os.environ.update(saved)
    return {
        "text": text,
        "outer": outer,
        "values": [[name, value] for name, value in values.items()],
        "bad_line": bad_line,
    }


def main():
    """Writes dotenv.json next to this file."""
    logging.disable(logging.CRITICAL)
    cases = [record(text, outer) for text, outers in inputs() for outer in outers]
    with open(os.path.join(HERE, "dotenv.json"), "w", encoding="utf-8") as out:
        out.write('{"count": %d, "cases": [\n' % len(cases))
        out.write(",\n".join(json.dumps(case) for case in cases))
        out.write("\n]}\n")
    print("%d cases" % len(cases), file=sys.stderr)


if __name__ == "__main__":
    main()
