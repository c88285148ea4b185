"""agora-agent doctor: a set-up without a fault has no finding, and one with a
fault has the finding that is named after it and no other."""

import contextlib
import http.server
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import threading

import pytest

import fcgi_client
import nameserver
import preload
import servers
from client import Sandbox
from processes import ENDPOINTS, PATIENCE, ROOT, WRAPPED
from transports import Http
from watch import WATCH

pytestmark = pytest.mark.skipif(
    WRAPPED, reason="it looks at the programs themselves")
needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be two users")
each = pytest.mark.parametrize

PAGE = "https://page.example"
ANY_PAGE = ("\tdefault any;\n\t# default none;\n"
            '\t# "https://www.example.com" listed;\n')
CONF = "nginx/agora-agent.conf"
COMMON = "nginx/snippets/agora-agent/common.conf"
SITE = "nginx/site.example"
ALLOW = "add_header Access-Control-Allow-Origin $agora_agent_origin always;\n"
NOT_ALLOWED = r"connect\(\) to unix:\S+ failed \(13: "


# -- running it ---------------------------------------------------------------

class Doctor:
    """The tool, with the settings file and options of a set-up."""

    def __init__(self, tool, environment, env_file):
        self.tool = tool
        self.environment = environment
        self.env_file = env_file
        self.options = {}
        self.more = {}

    def _changed(self):
        other = Doctor(self.tool, self.environment, self.env_file)
        other.options = dict(self.options)
        return other

    def reading(self, env_file):
        """The same with another settings file."""
        other = self._changed()
        other.env_file = env_file
        return other

    def given(self, **options):
        """The same with other options, lists of values; None: without."""
        other = self._changed()
        other.options.update(options)
        return other

    def run(self, *more, user=None, wrap=list):
        """Runs it as it is typed; nothing that it says is a secret."""
        command = [self.tool, "doctor", *more]
        for name, values in self.options.items():
            for value in values or ():
                command += ["--" + name.replace("_", "-"), str(value)]
        how = {"user": user.pw_uid, "group": user.pw_gid,
               "extra_groups": []} if user else {}
        done = subprocess.run(
            wrap(command), capture_output=True, timeout=60 * PATIENCE,
            check=False, cwd="/", env=self.environment(
                {"AGORA_ENV_FILE": self.env_file, **self.more}), **how)
        WATCH.search("doctor", done.stdout + done.stderr)
        return done

    def report(self, **how):
        """What --json says, which has one form."""
        done = self.run("--json", **how)
        assert not done.stderr, done.stderr
        report = json.loads(done.stdout)
        assert list(report) == ["version", "findings", "checks"]
        for finding in report["findings"]:
            assert list(finding) == ["code", "severity", "subject", "seen",
                                     "cause", "cure"]
            assert all(finding.values()) and "{" not in finding["cure"]
        for check in report["checks"]:
            assert list(check) == ["check", "result", "seen"]
            assert check["result"] in ("ok", "skipped")
        bad = any(finding["severity"] == "problem"
                  for finding in report["findings"])
        assert done.returncode == (1 if bad else 0)
        return report

    def finds(self, *codes, **how):
        """It has found what has these codes and nothing else."""
        report = self.report(**how)
        assert [finding["code"] for finding in report["findings"]] == list(
            codes), json.dumps(report, indent=1)
        return report["findings"]


@pytest.fixture(scope="module", name="agora")
def agora_fixture(programs):
    """A stand-in for Agora that no other test asks."""
    folder = programs.file("doctor-agora")
    os.mkdir(folder, 0o755)
    sandbox = Sandbox(folder, app_certificate=os.urandom(16).hex())
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(name="env_file")
def env_file_fixture(programs, agora):
    """A maker of settings files that are right but for what it is given;
    None leaves a setting out."""
    def make(mode=0o640, name="env", **more):
        settings = {"APP_ID": agora.app_id,
                    "APP_CERTIFICATE": agora.app_certificate,
                    "AGORA_API_BASE_URL": agora.base_url,
                    "AGORA_CA_FILE": agora.ca_file, **more}
        settings = {key: value for key, value in settings.items()
                    if value is not None}
        WATCH.keep_settings(settings)
        path = programs.env_file(settings, name, mode)
        os.chmod(path, mode)
        servers.share(path)
        return path
    return make


def install(programs, name):
    """The tool and the programs as make install leaves them. Returns the
    folder of the programs."""
    prefix = pathlib.Path(programs.file(name))
    libexec = prefix / "libexec/agora-agent"
    for folder in (prefix, prefix / "bin", prefix / "libexec", libexec):
        folder.mkdir(mode=0o755)
    shutil.copy2(programs.build / "agora-agent", prefix / "bin")
    for endpoint in ENDPOINTS:
        shutil.copy2(programs.build / f"{endpoint}.fcgi", libexec)
    for path in (prefix / "bin/agora-agent", *libexec.iterdir()):
        path.chmod(0o755)
    return libexec


@pytest.fixture(scope="module", name="installed")
def installed_fixture(programs):
    """One that no test changes."""
    return install(programs, "usr")


@pytest.fixture(name="doctor")
def doctor_fixture(programs, rig, env_file, installed):
    """The doctor of a set-up without a fault, without a site."""
    doctor = Doctor(str(installed.parent.parent / "bin/agora-agent"),
                    programs.environment, env_file())
    sockets = rig.transport("nginx").server.sockets
    return doctor.given(web_user=[servers.WEB_USER],
                        socket=list(sockets.values()))


def url_of(server):
    """What --url takes."""
    return [f"http://127.0.0.1:{server.port}/"]


@pytest.fixture(name="site")
def site_fixture(folder, rig):
    """A maker of web servers with a fault, before good programs unless other
    sockets are given."""
    made = []

    def make(kind=servers.Nginx, *arguments, sockets=(), expect=(), **more):
        good = rig.transport("nginx").server.sockets
        server = kind(folder, *arguments, sockets={**good, **dict(sockets)},
                      **more)
        server.expect(*expect)
        made.append(server)
        return server
    yield make
    for server in made:
        server.stop()


def status_of(server, path="/get_config"):
    """What a visitor gets."""
    return Http("site", server).request("GET", path).status


@contextlib.contextmanager
def listener(path, backlog=8, answer=None):
    """Somebody else's socket at ${path}. It says ${answer} to whoever comes,
    or nothing."""
    def serve():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = sock.accept()
                with peer:
                    peer.recv(4096)
                    peer.sendall(answer)

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        os.chmod(path, 0o660)
        servers.share(path)
        sock.listen(backlog)
        thread = threading.Thread(target=serve, daemon=True)
        if answer is not None:
            thread.start()
        yield sock
        sock.shutdown(socket.SHUT_RDWR)
        if answer is not None:
            thread.join()


# -- nothing is wrong ---------------------------------------------------------

@each("kind, profile", [
    ("nginx", "default"), ("nginx", "keys"), ("nginx", "token"),
    ("nginx", "origins"), ("apache-proxy", "default"),
    ("apache-proxy", "keys and token"), ("apache-fcgid", "default"),
    ("apache-cgi", "keys")])
def test_a_clean_set_up_has_no_finding(doctor, rig, kind, profile):
    """Through each web server, and with access control. Nothing is started
    or stopped by looking."""
    server = rig.transport(kind, profile).server
    doctor = doctor.reading(rig.env_file(profile)).given(url=url_of(server))
    if kind in ("nginx", "apache-proxy"):
        doctor = doctor.given(socket=list(server.sockets.values()))
    before = rig.upstream.calls()
    done = doctor.run()
    text = done.stdout.decode()
    assert done.returncode == 0 and not done.stderr, text
    assert text.endswith("\nno problem found\n"), text
    for check in ("settings", "agents", "programs", "sockets", "dns", "clock",
                  "agora", "site"):
        assert re.search(rf"^ok +{check} ", text, re.M), text
    assert ("Authorization reaches the program" in text) == (
        "key" in profile or "token" in profile)
    assert rig.upstream.calls() == before


@needs_root
def test_a_shared_host(doctor, programs, env_file, site):
    """Nothing but a folder of the site's, and no root: the settings, in the
    folder above, are found as the programs find them."""
    server = site(servers.Apache, "htaccess-cgid", build=programs.build)
    os.rename(env_file(), server.folder / ".env")
    report = doctor.reading("").given(
        programs=[server.folder / "www"], web_user=None,
        url=url_of(server)).report(user=pwd.getpwnam(servers.WEB_USER))
    assert not report["findings"], report
    assert {"check": "settings", "result": "ok",
            "seen": f"from {server.folder}/.env"} in report["checks"]


def test_json_is_the_same_each_time(doctor):
    """No time and no number of its own; one line."""
    first, second = doctor.run("--json"), doctor.run("--json")
    assert first.stdout == second.stdout and first.stdout.count(b"\n") == 1


def test_text_for_people(doctor, env_file):
    """A block for what is wrong, a line for what is not."""
    path = env_file(0o644)
    done = doctor.reading(path).run("--offline")
    assert done.returncode == 1
    text = done.stdout.decode()
    assert f"problem  settings-mode  {path}\n         seen   " in text
    assert f"\n         cure   chmod 600 {path}\n" in text
    assert text.endswith("\n1 problem\n")


def test_wrong_use(doctor):
    """Says so, and does nothing."""
    for wrong in (["--nonsense"], ["more"], ["--url", "ftp://x"], ["--url"],
                  ["--url", "https:///"],
                  ["--web-user", "nobody-at-all"], ["--programs", "/none"]):
        done = doctor.run(*wrong)
        assert done.returncode == 2 and not done.stdout and done.stderr, wrong


def test_it_writes_no_file(doctor, installed):
    """Not beside the programs, which it runs there."""
    def state():
        return [(path, path.stat().st_mtime_ns)
                for path in sorted(installed.parent.parent.rglob("*"))]
    before = state()
    doctor.finds()
    assert state() == before


@needs_root
def test_what_needs_root_is_left_out(doctor, folder):
    """On a shared host there is none: somebody else's settings and sockets
    are no fault."""
    folder.chmod(0o755)
    report = doctor.report(user=pwd.getpwnam("nobody"))
    assert not report["findings"], report
    skipped = {check["check"]: check["seen"] for check in report["checks"]
               if check["result"] == "skipped"}
    assert "needs root" in skipped["settings"]
    assert "needs root" in skipped["sockets"]
    assert {"check": "programs", "result": "ok"}.items() <= next(
        check for check in report["checks"]
        if check["check"] == "programs").items()


# -- settings -----------------------------------------------------------------

@each("code, more", [
    ("settings-missing", {"APP_ID": None}),
    ("settings-missing", {"APP_CERTIFICATE": None}),
    ("settings-mode", {"mode": 0o644}),
    ("settings-mode", {"mode": 0o602}),
    ("settings-group", {"mode": 0o660}),
    ("settings-value", {"AGORA_AREA": "MARS"}),
    ("settings-value", {"AGORA_CA_FILE": "/nowhere.pem"}),
    ("settings-twice", {"AGORA_APP_ID": "0" * 32}),
    ("app-id-shape", {"APP_ID": "0123456789abcdef"}),
    ("certificate-shape", {"APP_CERTIFICATE": os.urandom(16).hex()[1:]}),
    ("certificate-shape", {"APP_CERTIFICATE": os.urandom(15).hex() + "no"}),
])
def test_settings(doctor, env_file, code, more):
    """Faults of the file, or of a value in it."""
    doctor.reading(env_file(**more)).finds(code)


def test_settings_of_both_fields_alike(doctor, env_file, agora):
    """The app id pasted into both."""
    doctor.reading(env_file(APP_CERTIFICATE=agora.app_id)).finds(
        "certificate-shape")


def skip_if_installed():
    """Where settings are found without being named."""
    for path in ("/etc/agora-agent/env", "~/.config/agora-agent/env"):
        if os.path.exists(os.path.expanduser(path)):
            pytest.skip("this machine has a settings file")


def test_settings_without_a_file(doctor):
    """Only the two that are required are said to be missing."""
    skip_if_installed()
    doctor.reading("").finds("settings-missing", "settings-missing")


def test_settings_of_no_use(doctor, folder):
    """What is there, but is no file."""
    doctor.reading(str(folder)).finds("settings-unreadable")


def test_settings_with_a_line_of_nonsense(doctor, env_file):
    """A warning: the others count."""
    path = env_file()
    with open(path, "a", encoding="utf-8") as file:
        file.write("this is = not a line\n")
    doctor.reading(path).finds("settings-line")


def test_settings_in_a_web_root(doctor, env_file, folder):
    """Where a web server may publish them."""
    (folder / "public_html").mkdir()
    path = shutil.copy2(env_file(0o600), folder / "public_html/env")
    doctor.reading(str(path)).finds("settings-webroot")


def test_settings_in_a_folder_of_everybodys(doctor, env_file, folder):
    """Who can write there can put another file in its place."""
    (folder / "open").mkdir()
    path = shutil.copy2(env_file(0o600), folder / "open/env")
    (folder / "open").chmod(0o777)
    doctor.reading(str(path)).finds("settings-folder")


@needs_root
def test_settings_of_another_user(doctor, env_file):
    """Neither root's nor the program's."""
    path = env_file(0o600)
    shutil.chown(path, "nobody")
    doctor.reading(path).finds("settings-owner")


@needs_root
def test_settings_of_the_web_server(doctor, env_file):
    """Those are right for programs that it starts; root cannot tell."""
    path = env_file(0o600)
    shutil.chown(path, servers.WEB_USER)
    report = doctor.reading(path).report()
    assert not report["findings"], report
    assert any("run this as that user" in check["seen"]
               for check in report["checks"])


def test_agent_file(doctor, env_file, folder):
    """One that is no JSON."""
    (folder / "agent.json").write_text('{"properties": {', encoding="utf-8")
    found, = doctor.reading(env_file(
        AGENT_FILE=str(folder / "agent.json"))).finds("agent-file")
    assert found["subject"] == str(folder / "agent.json")


# -- programs -----------------------------------------------------------------

def lose_library(path):
    """Has the program ask for a library that no machine has."""
    content = path.read_bytes()
    assert b"\0libfcgi.so." in content
    path.write_bytes(content.replace(b"\0libfcgi.so.", b"\0libnone.so."))


@each("code, damage", [
    ("program-missing", pathlib.Path.unlink),
    ("program-mode", lambda path: path.chmod(0o644)),
    ("program-mode", lambda path: path.chmod(0o775)),
    ("program-mode", lambda path: path.parent.chmod(0o775)),
    ("program-library", lose_library),
    ("program-cgi", lambda path: path.write_text("not a program\n")),
    ("program-cgi", lambda path: path.write_text("#!/bin/sh\necho hello\n")),
    ("program-cgi", lambda path: path.write_text("#!/bin/sh\nkill -9 $$\n")),
    ("program-cgi", lambda path: path.write_text(
        "#!/bin/sh\nexec >&- 2>&-\nexec sleep 600\n")),
    ("program-library", lambda path: path.write_text("#!/none\necho\n")),
])
def test_program(doctor, programs, code, damage):
    """Each fault of one of the three, which stand in one folder."""
    libexec = install(programs, "damaged")
    damage(libexec / "start_agent.fcgi")
    doctor.given(programs=[libexec]).finds(code)


def test_what_others_say_is_no_command_to_a_terminal(doctor, programs):
    """Neither as bytes nor as characters."""
    libexec = install(programs, "rude")
    (libexec / "start_agent.fcgi").write_text(
        "#!/bin/sh\nprintf 'a\\233b\\302\\233c\\033d\\303\\244\\177'\n")
    found, = doctor.given(programs=[libexec]).finds("program-cgi")
    assert found["seen"] == 'the answer begins "a?b??c?d\u00e4?"'


@needs_root
@pytest.mark.skipif(nameserver.unavailable() is not None,
                    reason=str(nameserver.unavailable()))
def test_root_runs_no_program(doctor, programs, folder):
    """Where there is no user that the web server could run as, it would."""
    libexec = install(programs, "anybodys")
    (libexec / "stop_agent.fcgi").write_text(f"#!/bin/sh\n>{folder}/run\n")
    (folder / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    report = doctor.given(programs=[libexec], web_user=None).report(
        wrap=lambda command: [
            "unshare", "-m", "sh", "-c",
            'mount --bind "$0" /etc/passwd && exec "$@"',
            str(folder / "passwd"), *command])
    assert not (folder / "run").exists()
    assert {"check": "programs", "result": "skipped",
            "seen": "no user www-data, nginx or apache to run them as: "
                    "--web-user names another"} in report["checks"]


# -- sockets: 502 at the web server -------------------------------------------

def sockets_with(doctor, path):
    """Its sockets, get_config's replaced."""
    return doctor.given(socket=[path, *doctor.options["socket"][1:]])


@needs_root
def test_socket_permission(doctor, programs, site):
    """502, and 13: Permission denied in nginx's log."""
    program = programs.listen("get_config", doctor.env_file)
    server = site(sockets={"get_config": program.socket},
                  expect=[NOT_ALLOWED])
    os.chmod(program.socket, 0o600)
    assert status_of(server) == 502
    found, = sockets_with(doctor, program.socket).given(
        url=url_of(server)).finds("socket-permission")
    assert "(13)" in found["seen"] and "as www-data" in found["seen"]


def test_socket_missing(doctor, programs, site):
    """502, and 2: No such file or directory."""
    path = programs.file("get_config.sock")
    server = site(sockets={"get_config": path}, expect=[servers.DOWN])
    assert status_of(server) == 502
    found, = sockets_with(doctor, path).given(
        url=url_of(server)).finds("socket-missing")
    assert "(2)" in found["seen"]
    assert found["cure"].endswith("enable --now agora-agent.target")


def test_socket_refused(doctor, programs, site):
    """502 after a crash, and 111: Connection refused: who bound the socket
    himself left it behind."""
    program = programs.listen("get_config", doctor.env_file, workers=0)
    server = site(sockets={"get_config": program.socket},
                  expect=[servers.DOWN])
    programs.running.remove(program)
    program.kill()
    assert status_of(server) == 502
    found, = sockets_with(doctor, program.socket).given(
        url=url_of(server)).finds("socket-refused")
    assert "(111)" in found["seen"]


def test_socket_busy(doctor, programs, site):
    """502, and 11: Resource temporarily unavailable: nobody accepts."""
    path = programs.file("s")
    waiting = []
    with listener(path, backlog=0):
        server = site(sockets={"get_config": path}, expect=[
            r"connect\(\) to unix:\S+ failed \(11: "])
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(path)
        assert status_of(server) == 502
        found, = sockets_with(doctor, path).given(
            url=url_of(server)).finds("socket-busy")
        assert "(11)" in found["seen"]
        for sock in waiting:
            sock.close()


def test_socket_for_everybody(doctor, programs):
    """chmod 777, as some pages advise."""
    program = programs.listen("get_config", doctor.env_file)
    os.chmod(program.socket, 0o777)
    sockets_with(doctor, program.socket).finds("socket-mode")


def test_socket_that_never_answers(doctor, programs, site):
    """504: the program hangs. Seen from the site alone, it took too long."""
    path = programs.file("s")
    with listener(path):
        server = site(sockets={"get_config": path},
                      replace=[(COMMON, "fastcgi_read_timeout 30s;",
                                "fastcgi_read_timeout 200ms;")],
                      expect=[servers.TIMED_OUT])
        assert status_of(server) == 504
        doctor.given(url=url_of(server)).finds("url-timeout")
        sockets_with(doctor, path).given(
            url=url_of(server)).finds("socket-silent")


FCGIWRAP = (fcgi_client.record(
    fcgi_client.STDOUT, 1, b"Status: 403 Forbidden\r\nContent-type: "
    b"text/plain\r\n\r\n403\n") + fcgi_client.record(fcgi_client.STDOUT, 1)
    + fcgi_client.record(fcgi_client.END_REQUEST, 1, bytes(8)))


@each("answer", [FCGIWRAP, b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_socket_of_somebody_else(doctor, programs, answer):
    """fcgiwrap, which would start a program for each request; a server of
    HTTP; what hangs up."""
    path = programs.file("s")
    with listener(path, answer=answer):
        sockets_with(doctor, path).finds("socket-answer")


def test_service_with_other_settings(doctor, programs):
    """Started before the settings were right, or with a copy that is not."""
    empty = programs.env_file({"LOG_LEVEL": "error"}, mode=0o640)
    program = programs.listen("get_config", empty)
    servers.share(program.socket)
    sockets_with(doctor, program.socket).finds("service-unconfigured")


# -- Agora --------------------------------------------------------------------

def closed_port():
    """Where nobody listens."""
    return servers.free_port()


@each("code, fault", [
    ("service-not-enabled", {"status": 403}),
    ("clock", {"status": 401, "date_skew_s": 3600}),
    ("clock", {"date_skew_s": -120}),
    ("agora-refused", {"status": 429}),
    ("agora-unreachable", {"close": "reset"}),
    ("area", {"status": 404,
              "body": {"message": "no Route matched with those values"}}),
])
def test_agora_says(doctor, agora, code, fault):
    """To the list call, which nothing else makes here."""
    agora.fault("list", match={"times": 1}, **fault)
    doctor.finds(code)


def test_agora_does_not_know_us(doctor, env_file):
    """Another project's certificate."""
    doctor.reading(env_file(APP_CERTIFICATE=os.urandom(16).hex())).finds(
        "credentials")


def test_agora_is_not_below_that_path(doctor, env_file, agora):
    """AGORA_API_BASE_URL without the path of its project."""
    doctor.reading(env_file(AGORA_API_BASE_URL=agora.origin)).finds("area")


def test_agora_cannot_be_looked_up(doctor, env_file):
    """No name server knows it."""
    doctor.reading(env_file(
        AGORA_API_BASE_URL="https://agora.invalid/api")).finds("dns")


@pytest.mark.skipif(nameserver.unavailable() is not None,
                    reason=str(nameserver.unavailable()))
@each("known, codes", [
    (3, ["dns-partly", "agora-unreachable"]), (0, ["dns"])])
def test_agora_can_partly_be_looked_up(doctor, env_file, known, codes):
    """Some of an area's four hosts, where here nobody listens."""
    names = [f"api-{region}-1.{domain}" for region in ("us-west", "us-east")
             for domain in ("agora.io", "sd-rtn.com")]
    with nameserver.Nameserver(
            {name: ["127.88.2.1"] for name in names[:known]}) as dns:
        doctor = doctor.reading(env_file(AGORA_API_BASE_URL=None,
                                         AGORA_AREA="US"))
        doctor.finds(*codes, wrap=dns.wrap)
        assert all(dns.asked(name) for name in names)


def test_who_of_agora_answered(doctor, env_file, programs, agora):
    """The first of an area's hosts is away: it is not said to accept us."""
    doctor = doctor.reading(env_file(AGORA_API_BASE_URL=None,
                                     AGORA_AREA="US"))
    doctor.more = preload.environment(
        preload.build(programs.folder),
        [(f"api-us-{region}-1.{domain}",
          "refused" if region == "west" else agora)
         for region in ("west", "east") for domain in ("agora.io",
                                                       "sd-rtn.com")])
    assert "api-us-east-1.agora.io accepts app id and certificate" in [
        check["seen"] for check in doctor.report()["checks"]]


def test_agora_does_not_answer(doctor, env_file):
    """Nobody is at that port."""
    doctor.reading(env_file(
        AGORA_API_BASE_URL=f"https://127.0.0.1:{closed_port()}")).finds(
            "agora-unreachable")


def test_agora_cannot_be_trusted(doctor, env_file, upstream):
    """The list of authorities does not have the one that is needed."""
    doctor.reading(env_file(AGORA_CA_FILE=upstream.sandbox.ca_file)).finds(
        "ca-bundle")


def test_offline(doctor, env_file):
    """Then nobody is asked."""
    report = json.loads(doctor.reading(env_file(
        AGORA_API_BASE_URL="https://agora.invalid/api")).run(
            "--offline", "--json").stdout)
    assert not report["findings"]


# -- the site -----------------------------------------------------------------

HTML_PAGES = [
    (COMMON, "fastcgi_intercept_errors off;", "fastcgi_intercept_errors on;"),
    ("nginx/snippets/agora-agent.conf", "default_type application/json;",
     "default_type text/html;"),
    ("nginx/snippets/agora-agent.conf", "return 200 '{",
     "return 200 '<h1>$status</h1>{")]
ONE_PAGE = ANY_PAGE.replace("default any", "default none").replace(
    "# default none", "# default any")


@each("code, how, replace", [
    # "Unexpected token '<'" in the browser: HTML error pages.
    ("url-not-json", {}, HTML_PAGES),
    # A CORS error, although it is configured: two headers; none on errors,
    # for want of "always"; a slash at the end of the origin; nobody listed.
    ("url-cors", {}, [(COMMON, ALLOW, ALLOW + ALLOW)]),
    ("url-cors", {"origin": [PAGE]},
     [(COMMON, ALLOW, ALLOW.replace(" always", ""))]),
    ("url-cors", {"origin": [PAGE]}, [(CONF, ANY_PAGE, ONE_PAGE.replace(
        '# "https://www.example.com"', f'"{PAGE}/"'))]),
    ("url-cors-none", {}, [(CONF, ANY_PAGE, ONE_PAGE)]),
    ("url-cors", {}, [(COMMON, ALLOW, ALLOW + "add_header "
                       "Access-Control-Allow-Credentials true always;\n")]),
    ("url-preflight", {}, [(COMMON, "return 204;", "return 405;")]),
    ("url-status", {}, [(COMMON, "if ($request_method = OPTIONS)",
                         "deny all;\nif ($request_method = OPTIONS)")]),
    ("url-redirect", {}, [
        (SITE, "\tinclude snippets/agora-agent.conf;\n",
         "\treturn 301 https://api.example.com$request_uri;\n")]),
])
def test_nginx(doctor, site, code, how, replace):
    """Each fault that an administrator can make in the shipped files."""
    server = site(replace=replace, expect=[servers.FORBIDDEN])
    doctor.given(url=url_of(server), **how).finds(code)


def test_url_of_another_folder(doctor, rig):
    """There are no routes below it."""
    server = rig.transport("nginx").server
    doctor.given(url=[url_of(server)[0] + "nowhere"]).finds("url-missing")


def test_url_without_a_program(doctor, programs, site):
    """502, and the sockets that the doctor was told of are others."""
    server = site(sockets={"start_agent": programs.file("none")},
                  expect=[servers.DOWN])
    doctor.given(url=url_of(server)).finds("url-down")


def test_url_of_nobody(doctor):
    """No web server is there."""
    doctor.given(url=[f"http://127.0.0.1:{closed_port()}"]).finds(
        "url-unreachable")


def test_url_of_somebody_mute(doctor):
    """It takes the connection, and hangs up."""
    def serve():
        peer, _ = sock.accept()
        peer.recv(4096)
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=serve)
        thread.start()
        doctor.given(url=[f"http://127.0.0.1:{sock.getsockname()[1]}"]).finds(
            "url-timeout")
        thread.join()


class Portal(http.server.BaseHTTPRequestHandler):
    """Has a long page for whatever is asked."""

    def do_GET(self):
        """Answers."""
        page = b"<html>" + b" " * 100000
        self.send_response(404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(page)

    def log_message(self, *_):
        """Says nothing."""


def test_url_of_another_program(doctor):
    """Whose page is longer than any answer: somebody is there."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        doctor.given(url=[f"http://127.0.0.1:{server.server_port}"]).finds(
            "url-not-json")
        server.shutdown()
        thread.join()


def test_url_with_a_certificate_of_its_own(doctor, agora):
    """Which no browser would take."""
    doctor.given(url=[agora.origin]).finds("url-certificate")


@each("below", ["", "api"])
def test_env_file_is_served(doctor, agora, site, below):
    """The settings lie in the site's folder, or in the host's top folder."""
    server = site(site="snippet", expect=[r'open\(\) "\S+" failed \(2: '])
    servers.write(server.folder / "www/.env",
                  f"# settings\nAPP_CERTIFICATE={agora.app_certificate}\n")
    url = url_of(server)[0]
    found, = doctor.given(url=[url + below]).finds("env-exposed")
    assert found["subject"] == url + ".env"


def test_authorization_is_dropped(doctor, rig, site):
    """Apache keeps it to itself without CGIPassAuth."""
    good = rig.transport("apache-proxy", "keys").server
    server = site(servers.Apache, "proxy-fcgi", sockets=good.sockets, replace=[
        ("apache/vhost-proxy-fcgi.conf", "CGIPassAuth On",
         "CGIPassAuth Off")])
    doctor.reading(rig.env_file("keys")).given(
        url=url_of(server), socket=list(good.sockets.values())).finds(
            "authorization-dropped")


def test_apache_cannot_run_it(doctor, programs, site):
    """500, "End of script output before headers": what is behind it shows
    where the programs are."""
    libexec = install(programs, "damaged")
    for endpoint in ENDPOINTS:
        lose_library(libexec / f"{endpoint}.fcgi")
    server = site(servers.Apache, "htaccess-cgid", build=libexec, expect=[
        servers.BROKEN_PROGRAM, "error while loading shared libraries"])
    assert status_of(server) == 500
    doctor.given(url=url_of(server)).finds("url-error")
    doctor.given(url=url_of(server), programs=[libexec]).finds(
        *["program-library"] * 3)


def test_apache_runs_it_without_settings(doctor, programs, site):
    """It works by hand, where the shell names the file; 500 on the host,
    where nothing of that arrives."""
    skip_if_installed()
    server = site(servers.Apache, "htaccess-cgid", build=programs.build)
    assert status_of(server) == 500
    doctor.given(url=url_of(server)).finds("url-unconfigured")


def test_apache_hands_it_out(doctor, programs, site):
    """Neither mod_fcgid nor CGI, and nothing that forbids it."""
    server = site(servers.Apache, "htaccess-none", build=programs.build)
    (server.folder / "www/.htaccess").unlink()
    assert status_of(server, "/get_config.fcgi") == 200
    doctor.given(url=url_of(server)).finds("url-download")


# -- all of it ----------------------------------------------------------------

# What administrators see, and what finds it: codes of which each is provoked
# above, or why it cannot be provoked.
SYMPTOMS = {
    "502, 13: Permission denied": ["socket-permission"],
    "502, 2 / 111": ["socket-missing", "socket-refused"],
    "502 after a restart": ["socket-refused"],
    "502, 11": ["socket-busy"],
    "504 on a start": ["url-timeout", "socket-silent"],
    "Unexpected token '<'": ["url-not-json"],
    "CORS error although configured": ["url-cors", "url-cors-none",
                                       "url-preflight"],
    "End of script output before headers": [
        "url-error", "program-library", "program-mode", "program-cgi"],
    "Apache's reload takes 10 s": "idle programs end at once: test_restarts",
    "Authorization is missing": ["authorization-dropped"],
    "500 for bodies over 128 KiB": "they get 413: test_deploy",
    "the program is downloaded": ["url-download"],
    "works by hand, 500 on the host": ["url-unconfigured",
                                       "service-unconfigured"],
    "fcgiwrap starts a process per request": ["socket-answer"],
    "no log with spawn-fcgi": "its /dev/null is not for others to see",
    "port reachable from outside": "TCP is refused: test_processes",
}


def test_every_symptom_has_an_answer(doctor):
    """By codes that there are."""
    known = doctor.given(web_user=None, socket=None).run(
        "--codes").stdout.decode()
    for codes in SYMPTOMS.values():
        for code in codes if isinstance(codes, list) else ():
            assert f"\n{code}\t" in known, code


# -- the words ----------------------------------------------------------------

def test_the_readme_has_every_code(doctor):
    """The codes of the tool are those of the troubleshooting table."""
    lines = doctor.given(web_user=None, socket=None).run(
        "--codes").stdout.decode().splitlines()
    codes = [line.split("\t")[0] for line in lines]
    assert len(set(codes)) == len(codes) and all(
        len(line.split("\t")) == 4 for line in lines)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n## Something does not work\n")[1].split(
        "\n## ")[0]
    listed = re.findall(r"`([a-z]+(?:-[a-z]+)+|dns|clock|area|credentials)`",
                        section)
    assert sorted(set(listed)) == sorted(codes)


def test_this_file_provokes_every_code(doctor):
    """Each has a fault here that is found by it."""
    codes = [line.split("\t")[0] for line in doctor.given(
        web_user=None, socket=None).run("--codes").stdout.decode().split("\n")
             if line]
    text = pathlib.Path(__file__).read_text(encoding="utf-8")
    assert not [code for code in codes if f'"{code}"' not in text]
