from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.capture import HostFacts
from irkit.capture.host_facts import parse
from irkit.capture.host_output import taken_apart

NONCE = "0123456789abcdef" * 2


def output(sections: dict[str, bytes], *, complete: bool = True, late: tuple[str, ...] = ()) -> bytes:
    """What the script would print for these sections."""
    plain = f"irkit-facts/1 {NONCE}".encode()
    for name, content in sections.items():
        plain += (
            f"\n--{NONCE} begin {name}\n".encode()
            + content
            + f"\n--{NONCE} exit 0\n--{NONCE} end {name}".encode()
        )
    for name in late:
        plain += f"\n--{NONCE} late {name}".encode()
    if complete:
        plain += f"\n--{NONCE} complete\n".encode()
    return b"irkit-facts gzip base64\n" + base64.b64encode(gzip.compress(plain)) + b"\n"


def kept(path: str, content: bytes, stat: str = "1763600000 {size} 600 root") -> bytes:
    """A file as the script prints it."""
    said = stat.format(size=len(content))
    return b"\0".join([path.encode(), said.encode(), content, NONCE.encode(), b""])


def facts(**sections: bytes) -> HostFacts:
    return parse(output({name.replace("__", ":"): content for name, content in sections.items()}))


@given(st.binary(max_size=400))
def test_nothing_that_a_host_can_print_raises(raw: bytes) -> None:
    assert parse(raw).missing
    for first in (b"irkit-facts gzip base64\n", b"irkit-facts plain base64\n", b"irkit-facts plain hex\n"):
        parse(first + raw)
    parse(
        output(
            {
                "processes": raw,
                "sockets": raw,
                "cron": raw,
                "keys": raw,
                "files": raw,
                "web_logs": raw,
                "host": raw,
            }
        )
    )


@given(st.binary(max_size=300), st.text(max_size=60))
def test_facts_survive_the_way_through_json(content: bytes, path: str) -> None:
    seen = facts(cron=kept("/etc/cron.d/x", content), web_logs=kept(f"/{path}".replace("\0", ""), content))
    assert HostFacts.from_dict(json.loads(json.dumps(seen.to_dict()))) == seen


@given(st.integers(min_value=0))
def test_output_that_ends_anywhere_gives_what_came_through_and_says_so(end: int) -> None:
    whole = output(
        {"text:mounts": b"proc /proc\n" * 50, "cron": kept("/etc/crontab", b"1 2 3 4 5 root /bin/x\n" * 40)}
    )
    cut = whole[: end % len(whole)]
    assert parse(cut).missing or parse(cut) == parse(whole)


def test_a_log_line_cannot_pretend_to_be_the_end_of_a_section() -> None:
    line = (
        b"--"
        + b"f" * 32
        + b' end web_logs\n1.2.3.4 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1\n'
    )
    seen = facts(web_logs=kept("/var/log/nginx/access.log", line))
    assert len(seen.logs[0].lines) == 2
    assert [r.address for r in seen.requests] == ["1.2.3.4"]


def test_several_outputs_one_after_the_other_are_one() -> None:
    raw = output({"text:mounts": b"m"}) + output({"text:modules": b"n"})
    assert (parse(raw).texts["mounts"], parse(raw).texts["modules"]) == ("m", "n")
    assert taken_apart(raw).complete


def test_what_there_was_no_time_for_is_missing() -> None:
    seen = parse(output({}, late=("files",)))
    assert seen.missing == ("files: the script's time was up before it",)


def test_a_bomb_is_not_unpacked_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from irkit.capture import host_output

    monkeypatch.setattr(host_output, "MOST", 10_000)
    seen = parse(output({"text:x": b"0" * 5_000_000}))
    assert any("larger than" in m for m in seen.missing)


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ("/etc/crontab", "1 2 * * 0 root run x", ("1 2 * * 0", "root", "run x")),
        ("/etc/cron.d/a", "@reboot  www-data  /tmp/x -a", ("@reboot", "www-data", "/tmp/x -a")),
        ("/var/spool/cron/crontabs/bob", "*/5 * * * * curl x | sh", ("*/5 * * * *", "bob", "curl x | sh")),
        (
            "/etc/anacrontab",
            "1 5 daily run-parts /etc/cron.daily",
            ("1 5 daily", "root", "run-parts /etc/cron.daily"),
        ),
        ("/etc/cron.daily/clean", "#!/bin/sh", ("@daily", "root", "/etc/cron.daily/clean")),
    ],
)
def test_jobs_are_read_as_cron_reads_them(path: str, line: str, expected: tuple[str, str, str]) -> None:
    [job] = facts(cron=kept(path, f"# c\nPATH=/bin\n{line}\n".encode())).cron
    assert (job.schedule, job.user, job.command) == expected


def test_a_key_has_the_fingerprint_that_ssh_keygen_shows() -> None:
    blob = "AAAAC3NzaC1lZDI1NTE5AAAAIL0OOz9mJQr1L7TPFnyyXTyYcWvcreHE8SXBuXnknNXs"
    line = f'from="10.0.0.1",command="echo ssh-rsa AAAA" ssh-ed25519 {blob} me@there now\n# note\nnot a key\n'
    key, odd = facts(keys=kept("/root/.ssh/authorized_keys", line.encode())).keys
    assert key.fingerprint == "SHA256:0s3Nc7+mGkWIDBgnXNyzZqzirfSIJ+GBpvfCgChauu0"
    assert (key.type, key.comment) == ("ssh-ed25519", "me@there now")
    assert key.options.startswith('from="10.0.0.1"')
    assert (odd.fingerprint, odd.line) == ("", "not a key")


def process(**given: Any) -> HostFacts:
    fields = {
        "exe": b"/tmp/x (deleted)",
        "links": b"0",
        "name": b"(x) y) z",
        "arguments": [b"/tmp/x", b"-a", b""],
    } | given
    stat = b"7 (" + fields["name"] + b") S 3 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1000 1 1"
    head = [b"7", fields["exe"], fields["links"], b"/", stat, b"33", b"a" * 64]
    tokens = [
        *head,
        *fields["arguments"],
        NONCE.encode(),
        b"PATH",
        b"LD_PRELOAD",
        b"bad=name",
        b"",
        NONCE.encode(),
        b"",
    ]
    host = b"".join(
        b"\0".join([k, v, NONCE.encode(), b""]) for k, v in ((b"boot", b"1000"), (b"ticks", b"100"))
    )
    return facts(host=host, processes=b"\0".join(tokens))


def test_a_process_is_read_whatever_it_is_called() -> None:
    [seen] = process().processes
    assert (seen.pid, seen.ppid, seen.uid, seen.name) == (7, 3, 33, "(x) y) z")
    assert (seen.exe, seen.deleted, seen.sha256) == ("/tmp/x", True, "a" * 64)
    assert seen.cmdline == ("/tmp/x", "-a")
    assert seen.env_names == ("LD_PRELOAD", "PATH")
    assert seen.started == "1970-01-01T00:16:50Z"


def test_a_file_that_is_only_named_deleted_is_not_deleted() -> None:
    [seen] = process(exe=b"/tmp/x (deleted)", links=b"1").processes
    assert (seen.exe, seen.deleted) == ("/tmp/x (deleted)", False)


def test_sockets_of_both_families_are_read_from_the_kernels_table() -> None:
    head = b"  sl  local_address rem_address   st\n"
    four = head + b"   0: A4011 bad\n   1: A401140A:BCB8 B5D213C6:115C 01 0:0 0:0 0 0 0 4711 1\n"
    six = head + (
        b"   0: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 33 0 4712 1\n"
    )
    tables = [
        b"tcp",
        four,
        NONCE.encode(),
        b"tcp6",
        six,
        NONCE.encode(),
        b"owners",
        b"46 4711\n",
        NONCE.encode(),
        b"",
    ]
    first, second = facts(sockets=b"\0".join(tables)).sockets
    assert (first.local, first.remote, first.remote_port, first.state, first.pid) == (
        "10.20.1.164", "198.19.210.181", 4444, "ESTAB", 46,
    )  # fmt: skip
    assert (second.local, second.local_port, second.state, second.pid) == ("127.0.0.1", 80, "LISTEN", None)


def test_a_request_is_read_from_common_and_combined_logs() -> None:
    lines = (
        b'203.0.113.9 - - [19/Nov/2026:03:23:39 +0100] "POST /up.php?c=id HTTP/1.1" 200 12 "-" "cu\\"rl <script>"\n'
        b'2001:db8::1 - bob [19/Nov/2026:03:23:40 +0000] "GET / HTTP/1.0" 404 -\n'
        b"garbage\n"
    )
    first, second = facts(web_logs=kept("/var/log/httpd/access_log", lines)).requests
    assert (first.at, first.method, first.target, first.status) == (
        "2026-11-19T02:23:39Z",
        "POST",
        "/up.php?c=id",
        200,
    )
    assert first.agent == 'cu\\"rl <script>'
    assert (second.address, second.status, second.agent) == ("2001:db8::1", 404, "")


def test_the_end_of_a_long_log_is_marked_and_its_first_part_line_dropped() -> None:
    seen = facts(
        system_logs=kept("/var/log/secure", b"rest of a line\nwhole line\n", stat="1763600000 99999 600 root")
    )
    assert seen.logs[0].lines == ("whole line",)
    assert seen.logs[0].truncated
    assert "only the last 26 of 99999 bytes" in seen.missing[0]
