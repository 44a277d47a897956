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
    # a dummy device needs a kernel module, a veth pair does for a route that leads nowhere
    commands = [
        "ip link add eth0 type dummy || ip link add eth0 type veth peer name ens5",
        f"ip link set ens5 up; ip link set eth0 up; ip addr add {near}/24 dev eth0; "
        f"ip addr add {host.second_ip}/24 dev eth0; ip route add default via {near.rpartition('.')[0]}.1",
    ]
    for daemon, port in (("/usr/sbin/httpd", WEB_PORT), ("/usr/sbin/sshd", 22)):
        commands.append(f"python3 -c {shlex.quote(_LISTEN)} {daemon} {port} &")
    for daemon in ("/usr/bin/amazon-ssm-agent", "/usr/sbin/crond", "/usr/sbin/chronyd"):
        commands.append(f"exec {daemon} 3650d &")
    if host is story.estate.suspect:
        commands += _miner(story, host)
    return commands


def _miner(story: Story, host: Host) -> list[str]:
    intruder = story.intruder
    path, folder = shlex.quote(intruder.miner), shlex.quote(intruder.miner_dir)
    shown = f"{intruder.miner} -o stratum+tcp://{intruder.pool_ip}:{intruder.pool_port} -u {intruder.wallet} --retry-pause"
    arguments = shlex.join([intruder.miner, host.private_ip, intruder.pool_ip, str(intruder.pool_port), shown])
    stamp = int(story.times.miner.timestamp())
    return [
        f"mkdir -p {folder}; cp /usr/bin/sleep {path}; chmod 700 {path}",
        f"python3 -c {shlex.quote(_CONNECT)} {arguments} &",
        # the binary may go only once it runs; python's own start takes a moment on a busy machine
        f"for n in $(seq 100); do ls -l /proc/[0-9]*/exe 2>/dev/null | grep -q {path} && break; sleep 0.05; done; "
        f"rm -f {path}; touch -d @{stamp} {folder}",
    ]
