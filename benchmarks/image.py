"""Blocks of an EBS snapshot over TLS on loopback: irkit's two transports beside a plain boto3 thread pool, in one run.

The server answers like EBS direct and does nothing else, in a process of its own: the simulator would be what is
measured. It takes CPU from the same machine, so of MB/s only the ratios mean something; CPU a block is of the client
alone. All write the same file, in memory where that is possible and filled before, so that neither a disk is measured
nor the kernel's search for pages. Each way runs in turn, `ROUNDS` times;
the best of each is shown. Exit code 1 when the default path is not 1.3 times, the raw one not twice the plain pool,
neither in MB/s nor in CPU a block: on a machine that is busy otherwise only the latter says something.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = 512 * 1024
BLOCKS = 1_000
WORKERS = 32
ROUNDS = 3
REGION = "us-east-1"
SNAPSHOT = "snap-0123456789abcdef0"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
WANTED = {"irkit, default transport": 1.3, "irkit, raw transport": 2.0}


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return public, private


def serve(public: str, private: str) -> None:
    """Answer ListSnapshotBlocks and GetSnapshotBlock until killed; the port is the first line of output."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    body = os.urandom(BLOCK)
    checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
    head = (
        f"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nx-amz-Data-Length: {BLOCK}\r\nx-amz-Checksum: {checksum}\r\n"
        "x-amz-Checksum-Algorithm: SHA256\r\nContent-Type: application/octet-stream\r\n"
        f"Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Length: {BLOCK}\r\n\r\n"
    )
    block = head.encode() + body
    server = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(server.getsockname()[1], flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    threading.Thread(target=end_with_the_bench, daemon=True).start()
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:  # a process each: the server's Python lock is not to be measured
            server.close()
            answer(connection, context, block)
            os._exit(0)
        connection.close()


def end_with_the_bench() -> None:
    """End the server and the processes that it started once nobody holds the other end of its input."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


def answer(connection: socket.socket, context: ssl.SSLContext, block: bytes) -> None:
    """Answer the requests of one connection."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(connection, server_side=True) as line:
            pending = b""
            while True:
                while b"\r\n\r\n" not in pending:
                    got = line.recv(65536)
                    if not got:
                        return
                    pending += got
                request, _, pending = pending.partition(b"\r\n\r\n")
                first = request.partition(b"\r\n")[0].decode()
                line.sendall(block if "/blocks/" in first else listing(first))
    except OSError:
        return


def listing(first: str) -> bytes:
    """The page of the listing that the request's first line asks for."""
    start = int((re.findall(r"startingBlockIndex=(\d+)", first) or ["0"])[0])
    page = {
        "Blocks": [{"BlockIndex": n, "BlockToken": "t" * 44} for n in range(start, BLOCKS)],
        "ExpiryTime": 2e9,
        "VolumeSize": -(-BLOCKS * BLOCK // (1 << 30)),
        "BlockSize": BLOCK,
    }
    body = json.dumps(page).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured run: seconds on the clock, and CPU seconds of this process."""

    wall: float
    cpu: float

    @property
    def speed(self) -> float:
        """MB/s."""
        return BLOCKS * BLOCK / self.wall / 1e6

    @property
    def each(self) -> float:
        """CPU milliseconds a block."""
        return self.cpu / BLOCKS * 1e3


def measured(work: Callable[[], object]) -> Run:
    """What `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Run(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


class Bench:
    """The ways to the blocks of the server at `url`, whose certificate is in the file `trusted`."""

    def __init__(self, url: str, trusted: Path, scratch: Path) -> None:
        import boto3
        from botocore.config import Config
        from botocore.credentials import Credentials

        from irkit.capture.image.transport import Endpoint

        session: Any = boto3.Session(KEY, SECRET, region_name=REGION)
        pool = Config(max_pool_connections=WORKERS)
        self.ebs = session.client("ebs", endpoint_url=url, verify=str(trusted), config=pool)
        self.scratch = scratch
        self.image = scratch / "image.raw"
        with self.image.open("wb") as image:
            for _ in range(BLOCKS):
                image.write(os.urandom(BLOCK))
            image.truncate(-(-BLOCKS * BLOCK // (1 << 30)) << 30)
        self.end = Endpoint(
            url=url, region=REGION, credentials=Credentials(KEY, SECRET), user_agent="irkit/bench",
            ca_bundle=str(trusted), proxies={},
        )  # fmt: skip

    def plain(self, *, whole: bool) -> None:
        """What one writes with boto3: a pool of threads, each block checked and written; then the image's hash."""
        listed = self.ebs.list_snapshot_blocks(SnapshotId=SNAPSHOT)
        file = os.open(self.image, os.O_RDWR)

        def fetch(block: dict[str, Any]) -> None:
            got = self.ebs.get_snapshot_block(SnapshotId=SNAPSHOT, **block)
            data = got["BlockData"].read()
            if base64.b64encode(hashlib.sha256(data).digest()).decode() != got["Checksum"]:
                raise ValueError(block)
            os.pwrite(file, data, block["BlockIndex"] * BLOCK)

        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            for _ in pool.map(fetch, listed["Blocks"]):
                pass
        os.close(file)
        if whole:
            with self.image.open("rb") as image:
                hashlib.file_digest(image, "sha256")

    def floor(self) -> None:
        """What no client can do without, besides TLS: the SHA-256 of each block, and writing it."""
        data, file = os.urandom(BLOCK), os.open(self.image, os.O_RDWR)
        for index in range(BLOCKS):
            hashlib.sha256(data).digest()
            os.pwrite(file, data, index * BLOCK)
        os.close(file)

    def ours(self, transport: str, *, whole: bool) -> None:
        """The same by irkit, and with `whole` the image's hash, its list of blocks and a durable record of progress."""
        from irkit.capture.image.blocks import Listing
        from irkit.capture.image.download import Download
        from irkit.capture.image.fetching import Fetcher, Pace
        from irkit.capture.image.transport import chosen
        from irkit.capture.image.working import Shape, Working

        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            listing = Listing(self.ebs, SNAPSHOT)
            page = next(listing.pages())
            (Path(folder) / "image.raw").hardlink_to(self.image)
            shape = Shape(snapshot=SNAPSHOT, since=None, size=page.volume_bytes, block_size=page.block_size)
            working = Working(Path(folder), shape)
            way, _ = chosen(transport, self.end, block_size=BLOCK, workers=WORKERS)
            if whole:
                Download(listing, working, way, workers=WORKERS, progress=lambda _: None).run()
            else:
                blocks, lock = iter(page.blocks), threading.Lock()
                fetcher = Fetcher(listing=listing, transport=way, pace=Pace(WORKERS))

                def work(rank: int) -> None:
                    reader = fetcher.reader()
                    while True:
                        fetcher.pace.admit(rank)
                        with lock:
                            block = next(blocks, None)
                        if block is None:
                            break
                        data, digest = reader.read(block)
                        working.put(block.index, data, digest)
                    fetcher.pace.end()
                    reader.close()

                threads = [threading.Thread(target=work, args=(n,)) for n in range(WORKERS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                working.flush()
            working.close()


def compared(title: str, ways: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Run the ways in turn, print a table, and return each way's gain over the first: in speed, and in CPU a block."""
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            runs[name].append(measured(way))
    base = next(iter(runs.values()))
    fastest, least = max(r.speed for r in base), min(r.each for r in base)
    print(f"\n{title}\n{'':32}{'MB/s':>8}{'times':>8}{'CPU ms a block':>16}{'times less':>12}")
    ratios = {}
    for name, found in runs.items():
        speed, each = max(r.speed for r in found), min(r.each for r in found)
        ratios[name] = (speed / fastest, least / each)
        print(f"{name:32}{speed:8.0f}{speed / fastest:8.2f}{each:16.2f}{least / each:12.2f}")
    return ratios


def main() -> int:
    """Measure and print; 1 when a ratio that irkit promises is missed."""
    memory = Path("/dev/shm")  # noqa: S108 - memory, and the folder made in it is ours alone
    where = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="irkit-bench-") as scratch:
        public, private = certificate(Path(scratch))
        command = [sys.executable, __file__, "serve", str(public), str(private)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as server:
            try:
                assert server.stdout is not None  # noqa: S101 - it was asked for above
                bench = Bench(f"https://localhost:{int(server.stdout.readline())}", public, Path(scratch))
                plain = "plain boto3 thread pool"
                first, second = WANTED
                ratios = compared(
                    f"{BLOCKS} blocks of 512 KiB, fetched, checked and written, {WORKERS} in flight, best of {ROUNDS}",
                    {
                        plain: lambda: bench.plain(whole=False),
                        first: lambda: bench.ours("boto3", whole=False),
                        second: lambda: bench.ours("raw", whole=False),
                        "SHA-256 and write alone": bench.floor,
                    },
                )
                whole = compared(
                    "The same, and the SHA-256 of the whole image (irkit: with block list and durable progress)",
                    {
                        plain: lambda: bench.plain(whole=True),
                        first: lambda: bench.ours("boto3", whole=True),
                        second: lambda: bench.ours("raw", whole=True),
                    },
                )
            finally:
                os.killpg(server.pid, signal.SIGKILL)
    missed = [name for name, least in WANTED.items() if max(ratios[name]) < least]
    for name, least in WANTED.items():
        told = [
            f"{speed:.2f} times in MB/s, {each:.2f} in CPU" for speed, each in (ratios[name], whole[name])
        ]
        print(f"{name}: {told[0]} (wanted {least}); with the image's hash {told[1]}")
    return int(bool(missed))


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:4])
    sys.exit(main())
