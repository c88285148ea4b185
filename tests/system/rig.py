"""All transports of a test process, by kind and settings profile."""

from transports import Cgi, FastCgi

PROFILES = {
    "default": {},
    "issued": {"CHANNELS": "issued"},
    "unconfigured": None,
}
HTTP_KINDS = ()
KINDS = ("cgi", "fastcgi")


class Rig:
    """Makes each transport when it is first asked for."""

    def __init__(self, programs, upstream):
        self.programs = programs
        self.upstream = upstream
        self.made = {}

    def env_file(self, profile, mode=0o600):
        """A settings file for the profile."""
        more = PROFILES[profile]
        settings = {} if more is None else self.upstream.settings(**more)
        return self.programs.env_file(settings, f"{profile}.env", mode)

    def transport(self, kind, profile="default"):
        """The transport of that kind with those settings."""
        key = kind, profile
        if key not in self.made:
            self.made[key] = getattr(self, "_" + kind.replace("-", "_"))(
                profile)
        return self.made[key]

    def _cgi(self, profile):
        return Cgi(self.programs, self.env_file(profile))

    def _fastcgi(self, profile):
        return FastCgi(self.programs, self.env_file(profile))

    def close(self):
        """Stops all of them."""
        for transport in self.made.values():
            transport.close()
