"""The programs under test: where they are, how they are started, what they
write to stderr, and that they are gone at the end.

B names the build folder (default "build"). PROGRAM_WRAPPER is a command that
is put before every program, for example
"valgrind -q --error-exitcode=99". Whatever the programs print on stderr must
be lines of their own log; a report of a sanitizer or of valgrind is not.
"""

import itertools
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile

from processes import (ENDPOINTS, PATIENCE, ROOT, WRAPPED, can_connect,
                       children, wait_until)
from watch import WATCH

LOG_LINE = re.compile(rb"^<[3467]>agora-agent: [\x20-\x7e]+$")


class Log:
    """A file of log lines that must all have the right form.

    ${prefix} is a pattern for what a web server puts before our lines, and
    ${ignore} one for the server's own lines.
    """

    def __init__(self, path, prefix=None, ignore=None):
        self.path = path
        self.prefix = re.compile(prefix) if prefix else None
        self.ignore = re.compile(ignore) if ignore else None
        self.seen = 0

    def text(self):
        """All of it."""
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def lines(self):
        """All whole lines."""
        return self.text().split(b"\n")[:-1]

    def _good(self, line):
        if self.ignore and self.ignore.search(line):
            return True
        if self.prefix:
            line = self.prefix.sub(b"", line, count=1)
        return bool(LOG_LINE.match(line))

    def strange_lines(self):
        """The lines since the last call that are not log lines."""
        if (os.path.exists(self.path)
                and os.path.getsize(self.path) == self.seen):
            return []  # as in nearly all logs after a test
        text = self.text()
        end = text.rfind(b"\n") + 1
        new, self.seen = text[self.seen:end], end
        return [line for line in new.split(b"\n")[:-1]
                if not self._good(line)]


class Program:
    """One running program with its socket."""

    def __init__(self, process, path, log):
        self.process = process
        self.socket = path
        self.log = log

    @property
    def pid(self):
        """Of the process that was started, which keeps the socket."""
        return self.process.pid

    def workers(self, count=None):
        """The pids of the worker processes; with ${count} when there are
        that many."""
        if count is not None:
            wait_until(lambda: len(children(self.pid)) == count,
                       5 * PATIENCE, f"{count} workers")
        return children(self.pid)

    def stop(self, timeout=10.0):
        """SIGTERM; returns the exit status."""
        self.watch()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout * PATIENCE)

    def watch(self):
        """Looks for secrets in /proc."""
        if self.process.poll() is None:
            for pid in (self.pid, *self.workers()):
                WATCH.process(pid)

    def kill(self):
        """What is left at the end of a test that went wrong."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Programs:
    """All programs of a test session, in a folder of their own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="agora-")
        os.chmod(self.folder, 0o711)
        self.build = ROOT / os.environ.get("B", "build")
        self.bin = self._wrapped() if WRAPPED else self._reachable()
        self.running = []
        self.logs = []
        self.env_files = set()  # by inode: tests move them
        self.names = itertools.count(1)

    def _reachable(self):
        """The build, or copies where only its owner may go, as in /root: some
        tests run the programs as another user."""
        if all(folder.stat().st_mode & 0o001 for folder in self.build.parents):
            return self.build
        folder = pathlib.Path(self.folder, "bin")
        folder.mkdir(mode=0o755)
        for endpoint in ENDPOINTS:
            shutil.copy2(self.build / f"{endpoint}.fcgi", folder)
        return folder

    def _wrapped(self):
        """Scripts that put the wrapper before each program."""
        folder = pathlib.Path(self.folder, "bin")
        folder.mkdir(mode=0o755)
        for endpoint in ENDPOINTS:
            script = folder / f"{endpoint}.fcgi"
            program = shlex.quote(str(self.build / f"{endpoint}.fcgi"))
            script.write_text("#!/bin/sh\nexec "
                              f"{os.environ['PROGRAM_WRAPPER']} {program}"
                              ' "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        return folder

    def path(self, endpoint):
        """The file to execute for an endpoint."""
        return str(self.bin / f"{endpoint}.fcgi")

    def file(self, name):
        """A new path in the folder of this run."""
        return os.path.join(self.folder, f"{next(self.names)}-{name}")

    def env_file(self, settings, name="env", mode=0o600):
        """Writes settings to a new file."""
        path = self.file(name)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            for key, value in settings.items():
                file.write(f"{key}='{value}'\n")
            self.env_files.add(os.fstat(descriptor).st_ino)
        return path

    def environment(self, extra=()):
        """The environment of a program: as empty as a web server's."""
        keep = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                "LLVM_PROFILE_FILE", "GCOV_PREFIX")
        env = {key: os.environ[key] for key in keep if key in os.environ}
        env["PATH"] = "/usr/bin:/bin"
        env.update(extra)
        return env

    def log_file(self, name, **how):
        """A log that is watched from now on."""
        log = Log(self.file(name), **how)
        self.logs.append(log)
        return log

    def watch(self, path, **how):
        """Watches a log that somebody else writes."""
        log = Log(path, **how)
        self.logs.append(log)
        return log

    def spawn(self, endpoint, arguments, env, log, wrap=list, **how):
        """Starts a program, its stderr in ${log}. ${wrap} makes the command
        another one that becomes the program, as Nameserver.wrap does."""
        with open(log.path, "ab") as stderr:
            process = subprocess.Popen(
                wrap([self.path(endpoint), *arguments]), env=env,
                stderr=stderr,
                **{"stdin": subprocess.DEVNULL,
                   "stdout": subprocess.DEVNULL, **how})
        return process

    def listen(self, endpoint, env_file, workers=2, path=None, env=(),
               **how):
        """Starts a program on a unix socket and waits until it accepts.
        Without workers the process that is started serves by itself.
        ${how} is for spawn()."""
        path = path or self.file("s")
        log = self.log_file(f"{endpoint}.log")
        arguments = ["--listen", path]
        if workers:
            arguments += ["--workers", str(workers)]
        environment = self.environment({"AGORA_ENV_FILE": env_file,
                                        **dict(env)})
        process = self.spawn(endpoint, arguments, environment, log, **how)
        program = Program(process, path, log)
        self.running.append(program)
        wait_until(lambda: process.poll() is not None or can_connect(path),
                   10 * PATIENCE, f"{endpoint} listens on {path}")
        assert process.poll() is None, log.text().decode("utf-8", "replace")
        return program

    def strange_lines(self):
        """What was printed since the last call and is no log line."""
        return [(log.path, line) for log in self.logs
                for line in log.strange_lines()]

    def stop_all(self):
        """Ends everything by pid; returns what ended badly."""
        bad = []
        for program in self.running:
            program.watch()
            if program.process.poll() is None:
                program.process.send_signal(signal.SIGTERM)
        for program in self.running:
            try:
                status = program.process.wait(10 * PATIENCE)
                if status != 0:
                    bad.append((program.log.path, f"exit status {status}"))
            except subprocess.TimeoutExpired:
                program.kill()
                bad.append((program.log.path, "did not end"))
        return bad
