"""Where the certificate must not be found."""

import os
import resource
import signal

import pytest

from programs import WRAPPED, wait_until


def unlimited_cores():
    """In a child: as a shell with "ulimit -c unlimited"."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.mark.skipif(WRAPPED, reason="the wrapper handles the signal")
@pytest.mark.parametrize("endpoint", ["get_config", "start_agent"])
def test_h03_a_crash_leaves_no_core(rig, endpoint):
    """Not even where the shell asks for cores."""
    log = rig.programs.log_file("core.log")
    path = rig.programs.file("s")
    env = rig.programs.environment(
        {"AGORA_ENV_FILE": rig.env_file("default")})
    process = rig.programs.spawn(endpoint, ["--listen", path], env, log,
                                 preexec_fn=unlimited_cores)
    wait_until(lambda: os.path.exists(path), 10, "a socket")
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
