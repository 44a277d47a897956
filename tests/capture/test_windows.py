"""Windows: the PowerShell is parsed and read here, not run; what it would print is parsed for real."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit import capture
from irkit.capture import HostFacts, host
from irkit.capture.host_facts import parse
from irkit.capture.windows_output import taken_apart
from irkit.capture.windows_parse import parsed
from irkit.case import Case
from irkit.plan import Status
from tests.capture.windows_host import SECTIONS, answering, done, printed, windows

SCRIPTS = ("facts.ps1", "memory.ps1")
# What the scripts may call: verbs that read, and the plumbing of PowerShell itself.
READS = re.compile(
    r"(Get|Select|Where|ForEach|Format|Read|ConvertTo|Confirm|Add|Write)-\w+|New-Object|Set-StrictMode|quser\.exe|docker\.exe|netsh\.exe"
)
OWN = {"Add-Section", "Get-Digest", "Get-Profile", "Format-Time", "Read-Tail"}


def nodes(text: str) -> Iterator[Any]:
    """Every node of the parse tree of a PowerShell script."""
    tree_sitter = pytest.importorskip(
        "tree_sitter", reason="no tree-sitter: pip install tree-sitter-powershell"
    )
    powershell = pytest.importorskip(
        "tree_sitter_powershell", reason="no tree-sitter-powershell: pip install it"
    )
    parser = tree_sitter.Parser(tree_sitter.Language(powershell.language()))
    waiting = [parser.parse(text.encode()).root_node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def words(text: str, kind: str) -> set[str]:
    return {node.text.decode() for node in nodes(text) if node.type == kind}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_parser_of_powershell_finds_no_error(name: str) -> None:
    bad = [n.start_point for n in nodes(host.script(name)) if n.type == "ERROR" or n.is_missing]
    assert bad == []


def test_the_parser_does_find_an_error() -> None:
    broken = host.script("facts.ps1").replace("if ($left -le 0) {", "if ($left -le 0) {{{ ,")
    assert any(n.type == "ERROR" or n.is_missing for n in nodes(broken))


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_powershell_5_and_holds_nothing_that_systems_manager_would_replace(name: str) -> None:
    text = host.script(name)
    assert text.isascii()
    assert "{{" not in text
    assert "}}" not in text
    code = "\n".join(
        line.partition(" # ")[0] for line in text.splitlines() if not line.lstrip().startswith("#")
    )
    # PowerShell 7: null coalescing, chains, ternary, parallel
    assert not re.findall(r"\?\?|\?\.|&&|-Parallel\b|\)\s*\?\s*\$", code)
    assert len(text.encode()) < 48_000


def test_facts_only_read() -> None:
    text = host.script("facts.ps1")
    shared = text.partition("$shared = @'\n")[2].partition("\n'@\n")[0]
    called = words(text, "command_name") | words(shared, "command_name")
    assert called >= {
        "Get-CimInstance",
        "Get-NetTCPConnection",
        "Get-WinEvent",
        "Get-ScheduledTask",
        "Get-DnsClientCache",
    }
    strangers = {c for c in called if not READS.fullmatch(c)} - {"Invoke-CimMethod"}
    assert strangers == set()
    assert re.findall(r"Invoke-CimMethod .*-MethodName (\w+)", text) == ["GetOwner"]
    assert not re.findall(
        r"(?i)\b(Invoke-WebRequest|Net\.WebClient|HttpClient|Out-File|Set-Content|Add-Content|Start-Process)",
        text,
    )
    assert not re.findall(r"[^-]>{1,2}\s*(?!&1|\$null)[\w$'\"]", re.sub(r"-> |#.*", "", text)), (
        "no redirection to a file"
    )


def test_every_section_is_bounded_in_time_and_belongs_to_one_part() -> None:
    given_seconds = dict(re.findall(r"^Add-Section '(\w+)' (\d+) \{", host.script("facts.ps1"), re.MULTILINE))
    grouped = [name for group in host._WINDOWS_GROUPS for name in group]
    assert sorted(grouped) == sorted(given_seconds)
    assert all(0 < int(s) <= 60 for s in given_seconds.values())
    wanted = {
        "processes",
        "tcp",
        "udp",
        "dns",
        "neighbours",
        "services",
        "tasks",
        "autoruns",
        "wmi",
        "sessions",
        "drivers",
        "defender",
    }
    assert wanted <= set(given_seconds)
    for ident in (4624, 4688, 7045, 4104):
        assert str(ident) in host.script("facts.ps1")


def test_what_windows_says_becomes_the_facts_that_the_hunt_reads() -> None:
    seen = parse(printed(SECTIONS))
    assert seen.host.hostname == "EC2AMAZ-1"
    assert seen.host.uptime_seconds == 25 * 3600
    assert seen.host.os_release["powershell"].startswith("5.1")
    miner = seen.deleted[0]
    assert (miner.pid, miner.exe, miner.sha256) == (4242, "C:\\Users\\Public\\svch0st.exe", "a" * 64)
    assert miner.cmdline[0].endswith("\x1b[31m\ud83d"), "half a surrogate pair survives"
    flow = next(s for s in seen.sockets if s.pid == 4242)
    assert (flow.protocol, flow.state, flow.remote, flow.remote_port) == ("tcp", "ESTAB", "203.0.113.9", 3333)
    assert {(s.protocol, s.state) for s in seen.sockets} == {
        ("tcp", "ESTAB"),
        ("tcp6", "LISTEN"),
        ("udp", "UNCONN"),
    }
    job = seen.cron[0]
    assert (job.file, job.schedule, job.user) == ("\\Update", "MSFT_TaskBootTrigger", "SYSTEM")
    assert job.command == "powershell.exe -enc SQBFAFgA"
    assert seen.units[0].commands == ("C:\\ProgramData\\h.exe", "C:\\ProgramData\\h.dll")
    assert seen.keys[0].comment == "intruder"
    assert seen.keys[0].fingerprint.startswith("SHA256:")
    assert [(u.name, u.uid, u.gid) for u in seen.users] == [("support", 1005, 544)]
    assert [f.path for f in seen.files if f.code] == ["C:\\inetpub\\wwwroot\\s.aspx"]
    logs = {log.file: log for log in seen.logs}
    assert json.loads(logs["System/7045"].lines[0])["data"]["ServiceName"] == "WinHelpSvc"
    assert logs["Security/4624"].truncated
    assert "msagent_7f" in seen.texts["pipes"]
    assert "CommandLineEventConsumer" in seen.texts["wmi"]
    assert "rdp-tcp#3" in seen.texts["logins"]
    assert seen.histories[0].lines == ("whoami /all",)
    assert set(seen.missing) == {
        "files: cut: stopped after 40 seconds",
        "Security/4624: only the last 1 events",
        "C:\\Users\\support\\ConsoleHost_history.txt: only the last 18 of 1000000 bytes",
    }
    assert HostFacts.from_dict(json.loads(json.dumps(seen.to_dict()))) == seen


@given(st.integers(0, 400), st.binary(max_size=40))
def test_output_that_is_cut_or_mangled_never_raises_and_is_never_called_whole(at: int, junk: bytes) -> None:
    whole = printed({"host": done({"hostname": "h"})})
    mangled = whole[: 33 + at] + junk
    seen = parse(mangled)
    assert seen.missing or seen.host.hostname == "h"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        "pid",
        "file",
        "content",
        "local_port",
        "does",
        "when",
        "sid",
        "data",
        "log",
        "id",
        "size",
        "booted",
        "now",
    ]
)
rows = st.dictionaries(fields, json_values, max_size=6)


@given(
    st.dictionaries(
        st.sampled_from([*SECTIONS, "other"]),
        st.fixed_dictionaries(
            {"state": json_values, "rows": st.lists(rows | json_values, max_size=3) | json_values}
        )
        | json_values,
        max_size=6,
    )
)
def test_rows_of_any_shape_become_facts_or_nothing(sections: dict[str, Any]) -> None:
    json.dumps(parsed(printed(sections)).to_dict())


def test_a_bomb_is_not_unpacked() -> None:
    import gzip

    bomb = base64.b64encode(gzip.compress(b"[" + b" " * (65 << 20)))
    assert taken_apart(b"irkit-windows-facts gzip base64\n" + bomb).problems


def facts_of(case: Case) -> HostFacts:
    return HostFacts.from_dict(json.loads(case.evidence.read(case.evidence.items(kind="host-facts")[0])))


def test_a_windows_host_is_asked_by_powershell_and_its_output_comes_by_way_of_the_bucket(
    world: Any, open_case: Callable[..., Case], bucket: str
) -> None:
    case = open_case(sources={"evidence_bucket": bucket})
    with windows(world, answering(SECTIONS)) as instance_id:
        plan = capture.plan(case, instance_id, only=["host"])
        assert plan.steps[0].args["document"] == "AWS-RunPowerShellScript"
        assert plan.steps[0].args["script"] == "facts.ps1"
        report = plan.apply()
    assert report.exit_code == 3, "the recorded output says that files were cut"
    assert facts_of(case).deleted[0].name == "svch0st.exe"
    output = case.evidence.items(kind="host-output")[0]
    assert output.notes["output"][0].endswith("/awsrunPowerShellScript/0.awsrunPowerShellScript/stdout")


def test_without_a_bucket_windows_is_asked_in_parts(world: Any, case: Case) -> None:
    with windows(world, answering(SECTIONS)) as instance_id:
        report = capture.plan(case, instance_id, only=["host"]).apply()
    assert len(report.steps[0].result["commands"]) == len(host._WINDOWS_GROUPS)
    assert facts_of(case).logs
    assert facts_of(case).deleted


def test_a_host_whose_powershell_fails_gives_no_facts_and_says_why(
    world: Any, open_case: Callable[..., Case], bucket: str
) -> None:
    def refused(_: str) -> bytes:
        raise RuntimeError("execution of scripts is disabled on this system")

    with windows(world, refused) as instance_id:
        case = open_case(sources={"evidence_bucket": bucket})
        report = capture.plan(case, instance_id, only=["host"]).apply()
    assert report.steps[0].status is Status.FAILED
    assert "execution of scripts is disabled" in report.steps[0].why
