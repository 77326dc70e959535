"""Runs the mission's example as it is written, in a network of its own:

    python -m tests.private_network EXAMPLE

There, localhost:8474 and localhost:8666 are free whatever else this machine runs,
and api.service is a host that answers on port 8080. Prints what was seen as
JSON. Exit code 77 where the system grants no network of one's own.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import runpy
import socket
import struct
import sys
import tempfile

import chaosctl

from .stage import backend, get

NO_NETWORK = 77
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def call(name: str, *args: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def leave() -> None:
    """Enter a new network and a new table of mounts, as root or as root of a new user namespace."""
    uid, gid = os.getuid(), os.getgid()
    try:
        call("unshare", CLONE_NEWNET | CLONE_NEWNS)
    except PermissionError:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open("/proc/self/" + name, "w") as f:
                f.write(text)
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


def furnish(hosts: str) -> None:
    """Bring the loopback interface up, and make api.service known."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
    with open(hosts, "w") as f:
        f.write("127.0.0.1 localhost api.service\n")
    call("mount", hosts.encode(), b"/etc/hosts", None, MS_BIND, None)


def main(example: str) -> int:
    try:
        leave()
    except OSError as e:
        print(f"no network of one's own: {e}")
        return NO_NETWORK
    with tempfile.TemporaryDirectory() as folder:
        furnish(os.path.join(folder, "hosts"))
        with backend(("127.0.0.1", 8080)), chaosctl.serve(NOTHING, args=["--toxiproxy", "127.0.0.1:8474"]) as server:
            proxy = runpy.run_path(example)["proxy"]
            hurt = get("localhost:8666")
            edges = [e.name for e in server.chaos.status().edges]
            injected = [f.owner for f in server.chaos.faults()]
            proxy.reset()
            healed = get("localhost:8666")
    print(json.dumps({"hurt": hurt, "healed": healed, "edges": edges, "owners": injected}))
    return 0


#: A topology without services: all that is there comes through Toxiproxy's API.
NOTHING = {
    "apiVersion": "chaosctl.dev/v1alpha1",
    "kind": "Topology",
    "metadata": {"name": "nothing"},
    "spec": {"services": {"api": {"address": "127.0.0.1:8080", "protocol": "http"}}, "edges": []},
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
