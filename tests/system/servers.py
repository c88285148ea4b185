"""Real web servers, run from the files in deploy/ with their paths replaced.

    with tempfile.TemporaryDirectory(prefix="agora-") as folder:
        server = Nginx(folder)
        … requests to server.port; the programs listen on server.sockets[…]
        server.stop()

stop() raises AssertionError if the server's error log holds a line that is
neither the server's usual talk nor one of the programs' own. A test that
provokes one announces it: server.expect(servers.DOWN).

Started by root, the workers run as www-data like Debian's; then the folder
must be one that www-data can enter, which pytest's tmp_path is not.
"""

import contextlib
import errno
import grp
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from processes import ENDPOINTS, ROOT, can_connect, children, descendants
from watch import WATCH

DEPLOY = ROOT / "deploy"
WEB_USER = "www-data"

PAGES = "/usr/local/share/agora-agent/www"  # in the shipped files

PROGRAM_LINE = r"<[0-7]>agora-agent: "

# What servers say when a test makes them. For expect().
DOWN = (r"connect\(\) to unix:\S+ failed \((2|11|111): |"  # nginx
        r"AH02454: FCGI: attempt to connect|AH01079: failed to make connect"
        r"|AH00957: FCGI: attempt to connect|AH00959: ap_proxy_connect_backend"
        r"|AH10290: ")
RATE_LIMITED = r"limiting requests, excess: "
BODY_TOO_LARGE = (r"client intended to send too large body|"
                  r"client intended to send too large chunked body|"
                  r"AH01587: Requested content-length|"
                  r"AH01588: Request body exceeds|AH10413: Request body")
FORBIDDEN = (r"AH01630: client denied by server configuration|"
             r"AH01276: Cannot serve directory|"
             r"access forbidden by rule|"
             r"AH01139: TRACE forbidden|"
             r"AH02809: Options ExecCGI is off|"
             r"AH01215: .*Options ExecCGI is off")
# nginx takes another connection then, for get_config.
KEPT_ONE_CLOSED = (r"writev\(\) failed \(32: Broken pipe\)|"
                   r"upstream prematurely closed connection|"
                   r"recv\(\) failed \(104: ")
TIMED_OUT = (r"upstream timed out \(110|AH01075: Error dispatching request|"
             r"mod_fcgid: read data timeout in|"
             r"AH01067: Failed to read FastCGI header")
BROKEN_PROGRAM = (r"upstream prematurely closed (connection|FastCGI stdout)|"
                  r"Connection reset by peer\) while reading response header|"
                  r"recv\(\) failed \(104|"
                  r"End of script output before headers|"
                  r"error reading data from FastCGI server|"
                  r"AH01067: Failed to read FastCGI header|"
                  r"AH01073: Failed Writing Request|"
                  r"AH01074: Failed writing Environment|"
                  r"AH01075: Error dispatching request")


def free_port():
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def share(path):
    """Gives a file or socket to the web server's group, as an installation
    does; only root can, and only then are they two users."""
    if os.geteuid() == 0:
        os.chown(path, -1, grp.getgrnam(WEB_USER).gr_gid)


def shipped(name, *replacements):
    """The text of a file in deploy/ with its paths replaced.

    Each replacement must be of something that is there: a file that has
    changed must not silently be run half replaced.
    """
    text = (DEPLOY / name).read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text, f"deploy/{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def write(path, text):
    """Writes a file that the web server can read."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def copy_pages(folder):
    """The try-it page in a folder that the web server can read; returns it."""
    pages = pathlib.Path(folder) / "pages"
    shutil.copytree(DEPLOY / "www", pages, copy_function=shutil.copyfile)
    for path in (pages, *pages.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return pages


class Server:
    """What nginx and Apache have in common.

    port: a free one if None. sockets: paths of the programs' sockets, by
    name. replace: (file in deploy/, old, new) for tests that edit a file,
    such as the origins or the rate limits. allow: what expect() takes.
    pages: the folder to serve the try-it page from, or None.
    """

    signals = {}  # "stop" and "reload"
    usual = ()    # patterns of lines that mean nothing

    def __init__(self, folder, port=None, sockets=None, replace=(),
                 allow=(), pages=None):
        self.pages = pages
        self.folder = pathlib.Path(folder).resolve()
        self.replace = list(replace)
        self.allowed = [PROGRAM_LINE, *self.usual, *allow]
        self.process = None
        self.port = port
        self._prepare_folder()
        run = self.folder / "run"
        self.sockets = {name: str(run / f"{name}.sock") for name in ENDPOINTS}
        self.sockets.update(sockets or {})
        for path in self.sockets.values():
            if os.path.exists(path):
                share(path)
        if port is None:
            self._start_on_some_port()
        else:
            self._start_on_this_port()

    @property
    def pid(self):
        """Of the main process."""
        return self.process.pid

    def _prepare_folder(self):
        """log/ and tmp/, and run/ whose sockets belong to the web group."""
        if os.geteuid() == 0:
            self.folder.chmod(self.folder.stat().st_mode | 0o055)
            for parent in self.folder.parents:
                assert parent.stat().st_mode & 0o001, (
                    f"{WEB_USER} cannot enter {parent}")
        for name in ("log", "run", "tmp", "tmp/socks"):
            (self.folder / name).mkdir(mode=0o755, exist_ok=True)
        share(self.folder / "run")
        (self.folder / "run").chmod(0o2755)

    def _text(self, name, *replacements):
        """A shipped file with the replacements the caller wants as well."""
        wanted = [(old, new) for file, old, new in self.replace
                  if file == name]
        return shipped(name, *wanted, *replacements)

    def _www(self):
        """A site with pages of its own, some of them not for everybody."""
        www = self.folder / "www"
        write(www / "index.html", "<p>somebody's page</p>\n")
        for name in ("admin/index.html", "private/index.html", ".htpasswd"):
            write(www / name, "<p>not for everybody</p>\n")
        return www

    def _with_pages(self, text, line):
        """A site with the include for the try-it page, if that is wanted."""
        assert f"#{line}\n" in text, f"no #{line}"
        return text.replace(f"#{line}\n", f"{line}\n") if self.pages else text

    def _configure(self):
        """Writes the configuration; returns the command."""
        raise NotImplementedError

    def _spawn(self):
        command, env = self._configure()
        with open(self.folder / "log" / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(
                command, env=env, cwd=self.folder, stderr=stderr,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def _start(self):
        """Starts it on self.port."""
        self._spawn()
        assert self._await_start(), (
            f"{self.process.args[0]} did not start:\n" +
            "\n".join(self._logged()))

    def _start_on_some_port(self, tries=5):
        """Another process may take the port first; then take another."""
        self.port = free_port()
        try:
            self._start()
        except AssertionError as error:
            if "Address already in use" not in str(error) or tries == 0:
                raise
            for path in (self.folder / "log").iterdir():
                path.unlink()
            self._start_on_some_port(tries - 1)

    def _start_on_this_port(self):
        """OSError, in words for a person, if somebody has the port."""
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", self.port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise OSError(f"port {self.port} is in use") from error
        self._start()

    def _await_start(self, seconds=20):
        """Whether it accepts connections; False if it has ended instead."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            # Somebody else's port answers too; then ours is about to end.
            if can_connect(("127.0.0.1", self.port)) and self._listens():
                return True
            if time.monotonic() > deadline:
                self.end(0)
                raise AssertionError(f"not listening after {seconds} s")
            time.sleep(0.01)
        return False

    def _listens(self):
        """Whether the port is this server's: workers come after bind()."""
        return bool(children(self.pid))

    def _logged(self):
        """All lines of all error logs."""
        lines = []
        for path in sorted((self.folder / "log").iterdir()):
            if path.name == "stderr" or path.name.endswith("error.log"):
                text = path.read_text(encoding="utf-8", errors="replace")
                lines += [line for line in text.splitlines() if line]
        return lines

    def expect(self, *patterns):
        """Announces lines that the test provokes."""
        self.allowed += patterns

    def error_lines(self):
        """The lines that nobody expected."""
        known = re.compile("|".join(f"(?:{p})" for p in self.allowed))
        return [line for line in self._logged() if not known.search(line)]

    def access_lines(self):
        """The access log of the routes."""
        path = self.folder / "log" / "agora-agent.log"
        return path.read_text(encoding="utf-8").splitlines()

    def reload(self):
        """Has it read its configuration anew; returns when it has."""
        raise NotImplementedError

    def _await(self, condition, what, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended instead of: {what}"
            assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
            time.sleep(0.01)

    def stop(self, seconds=40):
        """Ends it and checks its error log."""
        late = self.end(seconds)
        assert not late, f"was still running {seconds} s after the signal"
        strange = self.error_lines()
        assert not strange, "in the error log:\n" + "\n".join(strange)
        assert self.process.returncode == 0, self.process.returncode

    def end(self, seconds=40):
        """Ends it, whatever it has logged; True if it had to be killed."""
        if self.process.poll() is None:
            for pid in (self.pid, *descendants(self.pid)):
                WATCH.process(pid)
            self.process.send_signal(self.signals["stop"])
        try:
            self.process.wait(seconds)
            WATCH.files(self.folder / "log")
            return False
        except subprocess.TimeoutExpired:
            for child in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            return True


class Nginx(Server):
    """nginx with the shipped files.

    site: "site.example", or "snippet" for a site of somebody else's that
    includes the snippet only; its own page is /, its files are in www/.
    errors: that site includes errors.conf too.
    keepalive: keep connections to all three programs, which the shipped
    files do for get_config only.
    """

    # QUIT lets requests end.
    signals = {"stop": signal.SIGQUIT, "reload": signal.SIGHUP}

    def __init__(self, folder, site="site.example", keepalive=False,
                 errors=False, **more):
        self.site = site
        self.errors = errors
        self.keepalive = keepalive
        super().__init__(folder, **more)

    def _upstreams(self):
        """conf.d/agora-agent.conf."""
        text = self._text("nginx/agora-agent.conf")
        for name, path in self.sockets.items():
            old = f"server unix:/run/agora-agent/{name}.sock;\n"
            assert old in text, f"no {old!r}"
            keep = self.keepalive and name != "get_config"
            text = text.replace(old, f"server unix:{path};\n" +
                                ("keepalive 16;\n" if keep else ""))
        return text

    def _write_snippets(self, etc):
        """snippets/, with the paths of the log replaced where they are."""
        for path in sorted((DEPLOY / "nginx/snippets").rglob("*.conf")):
            name = path.relative_to(DEPLOY / "nginx")
            text = self._text(f"nginx/{name}").replace(
                "/var/log/nginx/", f"{self.folder}/log/")
            text = text.replace(PAGES, str(self.pages))
            if self.keepalive:
                text = text.replace("fastcgi_keep_conn off;",
                                    "fastcgi_keep_conn on;")
            write(etc / name, text)

    def _site(self):
        """The server block."""
        listen = f"listen 127.0.0.1:{self.port};"
        if self.site == "site.example":
            return self._with_pages(
                self._text("nginx/site.example", ("listen 80;", listen),
                           ("listen [::]:80;", "")),
                "include snippets/agora-agent/www.conf;")
        assert self.site == "snippet"
        www = self._www()
        errors = "include snippets/agora-agent/errors.conf;\n"
        return (f"server {{\n{listen}\nroot {www};\n"
                "include snippets/agora-agent.conf;\n"
                f"{errors if self.errors else ''}"
                "location ~ /\\.ht { deny all; }\n"
                "location /private/ { deny all; }\n"
                "location /admin/ { auth_basic closed;\n"
                f"auth_basic_user_file {www}/.htpasswd; }}\n}}\n")

    def _main(self):
        """nginx.conf: Debian's, as far as it matters."""
        user = f"user {WEB_USER};\n" if os.geteuid() == 0 else ""
        temp = "".join(f"{kind}_temp_path {self.folder}/tmp/{kind};\n"
                       for kind in ("client_body", "fastcgi", "proxy",
                                    "scgi", "uwsgi"))
        return (f"{user}daemon off;\nworker_processes 2;\n"
                f"pid {self.folder}/tmp/nginx.pid;\n"
                f"lock_file {self.folder}/tmp/nginx.lock;\n"
                f"error_log {self.folder}/log/error.log warn;\n"
                "events { worker_connections 1024; }\n"
                f"http {{\n{temp}"
                f"access_log {self.folder}/log/access.log;\n"
                "include /etc/nginx/mime.types;\n"
                "default_type application/octet-stream;\n"
                "include conf.d/*.conf;\ninclude sites-enabled/*;\n}\n")

    def _configure(self):
        etc = self.folder / "etc"
        write(etc / "nginx.conf", self._main())
        write(etc / "conf.d/agora-agent.conf", self._upstreams())
        self._write_snippets(etc)
        write(etc / "sites-enabled/agora-agent", self._site())
        return ["nginx", "-e", str(self.folder / "log/error.log"),
                "-p", str(self.folder), "-c", str(etc / "nginx.conf")], None

    def reload(self):
        """HUP; returns when there are new workers."""
        old = set(children(self.pid))
        self.process.send_signal(self.signals["reload"])
        self._await(lambda: set(children(self.pid)) - old, "new workers")


# Debian's default modules, which a2enmod adds to.
STOCK = ("mpm_event", "access_compat", "alias", "auth_basic", "authn_core",
         "authn_file", "authz_core", "authz_host", "authz_user", "autoindex",
         "deflate", "dir", "env", "filter", "mime", "negotiation",
         "reqtimeout", "setenvif", "status")


class Apache(Server):
    """Apache (MPM event) with the shipped files.

    vhost: "fcgid", "proxy-fcgi", or the .htaccess on a shared host that has
    "htaccess-fcgid", "htaccess-cgid" or, with neither module,
    "htaccess-none".
    build: the folder of the programs, which are copied.
    env: what the programs that Apache starts find in their environment.
    below: the folder of the site that the .htaccess is in; "" is the top.
    host: what the shared host lets its customers do.
    shared: the fcgid and proxy-fcgi files inside a site with other pages,
    as agora-agent-common.conf describes.
    file: the name in sites-enabled; default_site: Debian's 000-default.conf
    is there too.
    """

    # WINCH lets requests end. TERM does not even let connections end, and
    # Apache's own threads then trip over each other now and again: AH03092 in
    # the error log after 5 of 160 stops, and a segmentation fault was seen.
    signals = {"stop": signal.SIGWINCH, "reload": signal.SIGUSR1}
    # Started, command line, WINCH, USR1.
    usual = (r"AH00489: ", r"AH00094: ", r"AH00492: ", r"AH00493: ")

    MODULES = {
        "fcgid": ("rewrite", "headers", "unique_id", "fcgid"),
        "proxy-fcgi": ("rewrite", "headers", "unique_id", "proxy",
                       "proxy_fcgi"),
        "htaccess-fcgid": ("rewrite", "headers", "fcgid"),
        "htaccess-cgid": ("rewrite", "headers", "cgid"),
        "htaccess-none": ("rewrite", "headers"),
    }

    def __init__(self, folder, vhost, build=None, env=None, below="",
                 host="AllowOverride FileInfo Limit Options AuthConfig",
                 shared=False, file="agora-agent", default_site=False,
                 **more):
        self.vhost = vhost
        self.build = pathlib.Path(build) if build else None
        self.env = dict(env or {})
        self.below = below
        self.host = host
        self.shared = shared
        self.file = file
        self.default_site = default_site
        super().__init__(folder, **more)

    def _copy_programs(self, folder):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name in ENDPOINTS:
            if self.build:
                shutil.copy2(self.build / f"{name}.fcgi", folder)
                (folder / f"{name}.fcgi").chmod(0o755)

    def _modules(self):
        """The files that a2enmod would link into mods-enabled."""
        text = ""
        for name in STOCK + self.MODULES[self.vhost]:
            path = f"/etc/apache2/mods-available/{name}"
            text += f"Include {path}.load\n"
            if os.path.exists(f"{path}.conf"):
                text += f"Include {path}.conf\n"
        return text

    def _environment(self):
        """The programs' environment, for whoever starts them."""
        fcgid = "fcgid" in self.vhost
        word = "FcgidInitialEnv" if fcgid else "SetEnv"
        if fcgid or self.vhost == "htaccess-cgid":
            return "".join(f'{word} {key} "{value}"\n'
                           for key, value in self.env.items())
        return ""

    def _main(self):
        """apache2.conf: Debian's, as far as it matters."""
        return (f"ServerRoot {self.folder}/etc\n"
                "ServerName localhost\n"
                f"Listen 127.0.0.1:{self.port}\n"
                f"DefaultRuntimeDir {self.folder}/tmp\n"
                f"PidFile {self.folder}/tmp/apache2.pid\n"
                f"Mutex file:{self.folder}/tmp default\n"
                f"User {WEB_USER}\nGroup {WEB_USER}\n"
                f"ErrorLog {self.folder}/log/error.log\nLogLevel warn\n"
                "HostnameLookups Off\nTraceEnable Off\n"
                "TypesConfig /etc/mime.types\n"
                f"{self._modules()}"
                "<Directory />\nOptions FollowSymLinks\nAllowOverride None\n"
                "Require all denied\n</Directory>\n"
                '<FilesMatch "^\\.ht">\nRequire all denied\n</FilesMatch>\n'
                "<IfModule mod_fcgid.c>\n"
                f"FcgidIPCDir {self.folder}/tmp/fcgid\n"
                f"FcgidProcessTableFile {self.folder}/tmp/fcgid_shm\n"
                "</IfModule>\n"
                f"{self._environment()}"
                "Include sites-enabled/*.conf\n")

    def _pages(self, host=""):
        """Somebody's own pages; ${host} is what a customer may do."""
        www = self._www()
        return (f"DocumentRoot {www}\n"
                f"<Directory {www}>\n{host}\n"
                "Require all granted\n</Directory>\n"
                f"<Directory {www}/private>\n"
                "Require all denied\n</Directory>\n"
                f"<Directory {www}/admin>\nAuthType Basic\n"
                f"AuthName closed\nAuthUserFile {www}/.htpasswd\n"
                "Require valid-user\n</Directory>\n")

    def _shared_site(self, text):
        """The routes inside somebody's site."""
        routes = text[text.index("\t# ---- The routes."):]
        return (f"<VirtualHost 127.0.0.1:{self.port}>\n{self._pages()}"
                '<LocationMatch "^(/api)?/(get_config|(v2/)?(start|stop)'
                'Agent)$">\nInclude agora-agent-common.conf\n'
                f"</LocationMatch>\n{routes}")

    def _vhost(self):
        """The site from vhost-*.conf."""
        libexec = self.folder / "libexec"
        self._copy_programs(libexec)
        name = f"apache/vhost-{self.vhost}.conf"
        text = self._with_pages(
            self._text(name, ("*:80>", f"127.0.0.1:{self.port}>")),
            "Include agora-agent-www.conf")
        if self.vhost == "fcgid":
            assert "/usr/local/libexec/agora-agent" in text
            text = text.replace("/usr/local/libexec/agora-agent",
                                str(libexec))
        else:
            for endpoint, path in self.sockets.items():
                old = f"/run/agora-agent/{endpoint}.sock"
                assert old in text, f"no {old}"
                text = text.replace(old, path)
        return self._shared_site(text) if self.shared else text

    def _shared_host(self):
        """The site of a customer who can upload files only."""
        folder = self.folder / "www" / self.below
        self._copy_programs(folder)
        write(folder / ".htaccess", self._text("apache/htaccess"))
        return (f"<VirtualHost 127.0.0.1:{self.port}>\n"
                f"TraceEnable off\n{self._pages(self.host)}</VirtualHost>\n")

    def _configure(self):
        etc = self.folder / "etc"
        htaccess = self.vhost.startswith("htaccess")
        write(etc / "apache2.conf", self._main())
        write(etc / "agora-agent-common.conf",
              self._text("apache/agora-agent-common.conf"))
        write(etc / "agora-agent-www.conf",
              self._text("apache/agora-agent-www.conf",
                         (PAGES, str(self.pages))))
        write(etc / f"sites-enabled/{self.file}.conf",
              self._shared_host() if htaccess else self._vhost())
        if self.default_site:
            write(etc / "sites-enabled/000-default.conf",
                  f"<VirtualHost 127.0.0.1:{self.port}>\n"
                  "DocumentRoot /var/www/html\n</VirtualHost>\n")
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C",
               "APACHE_RUN_USER": WEB_USER, "APACHE_RUN_GROUP": WEB_USER,
               "APACHE_RUN_DIR": f"{self.folder}/tmp",
               "APACHE_LOCK_DIR": f"{self.folder}/tmp",
               "APACHE_LOG_DIR": f"{self.folder}/log"}
        return ["apache2", "-f", str(etc / "apache2.conf"),
                "-DFOREGROUND"], env

    def _starts(self):
        return sum("AH00489: " in line for line in self._logged())

    def reload(self):
        """USR1 (graceful); returns when the new configuration is in use."""
        before = self._starts()
        self.process.send_signal(self.signals["reload"])
        self._await(lambda: self._starts() > before, "graceful restart")
