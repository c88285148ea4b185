"""Builds tests/system/preload_hosts.c and makes the environment that puts it
into a program, so that Agora's host names lead to sandboxes."""

import os
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir,
                      "system", "preload_hosts.c")


def build(folder):
    """Compiles the library into the folder and returns its path."""
    library = os.path.join(str(folder), "preload_hosts.so")
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c11", "-Wall", "-Wextra",
         "-Werror", "-O2", "-fPIC", "-shared", "-o", library, SOURCE],
        check=True)
    return library


def environment(library, hosts, log=None):
    """What to add to a program's environment. ${hosts} is a list of (name,
    target), where a target is a loopback "address:port", a Sandbox, or one
    of the words in preload_hosts.c."""
    def text(target):
        return (target if isinstance(target, str)
                else f"{target.host}:{target.port}")
    added = {"LD_PRELOAD": library,
             "FAKE_HOSTS": ",".join(f"{name}={text(target)}"
                                    for name, target in hosts),
             # A program with ASan wants to be the first library.
             "ASAN_OPTIONS": ":".join(filter(None, (
                 os.environ.get("ASAN_OPTIONS"),
                 "verify_asan_link_order=0")))}
    if log is not None:
        added["FAKE_HOSTS_LOG"] = str(log)
    return added
