"""The settings file: who else may read or change it, and what the programs
and the web servers do about it."""

import os
import pwd
import shutil
import subprocess

import pytest

from checks import UNCONFIGURED
from processes import PATIENCE, WRAPPED, wait_until
from servers import FORBIDDEN, WEB_USER, share
from transports import Cgi

READABLE = "everybody on this machine can read it; chmod 600"
CANARY = "canary5d9f4cf3b2a09d1e2c7b44aa"
STRANGER = 54321  # a uid that nobody has

as_root = pytest.mark.skipif(WRAPPED or os.geteuid() != 0,
                             reason="needs several users")


def settings_file(rig, mode, **more):
    """A file with settings that work, but for its mode."""
    path = rig.programs.env_file(rig.upstream.settings(**more), "vetted.env")
    os.chmod(path, mode)
    return path


def check(rig, env, program="get_config", **how):
    """Exit status and output of --check."""
    done = subprocess.run(
        [how.pop("path", None) or rig.programs.path(program), "--check"],
        env=rig.programs.environment(env), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, cwd="/", **how)
    return done.returncode, done.stdout


# ---- H04: what others can read or change ------------------------------------

def test_h04_a_file_for_everybody_is_refused(rig):
    """Path, problem and cure are in the log; the cure works within two
    seconds; and --check says the same."""
    path = settings_file(rig, 0o644)
    program = rig.programs.listen("get_config", path)
    transport = Cgi(rig.programs, path)
    for _ in range(3):
        answer = transport.request("GET", "/get_config")
        assert answer.status == 500
        assert answer.json["detail"] == UNCONFIGURED
    said = program.log.text().decode()
    assert f"<3>agora-agent: settings: AGORA_ENV_FILE: {path}: {READABLE}" \
        in said
    assert "missing" not in said  # it may be in the file
    status, report = check(rig, {"AGORA_ENV_FILE": path})
    assert status == 1
    assert f"{path} ($AGORA_ENV_FILE): refused: {READABLE}" in report
    assert "missing" not in report and "1 problem\n" in report
    os.chmod(path, 0o600)
    assert transport.request("GET", "/get_config").status == 200
    wait_until(lambda: "refused" not in check(rig, {
        "AGORA_ENV_FILE": path})[1], 5 * PATIENCE, "accepted")
    assert check(rig, {"AGORA_ENV_FILE": path})[0] == 0
    program.stop()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o602, 0o777, 0o444])
def test_h04_modes_that_are_refused(rig, mode):
    """Read or written by everybody."""
    status, report = check(rig, {"AGORA_ENV_FILE": settings_file(rig, mode)})
    assert status == 1 and "refused: everybody on this machine can" in report


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_h04_modes_that_are_good(rig, mode):
    """The owner's, and a group's."""
    status, report = check(rig, {"AGORA_ENV_FILE": settings_file(rig, mode)})
    assert status == 0 and "warning" not in report, report


def test_h04_a_container_may_vouch_for_its_file(rig):
    """But the file may not for itself."""
    path = settings_file(rig, 0o644, AGORA_ENV_FILE_UNSAFE="1")
    assert check(rig, {"AGORA_ENV_FILE": path})[0] == 1
    status, report = check(rig, {"AGORA_ENV_FILE": path,
                                 "AGORA_ENV_FILE_UNSAFE": "1"})
    assert status == 0
    assert f"warning: {path}: {READABLE}" in report


def test_h04_credentials_of_systemd(rig):
    """LoadCredential hands out a 0400 file in a 0500 folder."""
    folder = rig.programs.file("credentials")
    os.mkdir(folder, 0o700)
    os.rename(settings_file(rig, 0o400), os.path.join(folder, "env"))
    os.chmod(folder, 0o500)
    status, report = check(rig, {"CREDENTIALS_DIRECTORY": folder})
    assert status == 0 and "warning" not in report, report


def test_h04_secrets_of_kubernetes(rig):
    """A sticky folder, and a link to a link."""
    folder = rig.programs.file("secret")
    os.makedirs(os.path.join(folder, "..2026"))
    os.rename(settings_file(rig, 0o440), os.path.join(folder, "..2026/env"))
    os.symlink("..2026", os.path.join(folder, "..data"))
    os.symlink("..data/env", os.path.join(folder, "env"))
    os.chmod(folder, 0o1777)
    env = {"AGORA_ENV_FILE": os.path.join(folder, "env")}
    assert check(rig, env)[0] == 0
    os.chmod(folder, 0o777)
    status, report = check(rig, env)
    assert status == 1 and "can write to a folder above it" in report


@pytest.mark.parametrize("name, refused", [
    ("public_html", True), ("htdocs", True), ("www", False)])
def test_h04_a_web_root_is_no_place_for_settings(rig, name, refused):
    """Nor behind a link; where it may be none, that is a warning."""
    folder = rig.programs.file("home")
    os.mkdir(folder, 0o755)
    folder = os.path.join(folder, name)
    os.mkdir(folder, 0o755)
    path = os.path.join(folder, ".env")
    os.rename(settings_file(rig, 0o600), path)
    link = rig.programs.file("link")
    os.symlink(path, link)
    for name in (path, link):
        status, report = check(rig, {"AGORA_ENV_FILE": name})
        if refused:
            assert status == 1
            assert "refused: it lies in a folder that web servers " \
                "publish; move it out" in report
        else:
            assert status == 0
            assert f"warning: {name}: it lies in a folder that a web " \
                "server may publish" in report


@as_root
def test_h04_another_users_file_is_refused(rig):
    """Its owner could change it: in /tmp, say, from where we are started."""
    path = settings_file(rig, 0o600)
    os.chown(path, STRANGER, -1)
    status, report = check(rig, {"AGORA_ENV_FILE": path})
    assert status == 1 and "refused: it belongs to another user" in report


@as_root
def test_h04_the_owner_of_the_program_may_own_its_settings(rig):
    """A shared host that runs a customer's programs as the web server."""
    user = pwd.getpwnam(WEB_USER)
    path = settings_file(rig, 0o640)
    share(path)
    os.chown(path, STRANGER, -1)
    program = rig.programs.file("get_config.fcgi")
    shutil.copy(rig.programs.build / "get_config.fcgi", program)
    os.chmod(program, 0o755)
    who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    status, report = check(rig, {"AGORA_ENV_FILE": path}, path=program, **who)
    assert status == 1 and "refused: it belongs to another user" in report
    os.chown(program, STRANGER, -1)
    status, report = check(rig, {"AGORA_ENV_FILE": path}, path=program, **who)
    assert status == 0, report


# ---- H04: the web servers ---------------------------------------------------

SPELLINGS = ("/.env", "/.env.local", "/env.sample", "/%2eenv", "/./.env",
             "/get_config/../.env", "/api/../.env", "/.env/", "/.env?x",
             "/.env%00", "/.env~", "/.env.bak", "//.env", "/v2/.env",
             "/..%2f.env", "/etc/.env", "/libexec/.env")


@pytest.mark.parametrize("kind", ["nginx", "apache-fcgid", "apache-proxy",
                                  "apache-cgi"])
def test_h04_web_servers_hand_out_no_env_file(rig, kind):
    """Not where the shipped configurations look, and not beside it."""
    transport = rig.transport(kind)
    transport.server.expect(FORBIDDEN, "AH00026: found %2f", "AH10244: ",
                            "AH00127: ", r"AH00036: ")
    base = transport.server.folder
    folders = [base, *(base / name for name in
                       ("html", "www", "etc", "libexec", "htdocs"))]
    made = []
    for folder in folders:
        if not folder.is_dir():
            folder.mkdir(mode=0o755)
            made.append(folder)
        for name in (".env", ".env.local", "env.sample", ".env.bak",
                     ".env~"):
            path = folder / name
            path.write_text(f"APP_CERTIFICATE={CANARY}\n", encoding="ascii")
            path.chmod(0o644)
            made.append(path)
    try:
        for path in SPELLINGS:
            answer = transport.request("GET", path)
            assert answer.status >= 300, (path, answer.status)
            assert CANARY.encode() not in answer.body + answer.raw_head
    finally:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()


# ---- H06: values that are wrong ---------------------------------------------

@pytest.mark.parametrize("value, why", [
    (CANARY + "00", "has characters that are no hex digits"),
    ("0123456789abcdef" * 2 + "77777777", "has the wrong length"),
    ("0123456789abcdef 123456789abcdef", "no hex digits"),
    ("0123456789abcdef0123456789abcde ", "white space at its start or end"),
    ("0123456789abcdef\\n0123456789abcde", "no hex digits"),
    ("0123456789abcdef0123456789abcdeß", "no hex digits"),
])
@pytest.mark.parametrize("where", ["file", "environment"])
def test_h06_a_wrong_certificate_is_named_not_shown(rig, where, value, why):
    """By the answer, the log and --check."""
    settings = rig.upstream.settings()
    env = {}
    settings["APP_CERTIFICATE"] = value
    if where == "environment":
        value = value.replace("\\n", "\n")
        env["APP_CERTIFICATE"] = value
        del settings["APP_CERTIFICATE"]
    path = rig.programs.env_file(settings, "wrong.env")
    if where == "file":
        with open(path, encoding="utf-8") as file:
            text = file.read().replace(f"'{value}'", f'"{value}"')
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    transport = Cgi(rig.programs, path)
    answer = transport.request("GET", "/get_config", extra=env)
    status, report = check(rig, {"AGORA_ENV_FILE": path, **env})
    assert answer.status == 500 and answer.json["detail"] == UNCONFIGURED
    assert status == 1
    said = transport.log.text().decode()
    for text in (said, report):
        assert "APP_CERTIFICATE in " in text and why in text
    for part in (value, value.split("\n")[0], value[:12]):
        assert part not in said + report + answer.body.decode()
