"""A throwaway certificate authority and the sandbox's server certificate.

The product verifies certificates and has no switch to turn that off, so the
sandbox needs real ones. EC keys, because making an RSA key can take seconds.
"""

import os
import subprocess

PREFIXES = ("api", "api-us-west-1", "api-us-east-1", "api-eu-west-1",
            "api-eu-central-1", "api-ap-southeast-1", "api-ap-northeast-1",
            "api-cn-east-1", "api-cn-north-1")
DOMAINS = ("agora.io", "sd-rtn.com")
POOL = tuple(f"{prefix}.{domain}" for domain in DOMAINS for prefix in PREFIXES)
# The address is one that a test may give to a machine of its own.
NAMES = ("DNS:localhost", "IP:127.0.0.1", "IP:::1", "IP:192.0.2.1",
         *(f"DNS:{host}" for host in POOL))
KINDS = ("good", "expired", "wrong-host", "self-signed")
DAYS = "30"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
           "-nodes", "-sha256")


def _openssl(folder, *arguments):
    """Runs openssl in the folder; its words are shown only if it fails."""
    done = subprocess.run(["openssl", *arguments], cwd=folder, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")


def _usable(folder):
    """Whether the folder has an authority that lives one more day."""
    if not all(os.path.exists(os.path.join(folder, name))
               for name in ("ca.pem", "ca.key")):
        return False
    return subprocess.run(
        ["openssl", "x509", "-in", "ca.pem", "-noout", "-checkend", "86400"],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
    ).returncode == 0


def make_authority(folder):
    """Writes ca.pem and ca.key, unless good ones of an earlier run are
    there: programs that already trust those then need no restart."""
    if _usable(folder):
        return
    _write(folder, "ca.cnf",
           "[req]\ndistinguished_name=dn\nx509_extensions=ca\nprompt=no\n"
           "[dn]\nCN=Sandbox authority\n"
           "[ca]\nbasicConstraints=critical,CA:TRUE\n"
           "keyUsage=critical,keyCertSign,cRLSign\n"
           "subjectKeyIdentifier=hash\n")
    _openssl(folder, "req", "-x509", *NEW_KEY, "-config", "ca.cnf",
             "-days", DAYS, "-keyout", "ca.key", "-out", "ca.pem")


def make_server(folder, kind="good"):
    """Writes a server certificate of one of KINDS, signed by the folder's
    authority unless it is to be self-signed. Returns (certificate, key)."""
    if kind not in KINDS:
        raise ValueError(f"certificate kind {kind!r} is none of {KINDS}")
    names = "DNS:wrong.example" if kind == "wrong-host" else ",".join(NAMES)
    _write(folder, "server.cnf",
           "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=sandbox\n"
           "[server]\nbasicConstraints=CA:FALSE\n"
           "keyUsage=critical,digitalSignature\n"
           f"extendedKeyUsage=serverAuth\nsubjectAltName={names}\n")
    _openssl(folder, "req", "-new", *NEW_KEY, "-config", "server.cnf",
             "-keyout", f"{kind}.key", "-out", f"{kind}.csr")
    issuer = (("-signkey", f"{kind}.key") if kind == "self-signed" else
              ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"))
    _openssl(folder, "x509", "-req", "-in", f"{kind}.csr", *issuer, "-sha256",
             "-days", "-1" if kind == "expired" else DAYS,
             "-extfile", "server.cnf", "-extensions", "server",
             "-out", f"{kind}.pem")
    return (os.path.join(folder, f"{kind}.pem"),
            os.path.join(folder, f"{kind}.key"))


def _write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="ascii") as out:
        out.write(text)
