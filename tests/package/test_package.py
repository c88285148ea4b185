"""The Debian package in the life of a machine: beside servers that are there
already, upgraded while visitors come, removed, purged."""

import json
import re
import subprocess
import types

import pytest

import load
import readme
from machine import Failed
from processes import ENDPOINTS, wait_until

SITE = types.SimpleNamespace(port=80)
SETTINGS = "/etc/agora-agent/env"
HTTP_CONF = "/etc/nginx/conf.d/agora-agent.conf"
UNITS = " ".join(f"agora-agent@{name}.service" for name in ENDPOINTS)
SOCKETS = " ".join(f"/run/agora-agent/{name}.sock" for name in ENDPOINTS)
# What apt, dpkg, systemd and nginx keep of any package or run.
USUAL = re.compile(
    r"/var/(cache|lib/(apt|dpkg|systemd/timers)|log/(apt|journal|nginx))/"
    r"|/(var/)?tmp/|/run/(systemd|credentials|log)/|/run/private$")


def repack(deb, folder, version):
    """The package as a later version, whose files are all new."""
    tree = folder / version
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    text = control.read_text(encoding="utf-8")
    control.write_text(re.sub("(?m)^Version: .*", f"Version: {version}", text),
                       encoding="utf-8")
    target = folder / f"{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, target],
                   stdout=subprocess.DEVNULL, check=True)
    return target


def install(machine, deb, *more):
    """With apt, which also gets what it depends on."""
    inside = f"/root/{deb.name}"
    machine.put(deb, inside)
    return machine.run(f"apt-get install -y {inside} {' '.join(more)}")


def edit(machine, path, *scripts):
    """As an admin would."""
    machine.run("sed -i" + "".join(f" -e '{script}'" for script in scripts)
                + f" {path}")


def serve(machine, upstream):
    """Settings and the line for nginx's default site; from then on it
    answers."""
    machine.put(upstream.sandbox.ca_file, "/etc/ssl/sandbox.pem")
    settings = upstream.settings(AGORA_CA_FILE="/etc/ssl/sandbox.pem")
    del settings["STATE_DIR"]
    edit(machine, SETTINGS, *(f"s|^#\\?{name}=.*|{name}={value}|"
                              for name, value in settings.items()))
    edit(machine, readme.NGINX_SITE,
         rf"/^\tserver_name _;/a {readme.INCLUDE}")
    edit(machine, HTTP_CONF, "s|rate=[0-9]*r/s|rate=100000r/s|")
    machine.run("nginx -t && systemctl reload nginx")
    wait_until(lambda: status(machine, "/get_config") == 200, 20,
               "an answer")


def status(machine, path):
    """Of the answer to a GET."""
    return int(machine.run("curl -s -o /dev/null -w '%{http_code}' "
                           f"http://localhost{path}"))


def shown(machine, properties, units):
    """Properties of units, a line each."""
    return machine.run("systemctl show --value "
                       f"-p {properties} {units}").split()


def programs(machine):
    """What the processes of the programs are executing."""
    return [line for line in
            machine.run("readlink /proc/[0-9]*/exe || true").splitlines()
            if "libexec/agora-agent" in line]


def files(machine):
    """Every file there is, but for what any package or run leaves."""
    found = machine.run("find / /run /dev -xdev").splitlines()
    return {path for path in found if not USUAL.search(path)}


# -- Beside what is there ----------------------------------------------------

@pytest.mark.parametrize("server, check", [
    ("nginx", "nginx -t"), ("apache2", "apachectl configtest")])
def test_no_site_changes_by_itself(machine, deb, server, check):
    """The server's files are valid and change no page; nobody's settings are
    a reason not to be installed."""
    machine.run(f"apt-get install -y {server}")
    page = machine.run("curl -s http://localhost/")
    install(machine, deb)
    machine.run(f"{check} && systemctl reload {server}")
    assert machine.run("curl -s http://localhost/") == page
    assert status(machine, "/get_config") == 404
    assert machine.run("systemctl --failed --no-legend") == ""


def test_what_it_makes(machine, deb):
    """Settings for root alone, sockets for the web group, no program before
    somebody asks."""
    machine.run("umask 0 && apt-get install -y nginx")
    install(machine, deb)
    assert machine.run(f"stat -c '%a %U %G' {SETTINGS}") == "600 root root\n"
    machine.run(f"cmp {SETTINGS} /usr/share/agora-agent/env.sample")
    assert machine.run(f"stat -c '%a %U %G' {SOCKETS}") == (
        "660 root www-data\n" * len(ENDPOINTS))
    assert shown(machine, "ActiveState", UNITS) == ["inactive"] * 3
    assert machine.run("systemctl is-enabled agora-agent.target") == (
        "enabled\n")
    assert SETTINGS not in machine.run("cat /var/lib/dpkg/info/"
                                       "agora-agent.conffiles")


def test_without_systemd(machine, deb):
    """As in the making of a container: no /run/systemd."""
    machine.put(deb, "/root/a.deb")
    machine.run("unshare --mount sh -ec 'mount -t tmpfs tmpfs /run;"
                "apt-get install -y --no-install-recommends /root/a.deb'")
    assert machine.run(f"stat -c %a {SETTINGS}") == "600\n"
    machine.run("unshare --mount sh -ec 'mount -t tmpfs tmpfs /run;"
                "apt-get purge -y agora-agent'")
    machine.run("test ! -e /etc/agora-agent")


# -- Upgrades ----------------------------------------------------------------

def test_upgrades_under_load(machine, deb, upstream, tmp_path):
    """Eight clients ask, two in three of them with POSTs, starts among them,
    which take Agora some time, while the package is upgraded twice: nothing
    is lost, the new programs serve on the old sockets, settings and edited
    files stay."""
    install(machine, deb, "nginx")
    serve(machine, upstream)
    settings = machine.run(f"sha256sum {SETTINGS}; stat -c %a {SETTINGS}")
    sockets = machine.run(f"stat -c %i {SOCKETS}")
    upstream.sandbox.fault("join", delay_s=0.3)
    questions = [load.get_config, load.refused_start,
                 load.start_of(upstream)]
    with load.Load(SITE, questions) as clients:
        clients.more(300)
        for version in ("9.0", "9.1"):
            before = {*shown(machine, "MainPID", UNITS)} - {"0"}
            assert len(before) == 2  # nobody has asked stop_agent
            install(machine, repack(deb, tmp_path, version))
            # The target does not wait for what is restarted with it.
            wait_until(lambda before=before: not before & {
                *shown(machine, "MainPID", UNITS)}, 60, "new programs")
            clients.more(300)
    print(clients.count, "answers")
    assert clients.lost == []
    assert programs(machine)
    assert not [name for name in programs(machine) if "deleted" in name]
    assert machine.run(f"stat -c %i {SOCKETS}") == sockets
    assert machine.run(f"sha256sum {SETTINGS}; stat -c %a {SETTINGS}") == (
        settings)
    assert "rate=100000r/s" in machine.run(f"cat {HTTP_CONF}")
    assert upstream.sandbox.unknown() == []


def test_what_is_switched_off_stays_off(machine, deb, tmp_path):
    """An upgrade opens no socket that the admin has closed."""
    install(machine, deb, "nginx")
    machine.run("systemctl disable --now agora-agent.target")
    install(machine, repack(deb, tmp_path, "9.0"))
    assert machine.run("systemctl is-enabled agora-agent.target || true") == (
        "disabled\n")
    machine.run(f"for file in {SOCKETS}; do test ! -e $file; done")


# -- The end -----------------------------------------------------------------

def test_remove_and_purge(machine, deb, upstream):
    """Removed, nothing runs and the settings stay for the next time; purged,
    nginx is as good as before even with its include, and the machine is what
    it was: the certificate is nowhere."""
    machine.run("apt-get install -y nginx")
    before = files(machine)
    install(machine, deb)
    serve(machine, upstream)

    machine.run("apt-get remove -y agora-agent")
    assert programs(machine) == []
    assert machine.run("systemctl list-units --no-legend 'agora-agent*'"
                       ) == ""
    machine.run("test ! -e /run/agora-agent && nginx -t")
    assert machine.run(f"stat -c %a {SETTINGS}") == "600\n"
    answer = machine.run("curl -s http://localhost/get_config")
    assert json.loads(answer)["code"] == 502

    install(machine, deb)
    assert status(machine, "/get_config") == 200

    said = machine.run("apt-get purge -y agora-agent")
    assert "nginx still includes snippets/agora-agent.conf" in said
    machine.run("nginx -t && systemctl reload nginx")
    wait_until(lambda: status(machine, "/get_config") == 404, 20, "no route")
    assert "agora-agent.conf" not in install(machine, deb)

    # And with all that the README says a site may include.
    edit(machine, readme.NGINX_SITE, *(
        rf"/^\tserver_name _;/a include snippets/agora-agent/{name}.conf;"
        for name in ("errors", "health", "www")))
    machine.run("nginx -t && apt-get purge -y agora-agent && nginx -t")
    install(machine, deb)
    edit(machine, readme.NGINX_SITE, "/snippets.agora-agent/d")
    machine.run("rm /etc/ssl/sandbox.pem /root/*.deb")
    machine.run("apt-get purge -y --autoremove agora-agent")
    machine.run("nginx -t && systemctl reload nginx")
    assert machine.run("systemctl --failed --no-legend") == ""
    assert files(machine) ^ before == set()
    with pytest.raises(Failed):
        machine.run("grep -rl --exclude-dir=proc --exclude-dir=sys "
                    f"--exclude-dir=dev {upstream.certificate} /")


def test_purge_with_apache(machine, deb):
    """The site that was enabled goes too, or Apache would not start."""
    machine.run("apt-get install -y apache2")
    before = files(machine)
    install(machine, deb)
    machine.run("a2enmod headers rewrite proxy_fcgi unique_id"
                " && a2ensite agora-agent && systemctl restart apache2")
    machine.run("apt-get purge -y agora-agent")
    machine.run("apachectl configtest && systemctl restart apache2")

    # So would it without the files that a site of the admin's includes.
    site = "/etc/apache2/sites-available/000-default.conf"
    install(machine, deb)
    edit(machine, site, "/DocumentRoot/a Include agora-agent-www.conf",
         "/DocumentRoot/a Include agora-agent-common.conf")
    machine.run("apachectl configtest")
    said = machine.run("apt-get purge -y agora-agent")
    assert "Apache still includes agora-agent-www.conf" in said
    machine.run("apachectl configtest")
    assert "agora-agent-www.conf" not in install(machine, deb)
    edit(machine, site, "/Include agora-agent/d")
    machine.run("rm /root/*.deb")
    machine.run("apt-get purge -y --autoremove agora-agent")
    machine.run("apachectl configtest && systemctl restart apache2")
    modules = "apache2/(mods-enabled/|module/enabled_by_admin)"
    assert {path for path in files(machine) ^ before
            if not re.search(modules, path)} == set()
