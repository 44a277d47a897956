"""Both transports give the same of the same answers, and take nothing for a block that is none."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from irkit.aws import error_code
from irkit.capture.image import fetching
from irkit.capture.image.blocks import Block, Listing
from irkit.capture.image.fetching import CorruptBlock, Fetcher, Pace, Stopped
from irkit.capture.image.raw import RawTransport
from irkit.capture.image.transport import Endpoint, MalformedError, Transport, chosen
from irkit.errors import AwsError, IrkitError, NoCredentials
from tests.capture.image.answering import answering, block_answer

SIZE = 4096
BODY = bytes(range(256)) * 16
BROKEN = (OSError, BotoCoreError, HTTPException)


@pytest.fixture(params=["boto3", "raw"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(name: str, to: Endpoint) -> Transport:
    return chosen(name, to, block_size=SIZE, workers=2)[0]


def refused(code: str, status: int, reason: str = "") -> bytes:
    body = f'{{"Message": "no", "Reason": "{reason}"}}'.encode()
    head = f"HTTP/1.1 {status} X\r\nx-amzn-ErrorType: {code}:http://x/\r\nx-amzn-RequestId: r-1\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_a_block_comes_with_what_aws_says_about_it(name: str) -> None:
    with answering(lambda _: block_answer(BODY)) as to:
        connection = made(name, to).connect()
        for _ in range(3):
            got = connection.fetch("/snapshots/snap-1/blocks/0", "blockToken=t")
            assert bytes(got.data) == BODY
            assert got.algorithm == "SHA256"
        connection.close()


def test_the_request_names_the_block_and_is_signed(name: str) -> None:
    asked: list[str] = []

    def answers(first: str) -> bytes:
        asked.append(first)
        return block_answer(BODY)

    with answering(answers) as to:
        connection = made(name, to).connect()
        connection.fetch("/snapshots/snap-1/blocks/7", "blockToken=a%2Bb")
        connection.close()
    assert asked == ["GET /snapshots/snap-1/blocks/7?blockToken=a%2Bb HTTP/1.1"]


def test_a_refusal_is_the_error_that_boto3_would_raise(name: str) -> None:
    with answering(lambda _: refused("ValidationException", 400, "INVALID_BLOCK_TOKEN")) as to:
        connection = made(name, to).connect()
        with pytest.raises(ClientError) as caught:
            connection.fetch("/x", "q=1")
        connection.close()
    assert error_code(caught.value) == "ValidationException"
    assert caught.value.response["Reason"] == "INVALID_BLOCK_TOKEN"  # type: ignore[typeddict-item]
    assert caught.value.response["ResponseMetadata"]["RequestId"] == "r-1"


def test_after_a_refusal_the_connection_serves_on(name: str) -> None:
    answers = iter([refused("InternalServerException", 500), block_answer(BODY)])
    with answering(lambda _: next(answers)) as to:
        connection = made(name, to).connect()
        with pytest.raises(ClientError):
            connection.fetch("/x", "q=1")
        assert bytes(connection.fetch("/x", "q=1").data) == BODY
        connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        block_answer(BODY)[:-100],
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a block", "no HTTP", "a length that is none"],
)
def test_what_is_no_whole_answer_is_a_broken_connection(name: str, answer: bytes) -> None:
    with answering(lambda _: answer or None, closing=True) as to:
        connection = made(name, to).connect()
        try:
            got = connection.fetch("/x", "q=1")
        except BROKEN:
            pass
        else:  # what gets through is no block: its checksum does not say so
            assert bytes(got.data) != BODY
        connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        block_answer(BODY + b"more than a block holds" * 8000),
        block_answer(BODY, Transfer_Encoding="chunked"),
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000,
    ],
    ids=["too long", "chunked", "a head without end"],
)
def test_the_raw_transport_reads_nothing_that_it_did_not_expect(answer: bytes) -> None:
    with answering(lambda _: answer) as to:
        connection = RawTransport(to, block_size=SIZE).connect()
        with pytest.raises(MalformedError):
            connection.fetch("/x", "q=1")
        connection.close()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(name: str) -> None:
    with answering(lambda _: block_answer(BODY, Connection="close")) as to:
        connection = made(name, to).connect()
        for _ in range(3):
            assert bytes(connection.fetch("/x", "q=1").data) == BODY
        connection.close()


# --- fetching: which answers are tried again -----------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(fetching, "_LONGEST_PAUSE", 0.0)


def fetcher(name: str, to: Endpoint) -> Fetcher:
    return Fetcher(listing=Listing(None, "snap-1"), transport=made(name, to), pace=Pace(2))


def read(fetching_: Fetcher) -> bytes:
    reader = fetching_.reader()
    try:
        return bytes(reader.read(Block(0, "t"))[0])
    finally:
        reader.close()


def test_passing_failures_are_tried_again_and_counted(name: str) -> None:
    bad = block_answer(BODY, x_amz_Checksum="AAAA")
    script: Iterator[bytes | None] = iter(
        [refused("ThrottlingException", 400), None, None, bad, refused("X", 503), block_answer(BODY)]
    )
    with answering(lambda _: next(script)) as to:
        tried = fetcher(name, to)
        assert read(tried) == BODY
    # The raw transport opens a kept connection again by itself once.
    broken = 3 if name == "boto3" else 2
    assert tried.tries.to_dict() == {"throttled": 1, "broken": broken, "corrupt": 1, "expired": 0}


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (block_answer(BODY, x_amz_Checksum="!"), CorruptBlock, "block 0 of snap-1 came 4 times"),
        (block_answer(BODY, x_amz_Checksum_Algorithm="CRC32"), CorruptBlock, "checksum"),
        (None, AwsError, "the connection failed 8 times"),
        (refused("ThrottlingException", 400), AwsError, "asks for fewer requests"),
        (refused("ExpiredTokenException", 403), NoCredentials, "expired"),
    ],
    ids=["corrupt", "unknown checksum", "broken", "throttled", "expired credentials"],
)
def test_lasting_failures_end_in_an_error_that_says_what_to_do(
    name: str, answer: bytes | None, error: type[IrkitError], says: str
) -> None:
    with answering(lambda _: answer) as to, pytest.raises(error, match=says) as caught:
        read(fetcher(name, to))
    assert caught.value.hint


def test_reading_ends_between_two_tries_when_it_is_stopped(name: str) -> None:
    count = itertools.count()
    with answering(lambda _: refused("ThrottlingException", 400)) as to:
        tried = fetcher(name, to)
        tried.stopped = lambda: next(count) >= 3
        with pytest.raises(Stopped):
            read(tried)


def test_a_certificate_that_nobody_vouches_for_is_not_believed(name: str, tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", private, "-out", public],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    program = (
        "import socket, ssl, sys, threading\n"
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1], sys.argv[2])\n"
        "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
        "while True:\n"
        "    k, _ = s.accept()\n"
        "    try:\n"
        "        with c.wrap_socket(k, server_side=True) as t:\n"
        "            t.recv(65536); t.sendall(open(sys.argv[3], 'rb').read())\n"
        "    except OSError: pass\n"
    )
    (tmp_path / "answer").write_bytes(block_answer(BODY, Connection="close"))
    command = [sys.executable, "-c", program, str(public), str(private), str(tmp_path / "answer")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with answering(lambda _: None) as plain:
                told = {f: getattr(plain, f) for f in ("region", "credentials", "user_agent", "proxies")}
            stranger = Endpoint(url=f"https://localhost:{port}", ca_bundle=None, **told)
            friend = Endpoint(url=f"https://localhost:{port}", ca_bundle=str(public), **told)
            with pytest.raises(BROKEN):
                made(name, stranger).connect().fetch("/x", "q=1")
            connection = made(name, friend).connect()
            assert bytes(connection.fetch("/x", "q=1").data) == BODY
            connection.close()
        finally:
            server.kill()


# --- pace ----------------------------------------------------------------------------------------------------


def test_the_pace_lets_on_the_first_threads_and_all_at_the_end() -> None:
    pace = Pace(16)
    on: list[int] = []

    def work(rank: int) -> None:
        pace.admit(rank)
        on.append(rank)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads[: pace.allowed]:
        thread.join(timeout=60)
    assert sorted(on) == list(range(pace.allowed))
    pace.end()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(on) == list(range(16))


def test_the_pace_halves_when_aws_asks_for_fewer() -> None:
    pace = Pace(8)
    before = pace.allowed
    pace.ease()
    pace.ease()  # together with the first: those under way are one sign, not many
    assert pace.allowed == before // 2


def test_the_pace_grows_while_the_machine_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(64)
    now = [100.0]
    monkeypatch.setattr(fetching.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(fetching.time, "process_time", lambda: 0.0)
    pace.look()
    for _ in range(12):
        now[0] += 1
        pace.look()
    assert pace.allowed == 64
