"""The servers of the benchmark: nginx in front, nginx as Agora, the programs.

Both nginx have two workers and no access log. The one in front passes what
the shipped snippets pass. The one that stands in for Agora speaks TLS and
HTTP/2 with its usual limits (128 streams and 1,000 requests a connection),
waits 300 ms without using a processor, and answers as a join is answered.
"""

import os
import pathlib
import subprocess

import certificates
from fcgi_client import request
from processes import ROOT, can_connect, children, wait_until
from servers import free_port

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = os.urandom(16).hex()
DELAY_S = 0.3
MODULE = "/usr/lib/nginx/modules/ngx_http_echo_module.so"
BUILD = ROOT / os.environ.get("B", "build")

PARAMS = {
    "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "$server_protocol",
    "REQUEST_METHOD": "$request_method", "REQUEST_URI": "$request_uri",
    "SCRIPT_NAME": "$uri", "QUERY_STRING": "$query_string",
    "CONTENT_TYPE": "$content_type", "CONTENT_LENGTH": "$content_length",
    "REMOTE_ADDR": "$remote_addr", "REQUEST_ID": "$request_id",
    "HTTP_PROXY": '""', "HTTP_COOKIE": '""'}

# What nginx would send for a request, for those who ask without it.
GET = {"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1",
       "REQUEST_METHOD": "GET", "REQUEST_URI": "/get_config",
       "SCRIPT_NAME": "/get_config", "QUERY_STRING": "", "CONTENT_TYPE": "",
       "CONTENT_LENGTH": "", "REMOTE_ADDR": "127.0.0.1",
       "REQUEST_ID": "0123456789abcdef0123456789abcdef", "HTTP_PROXY": "",
       "HTTP_COOKIE": "", "HTTP_HOST": "127.0.0.1:8000"}


class Process:
    """A process that is ended with its children."""

    def __init__(self, command, log, env=None):
        with open(log, "ab") as stderr:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr)
        self.log = log

    @property
    def pid(self):
        """Of the process that was started."""
        return self.process.pid

    def running(self):
        """Whether it is; its words if it is not."""
        assert self.process.poll() is None, pathlib.Path(
            self.log).read_text(encoding="utf-8")
        return True

    def stop(self):
        """SIGTERM, and SIGKILL when that does not help."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Nginx(Process):
    """nginx with the text of an http block."""

    def __init__(self, folder, name, port, http, modules=""):
        self.port = port
        home = folder / name
        home.mkdir()
        user = "user root;\n" if os.geteuid() == 0 else ""
        temp = "".join(f"{kind}_temp_path {home}/{kind};\n" for kind in (
            "client_body", "fastcgi", "proxy", "scgi", "uwsgi"))
        (home / "nginx.conf").write_text(
            f"{modules}{user}daemon off;\nworker_processes 2;\n"
            f"worker_rlimit_nofile 20000;\npid {home}/pid;\n"
            f"error_log {home}/error.log warn;\n"
            "events { worker_connections 9000; }\n"
            f"http {{\n{temp}access_log off;\nkeepalive_requests 1000000;\n"
            f"{http}}}\n", encoding="ascii")
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        super().__init__(
            ["nginx", "-e", f"{home}/error.log", "-p", str(home), "-c",
             f"{home}/nginx.conf"], home / "stderr", {"PATH": path})
        wait_until(lambda: self.running() and can_connect(
            ("127.0.0.1", port)) and len(children(self.pid)) == 2, 10,
            f"{name} listens")


class Program(Process):
    """A FastCGI program on a unix socket."""

    def __init__(self, folder, name, command, env=None):
        self.socket = str(folder / f"{name}.sock")
        super().__init__([str(part) for part in command(self.socket)],
                         folder / f"{name}.log", env)
        wait_until(lambda: self.running() and can_connect(self.socket), 10,
                   f"{name} listens")

    def get(self):
        """One get_config, without a web server."""
        return request(self.socket, GET).stdout


class Site:
    """All of them, in a new folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.upstream_port, self.port = free_port(), free_port()
        self.processes = []
        self.programs = {}
        self._write_settings()

    def _write_settings(self):
        certificates.make_authority(self.folder)
        path = self.folder / "env"
        path.touch(mode=0o600)
        path.write_text(
            f"APP_ID={APP_ID}\nAPP_CERTIFICATE={CERTIFICATE}\n"
            f"AGORA_API_BASE_URL=https://127.0.0.1:{self.upstream_port}/api\n"
            f"AGORA_CA_FILE={self.folder}/ca.pem\nSTART_CONCURRENCY=10000\n"
            f"STATE_DIR={self.folder}/state\n", encoding="ascii")

    def environment(self, **more):
        """The environment of our programs."""
        return {"PATH": "/usr/bin:/bin",
                "AGORA_ENV_FILE": str(self.folder / "env"), **more}

    def _add(self, process):
        self.processes.append(process)
        return process

    def loop(self, name="loop"):
        """The hand-written loop."""
        program = Program(
            self.folder, name,
            lambda path: [BUILD / "bench/fcgi_loop", path, APP_ID,
                          CERTIFICATE])
        self.programs[name] = self._add(program)
        return program

    def program(self, endpoint, name=None, workers=0, **env):
        """One of ours; without workers it is one process."""
        name = name or endpoint
        more = ["--workers", workers] if workers else []
        program = Program(
            self.folder, name,
            lambda path: [BUILD / f"{endpoint}.fcgi", "--listen", path,
                          *more], self.environment(**env))
        self.programs[name] = self._add(program)
        return program

    def upstream(self):
        """What stands in for Agora."""
        certificate, key = certificates.make_server(self.folder)
        return self._add(Nginx(
            self.folder, "upstream", self.upstream_port,
            "server {\n"
            f"listen 127.0.0.1:{self.upstream_port} ssl http2 "
            "backlog=8192;\n"
            "keepalive_requests 1000;\n"
            f"ssl_certificate {certificate};\nssl_certificate_key {key};\n"
            "default_type application/json;\nclient_body_buffer_size 64k;\n"
            f"location / {{\necho_read_request_body;\n"
            f"echo_sleep {DELAY_S};\n"
            "echo '{\"agent_id\":\"1NT29X10YHxxxxxWJOXLYHNYB\",'\n"
            "'\"create_ts\":1737111452,\"status\":\"RUNNING\"}';\n}\n}\n",
            f"load_module {MODULE};\n"))

    def front(self):
        """nginx in front: /NAME/kept and /NAME/fresh for each program, and
        /return, the body of get_config without any program."""
        upstreams = locations = ""
        body = self.programs["loop"].get().split(b"\r\n\r\n", 1)[1].decode()
        for name, program in self.programs.items():
            upstreams += (f"upstream {name} {{\nserver unix:{program.socket};"
                          "\nkeepalive 64;\n}\n")
            for way, on in (("kept", "on"), ("fresh", "off")):
                locations += (f"location /{name}/{way} {{\n"
                              f"fastcgi_pass {name};\n"
                              f"fastcgi_keep_conn {on};\n}}\n")
        params = "".join(f"fastcgi_param {name} {value};\n"
                         for name, value in PARAMS.items())
        return self._add(Nginx(
            self.folder, "front", self.port,
            f"{upstreams}{params}fastcgi_read_timeout 30s;\n"
            "default_type application/json;\n"
            f"server {{\nlisten 127.0.0.1:{self.port} backlog=8192;\n"
            f"location /return {{\nreturn 200 '{body}';\n"
            f"add_header Cache-Control no-store;\n}}\n{locations}}}\n"))

    def stop(self):
        """Ends all of them."""
        for process in reversed(self.processes):
            process.stop()
