"""The web servers' files: accepted by Debian's servers, and what the servers
answer by themselves, mostly with no program behind them.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

import echo
import servers
from processes import PATIENCE
from transports import ROUTES, Http, HttpConnection, http_bytes

ORIGIN = "https://page.example"
DEBIAN = pathlib.Path("/etc")


def nginx(folder, **more):
    """A host name of our own."""
    return servers.Nginx(folder, **more)


def nginx_snippet(folder, **more):
    """In a site of somebody else's."""
    return servers.Nginx(folder, site="snippet", **more)


def nginx_errors(folder, **more):
    """In a site of somebody else's that takes errors.conf too."""
    return servers.Nginx(folder, site="snippet", errors=True, **more)


def proxy(folder, **more):
    """A host name of our own."""
    return servers.Apache(folder, "proxy-fcgi", **more)


def proxy_shared(folder, **more):
    """In a site of somebody else's."""
    return servers.Apache(folder, "proxy-fcgi", shared=True, **more)


def fcgid(folder, **more):
    """A host name of our own."""
    return servers.Apache(folder, "fcgid", **more)


def fcgid_shared(folder, **more):
    """In a site of somebody else's."""
    return servers.Apache(folder, "fcgid", shared=True, **more)


def htaccess_fcgid(folder, **more):
    """A shared host with mod_fcgid."""
    return servers.Apache(folder, "htaccess-fcgid", **more)


def htaccess_cgid(folder, **more):
    """A shared host with mod_cgid."""
    return servers.Apache(folder, "htaccess-cgid", **more)


def htaccess_none(folder, **more):
    """A shared host that runs no programs."""
    return servers.Apache(folder, "htaccess-none", **more)


OWN = (nginx, proxy, fcgid)
SHARED = (nginx_snippet, proxy_shared, fcgid_shared)
HTACCESS = (htaccess_fcgid, htaccess_cgid, htaccess_none)
WITHOUT_PROGRAMS = (nginx, nginx_snippet, proxy, proxy_shared)

each = pytest.mark.parametrize


class Running:
    """A server for the length of a with statement, and requests to it."""

    def __init__(self, server, *expected):
        self.server = server
        self.http = Http(type(server).__name__, server)
        server.expect(*expected)

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind:
            self.server.expect("")  # the first error is the one to show
        self.server.stop()

    def ask(self, method, path, headers=(), body=b""):
        """One request, of a page of another host."""
        return self.http.request(
            method, path, [("Origin", ORIGIN), *headers], body)

    def route(self, path):
        """A request to a route as its client makes it."""
        if ROUTES[path] == "get_config":
            return self.ask("GET", path)
        return self.ask("POST", path, [("Content-Type", "application/json")],
                        b"{}")


def error(answer, status, origin="*"):
    """The answer, which must be what contract clients can read."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Access-Control-Allow-Origin") == origin
    assert answer.header("Access-Control-Allow-Credentials") is None
    assert answer.header("Cache-Control") == "no-store"
    body = answer.json
    assert set(body) - {"request_id"} == {"code", "msg", "detail"}
    assert body["code"] == status
    assert body["msg"] and body["detail"].endswith(".")
    if "request_id" in body:
        assert body["request_id"] == answer.header("X-Request-Id")
    return answer


def no_page_of_ours(answer, status):
    """What a site of somebody else's answers by itself."""
    assert answer.status == status
    assert answer.header("Access-Control-Allow-Origin") is None
    assert "html" in answer.header("Content-Type")


# -- Debian takes the files -------------------------------------------------

def output_of(command, env=None):
    """What a configuration test says; it must be content."""
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=60)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said


def install(name, target, *replacements):
    """As the README says, but below another root. What is there may be a
    link, through which the file would land somewhere else."""
    target.unlink(missing_ok=True)
    servers.write(target, servers.shipped(name, *replacements))


def copy_of(original, folder):
    """A copy of a server's configuration whose links lead into the copy."""
    copy = folder / original.name
    shutil.copytree(original, copy, symlinks=True)
    for link in filter(pathlib.Path.is_symlink, list(copy.rglob("*"))):
        target = pathlib.Path(os.readlink(link))
        if target.is_relative_to(original):
            link.unlink()
            link.symlink_to(copy / target.relative_to(original))
    return copy


def state_of(*roots):
    """Everything below some folders: what it is, and what is in it."""
    state = {}
    for root in roots:
        for path in root.rglob("*"):
            if path.is_symlink():
                state[path] = os.readlink(path)
            elif path.is_file():
                state[path] = (path.stat().st_mode, path.stat().st_mtime_ns,
                               path.read_bytes())
            else:
                state[path] = path.stat().st_mode
    return state


@pytest.fixture
def untouched():
    """This machine's own web servers stay as they are."""
    before = state_of(DEBIAN / "nginx", DEBIAN / "apache2")
    yield
    assert state_of(DEBIAN / "nginx", DEBIAN / "apache2") == before


def test_a_copy_leads_nowhere(folder):
    """Where the product is installed already, absolute links and all, the
    tests write into their copy."""
    etc = folder / "etc/nginx"
    servers.write(etc / "sites-available/agora-agent", "precious\n")
    servers.write(etc / "sites-enabled/other", "precious\n")
    servers.write(folder / "elsewhere", "precious\n")
    for name, target in (("agora-agent", etc / "sites-available/agora-agent"),
                         ("out", folder / "elsewhere")):
        (etc / "sites-enabled" / name).symlink_to(target)
    before = state_of(etc)
    copy = copy_of(etc, folder)
    for name in ("sites-enabled/agora-agent", "sites-enabled/out",
                 "sites-available/agora-agent"):
        assert (copy / name).read_text(encoding="utf-8") == "precious\n"
        install("nginx/site.example", copy / name)
    assert state_of(etc) == before
    assert (folder / "elsewhere").read_text("utf-8") == "precious\n"


def debian_nginx(folder):
    """A copy of /etc/nginx that knows it is one, without its sites."""
    etc = copy_of(DEBIAN / "nginx", folder)
    for path in (etc / "sites-enabled").iterdir():
        path.unlink()
    port = servers.free_port()
    for path in (etc / "nginx.conf", etc / "sites-available/default"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"\blisten (\[::\]:)?80\b", rf"listen \g<1>{port}", text)
        for old, new in (("/etc/nginx", etc), ("/var/log/nginx", folder),
                         ("/run/nginx.pid", folder / "pid")):
            text = text.replace(old, str(new))
        path.unlink()
        path.write_text(text, encoding="utf-8")
    return etc, port


@pytest.mark.usefixtures("untouched")
@each("site", ["site.example", "the default site"])
def test_nginx_t(folder, site):
    """nginx -t on Debian's configuration with our files added."""
    etc, port = debian_nginx(folder)
    log = ("/var/log/nginx", str(folder))
    install("nginx/agora-agent.conf", etc / "conf.d/agora-agent.conf")
    for path in (servers.DEPLOY / "nginx/snippets").rglob("*.conf"):
        name = str(path.relative_to(servers.DEPLOY / "nginx"))
        logs = log[0] in path.read_text(encoding="utf-8")
        install(f"nginx/{name}", etc / name, *([log] if logs else []))
    if site == "site.example":
        install("nginx/site.example", etc / "sites-enabled/agora-agent",
                ("listen 80;", f"listen {port};"),
                ("listen [::]:80;", f"listen [::]:{port};"))
    else:
        path = etc / "sites-available/default"
        text = path.read_text(encoding="utf-8")
        assert text.count("\tserver_name _;") == 1
        servers.write(etc / "sites-enabled/default", text.replace(
            "\tserver_name _;",
            "\tserver_name _;\n\tinclude snippets/agora-agent.conf;\n"
            "\tinclude snippets/agora-agent/health.conf;\n"
            "\tinclude snippets/agora-agent/www.conf;\n"
            "\tinclude snippets/agora-agent/errors.conf;"))
    said = output_of(["nginx", "-t", "-e", str(folder / "error.log"),
                      "-c", str(etc / "nginx.conf")])
    assert "test is successful" in said
    assert "[warn]" not in said or os.geteuid() != 0, said


@pytest.mark.usefixtures("untouched")
@each("vhost", ["fcgid", "proxy-fcgi"])
def test_apachectl_configtest(folder, vhost):
    """apache2 -t on Debian's configuration with our files added and the
    modules enabled that the file itself names."""
    etc = copy_of(DEBIAN / "apache2", folder)
    text = servers.shipped(f"apache/vhost-{vhost}.conf")
    install(f"apache/vhost-{vhost}.conf",
            etc / "sites-enabled/agora-agent.conf")
    install("apache/agora-agent-common.conf",
            etc / "agora-agent-common.conf")
    modules = re.search(r"a2enmod ([\w ]+) &&", text).group(1).split()
    for name in list(modules):
        load = (etc / f"mods-available/{name}.load").read_text("utf-8")
        depends = re.search(r"^# Depends: (.*)$", load, re.M)
        modules += depends.group(1).split() if depends else []
    for name in modules:
        for path in (etc / "mods-available").glob(f"{name}.*"):
            link = etc / "mods-enabled" / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    said = output_of(
        ["apache2", "-t", "-d", str(etc), "-f", str(etc / "apache2.conf")],
        {"APACHE_RUN_USER": "www-data", "APACHE_RUN_GROUP": "www-data",
         "APACHE_PID_FILE": f"{folder}/pid", "APACHE_RUN_DIR": str(folder),
         "APACHE_LOCK_DIR": str(folder), "APACHE_LOG_DIR": str(folder),
         "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert "Syntax OK" in said


# -- No program behind ------------------------------------------------------

@each("make", WITHOUT_PROGRAMS)
def test_f13_programs_not_running(folder, make):
    """Every route says so in JSON, and that one may try again."""
    with Running(make(folder), servers.DOWN) as server:
        status = 502 if "nginx" in make.__name__ else 503
        for path in ROUTES:
            answer = error(server.route(path), status)
            assert answer.header("Retry-After") == "5"
            assert answer.json["request_id"]


@each("make", [fcgid, fcgid_shared, htaccess_fcgid, htaccess_cgid])
def test_programs_not_installed(folder, make):
    """Apache looks for the file and says 404."""
    with Running(make(folder), "AH01264: ", "AH01262: ",
                 "AH02811: stderr|AH02811: ") as server:
        for path in ROUTES:
            error(server.route(path), 404)


@each("make", [fcgid, fcgid_shared, htaccess_fcgid, htaccess_cgid])
def test_broken_program(folder, make):
    """A program that ends without an answer is a 500 in JSON."""
    broken = folder / "broken"
    broken.mkdir()
    for name in servers.ENDPOINTS:
        shutil.copy("/bin/false", broken / f"{name}.fcgi")
    with Running(make(folder, build=broken), servers.BROKEN_PROGRAM,
                 "mod_fcgid: process .* exit", "mod_fcgid: can't apply",
                 "mod_fcgid: .*spawn", "cgid:error.*reset by peer",
                 r"\(104\)Connection reset",
                 r"\(32\)Broken pipe: .*AH02651: ") as server:
        error(server.route("/get_config"), 500)
        error(server.route("/api/v2/startAgent"), 500)


@each("make", OWN + SHARED + HTACCESS)
def test_a14_preflight(folder, make):
    """204 for every route, with what a page needs to go on."""
    with Running(make(folder)) as server:
        for path in ROUTES:
            answer = server.ask("OPTIONS", path, [
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "content-type")])
            assert answer.status == 204
            assert answer.header("Access-Control-Allow-Origin") == "*"
            assert answer.header("Access-Control-Allow-Methods") == (
                "GET, HEAD, POST")
            assert answer.header("Access-Control-Allow-Headers") == (
                "Authorization, Content-Type, *")
            assert answer.header("Access-Control-Max-Age") == "7200"
            assert answer.header("Access-Control-Allow-Credentials") is None


@each("make", OWN)
def test_b15_nothing_else_is_there(folder, make):
    """On a host name of our own: no file, no folder, no program."""
    with Running(make(folder), servers.FORBIDDEN) as server:
        for path in ("/", "/nope", "/.env", "/get_config/", "/v2",
                     "/get_config.fcgi", "/agora-agent-error",
                     "/api/api/get_config", "/v2/get_config"):
            error(server.ask("GET", path), 404)
        error(server.ask("OPTIONS", "/nope"), 404)


@each("make", SHARED + (nginx_errors, htaccess_cgid))
def test_other_pages_stay_as_they_are(folder, make):
    """In a site of somebody else's: neither our headers nor our errors nor
    our limits, and what is closed there stays closed."""
    with Running(make(folder), r"open\(\) .* failed \(2: ",
                 servers.FORBIDDEN) as server:
        no_page_of_ours(server.ask("GET", "/index.html"), 200)
        no_page_of_ours(server.ask("GET", "/nope"), 404)
        no_page_of_ours(server.ask("GET", "/api"), 404)
        no_page_of_ours(server.ask("TRACE", "/index.html"), 405)
        no_page_of_ours(server.ask("GET", "/admin/"), 401)
        no_page_of_ours(server.ask("GET", "/private/"), 403)
        no_page_of_ours(server.ask("GET", "/.htpasswd"), 403)
        # nginx never takes a POST for a file; with our limit it were 413.
        no_page_of_ours(server.ask("POST", "/index.html", body=b"x" * 20000),
                        405 if "nginx" in make.__name__ else 200)


@each("make", [nginx, nginx_snippet])
def test_a14_nginx_method(folder, make):
    """The wrong method does not come as far as a program."""
    with Running(make(folder)) as server:
        for path, name in ROUTES.items():
            get = name == "get_config"
            for method in ("PUT", "DELETE", "POST" if get else "GET"):
                answer = error(server.ask(method, path), 405)
                assert answer.header("Allow") == (
                    "GET, HEAD" if get else "POST")


@each("make", OWN)
def test_a14_trace(folder, make):
    """Off."""
    with Running(make(folder), servers.FORBIDDEN) as server:
        error(server.ask("TRACE", "/get_config"), 405)


@each("make", OWN + SHARED + HTACCESS)
def test_a07_body_too_large(folder, make):
    """16 KiB and a byte never reach a program, and the largest length that
    can be written is no smaller one."""
    with Running(make(folder), servers.BODY_TOO_LARGE) as server:
        for path in ("/v2/startAgent", "/api/stopAgent"):
            error(server.ask("POST", path, body=b"x" * 16385), 413)
            error(server.ask("POST", path, [
                ("Content-Length", str(2 ** 32 + 5))]), 413)


@each("make", [nginx, nginx_snippet])
def test_a07_b14_chunked_body_too_large(folder, make):
    """Without a length as well."""
    with Running(make(folder), servers.BODY_TOO_LARGE) as server:
        chunks = b"4000\r\n" + b"x" * 0x4000 + b"\r\n1\r\nx\r\n0\r\n\r\n"
        error(server.ask("POST", "/startAgent", [
            ("Transfer-Encoding", "chunked")], chunks), 413)


END = b" HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n"
NOT_QUITE_HTTP = (
    (b"GET /get_config?" + b"x" * 9000 + END + b"\r\n", {414}),
    (b"GET /get_config" + END + b"X: " + b"x" * 20000 + b"\r\n\r\n",
     {400, 431}),
    (b"GET /get_config HTTP/1.1\r\n\r\n", {400}),
    (b"garbage\r\n\r\n", {400}),
    (b"GET /get_config HTTP/9.9\r\n\r\n", {400, 505}),
    (b"POST /startAgent" + END + b"Transfer-Encoding: x\r\n\r\n", {400, 501}))


@each("make", OWN + (nginx_errors,))
def test_a15_not_quite_http(folder, make):
    """What is refused before there is a path is refused in JSON too."""
    with Running(make(folder), "client sent ") as server:
        for data, statuses in NOT_QUITE_HTTP:
            answer = server.http.raw(data)
            assert answer.status in statuses, data[:40]
            error(answer, answer.status)


@each("make", [nginx_snippet, proxy_shared, fcgid_shared, htaccess_cgid])
def test_a15_not_quite_http_elsewhere(folder, make):
    """In a site of somebody else's it is that site's page, and not called
    JSON."""
    with Running(make(folder), "client sent ") as server:
        for data, _ in NOT_QUITE_HTTP:
            answer = server.http.raw(data)
            no_page_of_ours(answer, answer.status)


@each("file, ours", [("agora-agent", False), ("000-agora-agent", True)])
@each("make", [proxy, fcgid])
def test_a15_not_quite_http_beside_debians_site(folder, make, file, ours):
    """Of two sites the first one answers it: the name of the file decides.
    Requests with a Host reach ours under either name."""
    with Running(make(folder, file=file, default_site=True), servers.DOWN,
                 "AH01264: ") as server:
        for data, _ in NOT_QUITE_HTTP:
            answer = server.http.raw(data)
            if ours:
                error(answer, answer.status)
            else:
                no_page_of_ours(answer, answer.status)
        answer = server.ask("GET", "/get_config",
                            [("Host", "api.example.com")])
        error(answer, 503 if make is proxy else 404)


@each("make", [proxy, fcgid])
def test_expectation(folder, make):
    """417 has words of ours."""
    with Running(make(folder)) as server:
        error(server.ask("POST", "/startAgent", [("Expect", "wonders")],
                         b"{}"), 417)


@each("make", [proxy_shared, fcgid_shared, htaccess_cgid])
def test_expectation_elsewhere(folder, make):
    """Refused before Apache knows that it is for us: HTML, and called so."""
    with Running(make(folder)) as server:
        no_page_of_ours(server.ask(
            "POST", "/startAgent", [("Expect", "wonders")], b"{}"), 417)


@each("name", ["agora-agent-common.conf", "htaccess"])
def test_what_is_called_json_is(name):
    """Apache's errors are called JSON where we have a text, and only there."""
    text = servers.shipped(f"apache/{name}")
    texts = re.findall(r"^\t?ErrorDocument (\d+) ", text, re.M)
    condition = re.search(r"Content-Type application/json \\\n(.*)", text)
    assert re.findall(r"'(\d+)'", condition[1]) == texts
    for status, body in re.findall(
            r'^\t?ErrorDocument (\d+) "(.*)"$', text, re.M):
        assert json.loads(body.replace('\\"', '"'))["code"] == int(status)


# -- Limits -----------------------------------------------------------------

@each("make", [nginx, nginx_snippet])
def test_d08_rate_limit(folder, make):
    """Starts of one address are limited, whatever route they take; nothing
    else is, and the refusal can be read by a page."""
    with Running(make(folder), servers.DOWN, servers.RATE_LIMITED) as server:
        starts = [path for path, name in ROUTES.items()
                  if name == "start_agent"]
        answers = [server.route(starts[i % 4]) for i in range(40)]
        passed = [answer for answer in answers if answer.status == 502]
        assert 21 <= len(passed) < 30  # 1 + burst, and 2 a second
        for answer in answers[:20]:
            error(answer, 502)
        refused = error(answers[-1], 429)
        assert refused.header("Retry-After") == "2"
        assert server.ask("OPTIONS", "/startAgent").status == 204
        for _ in range(40):
            error(server.route("/v2/stopAgent"), 502)
            error(server.route("/get_config"), 502)


def listening_socket(server, name):
    """Listens where the program would."""
    path = server.server.sockets[name]
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    os.chmod(path, 0o660)
    servers.share(path)
    sock.listen(8)
    return sock


@each("make, edit", [
    (nginx, ("nginx/snippets/agora-agent/common.conf",
             "fastcgi_read_timeout 30s", "fastcgi_read_timeout 1s")),
    (proxy, ("apache/vhost-proxy-fcgi.conf", "timeout=30", "timeout=1"))])
def test_silent_program(folder, make, edit):
    """504 in JSON, and a start is handed over once."""
    with Running(make(folder, replace=[edit]), servers.TIMED_OUT) as server:
        with listening_socket(server, "start_agent") as sock:
            error(server.route("/startAgent"), 504)
            sock.settimeout(0.2)
            sock.accept()[0].close()
            with pytest.raises(TimeoutError):
                sock.accept()


@each("make", [nginx, proxy])
def test_program_that_hangs_up(folder, make):
    """A start that was read and not answered is not sent again."""
    with Running(make(folder), servers.BROKEN_PROGRAM) as server:
        with listening_socket(server, "start_agent") as sock:
            pid = os.fork()
            if pid == 0:
                accepted = sock.accept()[0]
                accepted.recv(8)
                accepted.close()
                os._exit(0)
            error(server.route("/startAgent"), 502 if make is nginx else 503)
            assert os.waitpid(pid, 0)[1] == 0
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.accept()


# -- What is handed over ----------------------------------------------------

def handed_over(answer):
    """The variables of echo.py, which must not have had its way with the
    headers that are the web server's."""
    assert answer.status == 200, answer.body
    assert answer.all("Access-Control-Allow-Origin") == ["*"]
    assert answer.all("Access-Control-Allow-Credentials") == []
    assert answer.all("Access-Control-Expose-Headers") == [
        "X-Request-Id, Retry-After"]
    return answer.json


def asked_with_everything(server, path):
    """What a program gets to see of such a request."""
    seen = handed_over(server.ask(
        "GET", path + "?uid=7", [("Cookie", "session=1"),
                                 ("Proxy", "http://127.0.0.1:9"),
                                 ("Authorization", "Bearer key")]))
    assert seen["REQUEST_METHOD"] == "GET" and seen["QUERY_STRING"] == "uid=7"
    assert not seen.get("HTTP_COOKIE") and not seen.get("HTTP_PROXY")
    assert "Bearer key" in (seen.get("HTTP_AUTHORIZATION"),
                            seen.get("REDIRECT_HTTP_AUTHORIZATION"))
    assert "session=1" not in seen.values()
    assert "http://127.0.0.1:9" not in seen.values()


@each("make", WITHOUT_PROGRAMS)
def test_b13_what_a_running_program_gets(folder, make):
    """No cookie, no Proxy header; and its CORS headers do not get out."""
    with Running(make(folder)) as server:
        with listening_socket(server, "get_config") as sock:
            echo.start(sock)
            for path in ("/get_config", "/api/get_config"):
                asked_with_everything(server, path)
            sock.shutdown(socket.SHUT_RDWR)


@each("make", [fcgid, fcgid_shared, htaccess_fcgid, htaccess_cgid])
def test_b13_what_a_started_program_gets(folder, make):
    """The same where Apache starts the programs."""
    build = folder / "echo"
    build.mkdir()
    for name in servers.ENDPOINTS:
        shutil.copy(echo.__file__, build / f"{name}.fcgi")
    with Running(make(folder, build=build)) as server:
        for path in ("/get_config", "/api/get_config"):
            asked_with_everything(server, path)


# -- Origins ----------------------------------------------------------------

NGINX_LISTED = [
    ("nginx/agora-agent.conf", "\tdefault any;\n", ""),
    ("nginx/agora-agent.conf", "# default none;", "default none;"),
    ("nginx/agora-agent.conf", '# "https://www.', '"https://www.'),
    ("nginx/agora-agent.conf", '# "http://local', '"http://local')]


def apache_listed(name):
    """What the marked place tells the user to do."""
    allow = "Header always set Access-Control-Allow-Origin "
    return [(name, allow + '"*"', "#"),
            (name, "#" + allow, allow),
            (name, '#\t"expr=', '\t"expr='),
            (name, "#Header always merge Vary", "Header always merge Vary")]


@each("make, edits", [
    (nginx, NGINX_LISTED),
    (nginx_snippet, NGINX_LISTED),
    (proxy, apache_listed("apache/agora-agent-common.conf")),
    (proxy_shared, apache_listed("apache/agora-agent-common.conf")),
    (htaccess_none, apache_listed("apache/htaccess"))])
def test_d09_listed_origins(folder, make, edits):
    """A listed page is named in every answer, another one in none."""
    listed = ("https://www.example.com", "http://localhost:3000")
    others = (
        "https://example.com", "http://www.example.com", "null",
        "https://www.example.com.evil.example", "https://www.example.com:8443",
        "https://www.example.com/", "HTTPS://WWW.EXAMPLE.COM",
        "https://www.example.com https://evil.example", "any", "listed", "*")
    with Running(make(folder, replace=edits), servers.DOWN) as server:
        for method in ("OPTIONS", "GET"):
            for origin in listed + others:
                answer = server.http.request(
                    method, "/get_config", [("Origin", origin)])
                expected = origin if origin in listed else None
                assert answer.header("Access-Control-Allow-Origin") == expected
                assert "Origin" in answer.header("Vary")
                if method == "GET":
                    error(answer, answer.status, expected)
        answer = server.http.request("GET", "/get_config")
        assert answer.header("Access-Control-Allow-Origin") is None


def test_nginx_longest_origin(folder):
    """One of 46 characters fits without a change to nginx.conf."""
    origin = "https://" + "w" * 26 + ".example.com"
    assert len(origin) == 46
    edits = [*NGINX_LISTED[:2],
             ("nginx/agora-agent.conf", '# "https://www.example.com"',
              f'"{origin}"')]
    with Running(nginx(folder, replace=edits), servers.DOWN) as server:
        answer = server.http.request("GET", "/get_config",
                                     [("Origin", origin)])
        error(answer, 502, origin)


def test_port_in_use(folder):
    """Whoever asks for a port that is taken is told so."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} is in use"):
            nginx(folder, port=port)


# -- With the programs ------------------------------------------------------

def program_answered(answer, status):
    """An answer of a program's own."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.json["code"] == (0 if status == 200 else status)
    assert answer.header("X-Request-Id")
    assert answer.header("Access-Control-Allow-Origin") == "*"
    return answer


def started_by_apache(rig, programs):
    """The programs for an Apache that starts them, with settings."""
    return {"build": programs.bin,
            "env": programs.environment(
                {"AGORA_ENV_FILE": rig.env_file("default")})}


HOSTS = {
    "typical": {},
    "Options not allowed": {
        "host": "AllowOverride FileInfo\nOptions +ExecCGI",
        "replace": [("apache/htaccess", "Options +ExecCGI", "")]},
    "MultiViews on": {
        "host": "AllowOverride All\nOptions MultiViews FollowSymLinks"},
}


@each("host", HOSTS)
@each("below", ["", "voice", "api"])
@each("make", [htaccess_fcgid, htaccess_cgid])
def test_htaccess_folders(folder, rig, programs, make, below, host):
    """The routes work in the top folder and in one below it."""
    more = {**HOSTS[host], **started_by_apache(rig, programs)}
    with Running(make(folder, below=below, **more)) as server:
        base = f"/{below}" if below else ""
        for path, name in ROUTES.items():
            url = base + path
            if name == "get_config":
                program_answered(server.ask("GET", url), 200)
            else:
                program_answered(server.ask("POST", url, [
                    ("Content-Type", "application/json")], b"{}"), 400)


@each("make", [htaccess_fcgid, htaccess_cgid])
def test_htaccess_query(folder, rig, programs, make):
    """A query arrives; one that would be arguments does not."""
    with Running(make(folder, **started_by_apache(rig, programs))) as server:
        answer = program_answered(
            server.ask("GET", "/get_config?channel=room&uid=7"), 200)
        assert answer.json["data"]["channel_name"] == "room"
        assert answer.json["data"]["uid"] == "7"
        program_answered(server.ask("GET", "/get_config?uid=x"), 400)
        for path in ("/get_config", "/api/get_config", "/get_config.fcgi"):
            program_answered(server.ask("GET", path + "?--check"), 200)


@each("make", HTACCESS)
def test_htaccess_private_files(folder, rig, programs, make):
    """Settings and copies of programs are neither handed out nor run."""
    names = (".env", ".env.local", "env.sample", "get_config.fcgi.bak",
             "get_config.fcgi.new", "get_config.fcgi~", ".env~",
             ".start_agent.fcgi.swp", ".stop_agent.fcgi.a1B2c3",
             "old-get_config.fcgi", "#get_config.fcgi#")
    more = started_by_apache(rig, programs)
    with Running(make(folder, **more), servers.FORBIDDEN) as server:
        for name in names:
            path = folder / "www" / name
            shutil.copy(folder / "www/get_config.fcgi", path)
            path.chmod(0o755)
            answer = server.ask("GET", "/" + name.replace("#", "%23"))
            assert answer.status == 403, name
            assert b"ELF" not in answer.body


@each("make", HTACCESS)
def test_htaccess_other_files(folder, make):
    """Files of the site with such endings are not ours to withhold."""
    names = ("notes.bak", "page.sample", "page.old", "page~", "list.swp",
             "get_config.html", "environment")
    with Running(make(folder)) as server:
        for name in names:
            servers.write(folder / "www" / name, "theirs")
            answer = server.ask("GET", "/" + name)
            assert (answer.status, answer.body) == (200, b"theirs"), name


def test_htaccess_without_programs_hands_nothing_out(folder, programs):
    """Neither mod_fcgid nor CGI: no download, and JSON that says why."""
    with Running(htaccess_none(folder, build=programs.bin)) as server:
        for name in servers.ENDPOINTS:
            answer = error(server.ask("GET", f"/{name}.fcgi"), 403)
            assert "neither mod_fcgid nor CGI" in answer.json["detail"]
        for path in ROUTES:
            error(server.route(path), 403)


def listening(server, programs, env_file, workers=2):
    """get_config on the server's socket."""
    path = server.server.sockets["get_config"]
    program = programs.listen("get_config", env_file, workers, path)
    servers.share(path)
    return program


@each("make", [nginx, proxy])
def test_f13_program_restarted(folder, rig, programs, make):
    """A restarted program is back at once, kept connections or not."""
    env_file = rig.env_file("default")
    with Running(make(folder), servers.DOWN) as server:
        for _ in range(5):
            program = listening(server, programs, env_file)
            for _ in range(4):
                program_answered(server.route("/get_config"), 200)
            assert program.stop() == 0
            error(server.route("/get_config"), 502 if make is nginx else 503)


def test_64_clients_and_one_worker(folder, rig, programs):
    """nginx keeps connections to it, more clients than those are served
    round after round, and nobody gets 502 or 504."""
    request = http_bytes("GET", "/get_config", [], b"")
    with Running(nginx(folder, keepalive=True)) as server:
        program = listening(server, programs, rig.env_file("default"), 1)
        clients = [HttpConnection(server.server.port, 20 * PATIENCE)
                   for _ in range(64)]
        for _ in range(10):
            for client in clients:
                client.send(request)
            for client in clients:
                program_answered(client.answer(), 200)
        for client in clients:
            client.sock.close()
        assert program.stop() == 0


@each("make", [nginx, proxy])
def test_f03_reload(folder, rig, programs, make):
    """The server reads its files again and goes on."""
    with Running(make(folder)) as server:
        program = listening(server, programs, rig.env_file("default"))
        for _ in range(3):
            program_answered(server.route("/get_config"), 200)
            server.server.reload()
        program_answered(server.route("/get_config"), 200)
        assert program.stop() == 0


def test_nginx_log(folder, rig, programs):
    """One JSON object a request, with the program's id and no query."""
    with Running(nginx(folder), servers.DOWN) as server:
        program = listening(server, programs, rig.env_file("default"))
        first = server.ask("GET", "/get_config?channel=secret", [
            ("Cookie", "secret"), ("Authorization", "secret")])
        second = server.route("/stopAgent")
        assert program.stop() == 0
    # Two workers of nginx write it, in either order.
    lines = sorted(map(json.loads, server.server.access_lines()),
                   key=lambda line: line["uri"])
    assert [line["id"] for line in lines] == [
        first.header("X-Request-Id"), second.header("X-Request-Id")]
    assert [line["uri"] for line in lines] == ["/get_config", "/stopAgent"]
    assert [line["status"] for line in lines] == ["200", "502"]
    assert "secret" not in json.dumps(lines)


@each("make", [nginx, proxy])
def test_error_log_is_read(folder, make):
    """The check of the error log can fail."""
    server = make(folder)
    running = Running(server)
    assert running.route("/get_config").status >= 500
    with pytest.raises(AssertionError, match="get_config.sock"):
        server.stop()
    assert server.process.returncode in (0, -signal.SIGTERM)
