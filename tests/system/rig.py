"""All transports of a test process, by kind and settings profile."""

import concurrent.futures
import os
import shutil

import servers
from transports import Cgi, FastCgi, Http

# Keys that no test looks for: watch.py does, wherever they must not be.
KEYS = {name: os.urandom(16).hex() for name in (
    "ASR_DEEPGRAM_API_KEY", "LLM_API_KEY", "TTS_ELEVENLABS_API_KEY")}

PROFILES = {
    "default": {},
    "issued": {"CHANNELS": "issued", **KEYS},
    "unconfigured": None,
    "keys": {"API_KEYS": "first-key-0123456789,second.key/0123456789=="},
    "token": {"REQUIRE_TOKEN": "1"},
    "origins": {
        "ALLOWED_ORIGINS": "https://good.example, http://localhost:3000"},
    "limited": {"START_LIMIT": "3/3600"},
}
PROFILES["keys and token"] = {**PROFILES["keys"], **PROFILES["token"]}
HTTP_KINDS = ("nginx", "nginx-kept", "apache-fcgid", "apache-proxy",
              "apache-cgi")
KINDS = ("cgi", "fastcgi", *HTTP_KINDS)

# The tests come from one address and in no time: many within a millisecond,
# which is nginx's clock.
NO_LIMIT = [("nginx/agora-agent.conf", old, "rate=100000r/s")
            for old in ("rate=2r/s", "rate=10r/s")] + [
    ("nginx/snippets/agora-agent/start_agent.conf", old, "burst=10000")
    for old in ("burst=20", "burst=40")]

# What nginx and Apache say about the checks' bad requests.
PROVOKED = (servers.BODY_TOO_LARGE, servers.FORBIDDEN,
            r"AH01139: TRACE forbidden",
            "AcceptPathInfo off disallows user's path")


class Rig:
    """Makes each transport when it is first asked for."""

    def __init__(self, programs, upstream):
        self.programs = programs
        self.upstream = upstream
        self.made = {}

    def env_file(self, profile, user=None, **more):
        """A settings file for the profile, readable by the web server, with
        a state folder for ${user}, by default the tests' own."""
        settings = {}
        if PROFILES[profile] is not None:
            state = self.programs.file("state")
            os.mkdir(state, 0o700)
            if user and os.geteuid() == 0:
                shutil.chown(state, user)
            settings = self.upstream.settings(
                **{"STATE_DIR": state, **PROFILES[profile], **more})
        path = self.programs.env_file(settings, f"{profile}.env", 0o640)
        servers.share(path)
        return path

    def transport(self, kind, profile="default"):
        """The transport of that kind with those settings."""
        key = kind, profile
        if key not in self.made:
            self.made[key] = self._make(kind, profile)
        return self.made[key]

    def new(self, kind, profile):
        """A transport that nobody has used and nobody else will."""
        self.made[len(self.made)] = made = self._make(kind, profile)
        return made

    def _make(self, kind, profile):
        return getattr(self, "_" + kind.replace("-", "_"))(profile)

    def _cgi(self, profile):
        return Cgi(self.programs, self.env_file(profile))

    def _fastcgi(self, profile):
        return FastCgi(self.programs, self.env_file(profile))

    def _folder(self, name):
        path = self.programs.file(name)
        os.mkdir(path, 0o755)
        return path

    def _listening(self, profile):
        """The three programs on sockets, and their paths by name."""
        env_file = self.env_file(profile)
        listening = {name: self.programs.listen(name, env_file)
                     for name in servers.ENDPOINTS}
        return listening.values(), {name: program.socket for name, program
                                    in listening.items()}

    def _nginx(self, profile, keepalive=False):
        programs, sockets = self._listening(profile)
        server = servers.Nginx(self._folder("nginx"), keepalive=keepalive,
                               sockets=sockets, replace=NO_LIMIT,
                               allow=PROVOKED)
        name = "nginx-kept" if keepalive else "nginx"
        return Http(name, server, programs, kept=keepalive)

    def _nginx_kept(self, profile):
        return self._nginx(profile, keepalive=True)

    def _apache(self, name, vhost, programs=(), **more):
        server = servers.Apache(self._folder(vhost), vhost, allow=PROVOKED,
                                **more)
        return Http(name, server, programs)

    def _apache_started(self, name, vhost, profile):
        """Apache starts the programs itself."""
        return self._apache(
            name, vhost, build=self.programs.bin,
            env=self.programs.environment(
                {"AGORA_ENV_FILE": self.env_file(profile,
                                                 servers.WEB_USER)}))

    def _apache_fcgid(self, profile):
        return self._apache_started("apache-fcgid", "fcgid", profile)

    def _apache_cgi(self, profile):
        return self._apache_started("apache-cgi", "htaccess-cgid", profile)

    def _apache_proxy(self, profile):
        programs, sockets = self._listening(profile)
        return self._apache("apache-proxy", "proxy-fcgi", programs,
                            sockets=sockets)

    def close(self):
        """Stops all of them, at the same time: servers take a while. One
        complaint is enough."""
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            closing = [pool.submit(transport.close)
                       for transport in self.made.values()]
        for closed in closing:
            closed.result()
