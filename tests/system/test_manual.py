"""The manual pages say what the programs do: their options, and every setting
with its other name, its default and its limits."""

import re
import subprocess

import pytest

from processes import ENDPOINTS, ROOT

MAN = ROOT / "deploy/man"
FLAG = re.compile(r"\bFl Fl ([a-z-]+)")


def page(name):
    """The source of a manual page."""
    return (MAN / name).read_text(encoding="utf-8")


# -- Options -----------------------------------------------------------------

def help_of(program):
    """What it says with --help."""
    return subprocess.run([program, "--help"], check=True, timeout=60,
                          stdout=subprocess.PIPE, env={}).stdout.decode()


def options(text):
    """The options in a text for people."""
    return set(re.findall(r"--([a-z-]+)", text))


@pytest.mark.parametrize("name", ENDPOINTS)
def test_manual_has_options_of(name, programs):
    """In the synopsis and in the list, those that --help has."""
    synopsis, _, text = page(f"{name}.fcgi.8").partition(".Sh DESCRIPTION")
    described = re.findall(r"^\.It Fl Fl (\S+)", text, re.M)
    offered = options(help_of(programs.path(name)))
    assert set(described) == set(FLAG.findall(synopsis)) == offered
    assert len(described) == len(offered) > 3


def commands_of(text):
    """The tool's commands in its manual page, with their options."""
    parts = re.split(r"^\.It Cm (\w+)", text.partition(".Sh EXIT")[0],
                     flags=re.M)
    return {name: set(re.findall(r"^\.It Fl Fl (\S+)", part, re.M)
                      + FLAG.findall(part.partition("\n")[0]))
            for name, part in zip(parts[1::2], parts[2::2])}


def test_manual_has_commands_of_the_tool(programs):
    """With their options, and no others."""
    usage = re.findall(r"^  agora-agent ([a-z]+) (.*)$",
                       help_of(programs.build / "agora-agent"), re.M)
    described = commands_of(page("agora-agent.8"))
    assert described == {name: options(arguments)
                         for name, arguments in usage}


# -- Settings ----------------------------------------------------------------

def c_text(expression, macros):
    """The value of string literals and macros in a row."""
    return "".join(macros[macro] if macro else literal for literal, macro
                   in re.findall(r'"([^"]*)"|(\w+)', expression))


def table():
    """common/settings_table.c: each setting's texts by member."""
    source = (ROOT / "common/settings_table.c").read_text(encoding="utf-8")
    macros = {name: value for name, value in re.findall(
        r'^#define (TEXT|KEY|WORD) "(.*)"$', source, re.M)}
    for entry in re.findall(r"\.entry = \{(.*?)\n\t\t\}", source, re.S):
        yield {member: c_text(value, macros) for member, value in re.findall(
            r"\.(name|alias|fallback|expected) = (.*?),\n(?=\t\t\t\.|$)",
            entry + "\n", re.S)}


SETTINGS = list(table())


@pytest.fixture(name="items", scope="module")
def items_of_the_page():
    """The text on each setting in agora-agent.env(5)."""
    text = page("agora-agent.env.5").split("\n.Sh SETTINGS\n")[1]
    parts = re.split(r"^\.It Ev (\w+)\n|^\.El\n",
                     text.split(".Sh ")[0], flags=re.M)
    return {name: item for name, item in zip(parts[1::2], parts[2::2])
            if name}


def test_manual_lists_the_settings(items):
    """All of them, each once, and no others."""
    assert len(SETTINGS) > 25
    assert sorted(items) == sorted(entry["name"] for entry in SETTINGS)


@pytest.mark.parametrize("entry", SETTINGS, ids=lambda entry: entry["name"])
def test_manual_on(entry, items):
    """Its other name, its default, and every number of what is legal."""
    text = items[entry["name"]]
    alias = re.findall(r"^Also as\n\.Ev (\w+) \.$", text, re.M)
    assert alias == ([entry["alias"]] if "alias" in entry else [])
    text, default, value = text.partition("\nDefault:\n")
    value = re.sub(r"^\.(Dl (.*)|Ql (\S+) \.)\n?$", r"\2\3", value)
    assert (value if default else "") == entry.get("fallback", "")
    for number in re.findall(r"(?<!UTF-)\b\d+\b", entry["expected"]):
        assert re.search(rf"\b{number}\b", text), number
