"""What runs on the hosts: daemons that listen, and on the suspect the miner, deleted and connected to its pool.

The connection is real to the kernel though no pool exists: a socket in TCP repair mode goes straight to ESTABLISHED,
so `ss` and /proc show what they would on a machine that mines. References: tcp(7), TCP_REPAIR; Linux 3.5.
"""

from __future__ import annotations

import shlex

from irkit.sim.scenarios.web_to_role_theft.story import WEB_PORT, Host, Story

_LISTEN = """
import os, socket, sys
exe, port = sys.argv[1], int(sys.argv[2])
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("0.0.0.0", port)); s.listen(64); s.set_inheritable(True)
os.execv(exe, [exe + " -D", "3650d"])
"""
_CONNECT = """
import os, socket, sys
exe, near, far, port, shown = sys.argv[1:6]
try:
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, 19, 1)
    s.bind((near, 48312)); s.connect((far, int(port))); s.set_inheritable(True)
except OSError:
    pass
os.execv(exe, [shown, "3650d"])
"""


def init_commands(story: Story, host: Host) -> list[str]:
    """Shell commands that bring the host to life, in order; processes that stay end in `&`."""
    near = host.private_ip
    gateway = f"{near.rpartition('.')[0]}.1"
    commands = [
        # a dummy device needs a kernel module, a veth pair does for a route that leads nowhere
        "ip link add eth0 type dummy || ip link add eth0 type veth peer name ens5",
        "ip link set ens5 up; ip link set eth0 up",
        f"ip addr add {near}/24 dev eth0; ip addr add {host.second_ip}/24 dev eth0",
        f"ip route add default via {gateway}",
    ]
    listening = (("/usr/sbin/httpd", WEB_PORT), ("/usr/sbin/sshd", 22))
    commands += [f"python3 -c {shlex.quote(_LISTEN)} {daemon} {port} &" for daemon, port in listening]
    idle = ("/usr/bin/amazon-ssm-agent", "/usr/sbin/crond", "/usr/sbin/chronyd")
    commands += [f"exec {daemon} 3650d &" for daemon in idle]
    if host is story.estate.suspect:
        commands += _miner(story, host)
    return commands


def _miner(story: Story, host: Host) -> list[str]:
    intruder = story.intruder
    path, folder = shlex.quote(intruder.miner), shlex.quote(intruder.miner_dir)
    pool = f"{intruder.pool_ip}:{intruder.pool_port}"
    shown = f"{intruder.miner} -o stratum+tcp://{pool} -u {intruder.wallet} --retry-pause"
    arguments = [intruder.miner, host.private_ip, intruder.pool_ip, str(intruder.pool_port), shown]
    stamp = int(story.times.miner.timestamp())
    # the binary may go only once it runs; python's own start takes a moment on a busy machine
    running = f"ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q {path}"
    return [
        f"mkdir -p {folder}; cp /usr/bin/sleep {path}; chmod 700 {path}",
        f"python3 -c {shlex.quote(_CONNECT)} {shlex.join(arguments)} &",
        f"for n in $(seq 100); do {running} && break; sleep 0.05; done; rm -f {path}; touch -d @{stamp} {folder}",
    ]
