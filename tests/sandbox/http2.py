"""nginx before a sandbox, for HTTP/2.

    with Http2(tmp_path, sandbox, requests=2) as front:
        ... front.base_url instead of sandbox.base_url, the same CA file

The sandbox sees the calls as they come, over HTTP/1.1; nginx sends each once.
A fault that closes the connection becomes nginx's 502, one that cuts the body
a reset stream. nginx is Debian's; have() says whether it is there.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

READY_S = 20
STOP_S = 10
CONFIGURATION = """
{user}daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log notice;
events {{ worker_connections 1024; }}
http {{
	access_log {folder}/access.log;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	scgi_temp_path {folder}/scgi;
	uwsgi_temp_path {folder}/uwsgi;
	server {{
		listen 127.0.0.1:{port} ssl http2;
		ssl_certificate {certificates}/good.pem;
		ssl_certificate_key {certificates}/good.key;
		keepalive_requests {requests};
		http2_max_concurrent_streams {streams};
		http2_body_preread_size {preread};
		location / {{
			proxy_pass {origin};
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header Connection "";
			proxy_next_upstream off;
			proxy_buffering off;
		}}
	}}
}}
"""


def have():
    """Whether there is an nginx that can do it."""
    nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if nginx is None:
        return False
    told = subprocess.run([nginx, "-V"], capture_output=True, text=True,
                          check=False)
    return "http_v2_module" in told.stderr


def _free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Http2:
    """An nginx of its own.

    requests: after so many on a connection, GOAWAY; 1000 is nginx's default.
    streams: how many at once on a connection; more are refused with
    REFUSED_STREAM.
    refuse_early: REFUSED_STREAM also for a POST that comes before the client
    has heard the server's settings, so for the first of each connection.
    """

    def __init__(self, folder, sandbox, requests=1000, streams=128,
                 refuse_early=False):
        self.folder = pathlib.Path(folder, "http2")
        self.sandbox = sandbox
        self.numbers = {"requests": requests, "streams": streams,
                        "preread": 65534 if refuse_early else 65535}
        self.port = self.process = None

    @property
    def base_url(self):
        """What AGORA_API_BASE_URL takes."""
        return (f"https://127.0.0.1:{self.port}"
                "/api/conversational-ai-agent")

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        for _ in range(5):  # somebody else may take the port first
            if self._start():
                return self
        raise RuntimeError("nginx: " + self.log("error"))

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self, name):
        """The text of the log "access" or "error"."""
        path = self.folder / f"{name}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def reload(self):
        """Says GOAWAY on every connection, new workers take the next ones;
        returns when they are there."""
        before = self.log("error").count("gracefully shutting down")
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + READY_S
        while self.log("error").count("gracefully shutting down") == before:
            assert time.monotonic() < end, "nginx did not reload"
            time.sleep(0.01)

    def _start(self):
        self.port = _free_port()
        path = self.folder / "nginx.conf"
        path.write_text(CONFIGURATION.format(
            user="user root;\n" if os.geteuid() == 0 else "",
            folder=self.folder, certificates=self.sandbox.folder,
            origin=self.sandbox.origin, port=self.port, **self.numbers),
            encoding="utf-8")
        self.process = subprocess.Popen(
            ["nginx", "-e", str(self.folder / "error.log"), "-p",
             str(self.folder), "-c", str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        end = time.monotonic() + READY_S
        while "start worker process " not in self.log("error"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.process.wait()
                return False
            time.sleep(0.01)
        return True
