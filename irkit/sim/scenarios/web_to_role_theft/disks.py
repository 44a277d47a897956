"""File system images of the server's volumes: sparse ext4, written without mounting anything.

References: mke2fs(8) `-d`, `-E hash_seed`; debugfs(8); E2FSPROGS_FAKE_TIME makes times repeatable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

from irkit.errors import MissingExtra
from irkit.sim.scenarios.web_to_role_theft import ids
from irkit.sim.scenarios.web_to_role_theft.host import File, removed_files, write_tree
from irkit.sim.scenarios.web_to_role_theft.story import Host, Story

ROOT_GIB = 8
DATA_GIB = 4
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


def root_image(story: Story, host: Host, tree: Path, image: Path) -> Path:
    """The root volume's image: the tree, plus files that were deleted before the image was taken."""
    removed = removed_files(story) if host is story.estate.suspect else {}
    write_tree(removed, tree)
    try:
        _make(image, ROOT_GIB, tree, label="/", story=story, name=f"root-{host.private_ip}")
        if removed:
            _debugfs(image, [f'rm "{name}"' for name in removed], story)
    finally:
        for name in removed:
            (tree / name.lstrip("/")).unlink(missing_ok=True)
    return image


def data_image(story: Story, host: Host, tree: Path, image: Path) -> Path:
    """The data volume's image; `tree` is what is mounted at /srv/data on the live host."""
    return _make(image, DATA_GIB, tree, label="data", story=story, name=f"data-{host.private_ip}")


def data_files(story: Story) -> dict[str, File]:
    """Customer records on the data volume, relative to the live host's root."""
    rng, when = story.rng("data"), story.times.at - timedelta(days=5)
    files = {}
    for number in range(6):
        rows = "".join(
            f"{rng.randrange(10**6)},{ids.token(rng, 8)},{rng.randrange(999)}\n" for _ in range(400)
        )
        files[f"/srv/data/customers-{number}.csv"] = File(
            content=f"id,name,orders\n{rows}".encode(), when=when
        )
    return files


def _make(image: Path, gib: int, tree: Path, *, label: str, story: Story, name: str) -> Path:
    rng = story.rng(f"image-{name}")
    options = f"lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0,hash_seed={ids.uuid(rng)}"
    image.unlink(missing_ok=True)
    _run(
        [
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-F",
            "-d",
            str(tree),
            "-L",
            label,
            "-U",
            ids.uuid(rng),
            "-m",
            "1",
            "-N",
            "4096",
            "-J",
            "size=4",
            "-O",
            "^resize_inode",
            "-E",
            options,
            str(image),
            f"{gib}G",
        ],
        story,
    )
    return image


def _debugfs(image: Path, commands: list[str], story: Story) -> None:
    script = image.with_suffix(".debugfs")
    script.write_text("\n".join(commands) + "\n")
    _run(["debugfs", "-w", "-f", str(script), str(image)], story)
    script.unlink()


def _run(command: list[str], story: Story) -> None:
    path = shutil.which(command[0], path=_SBIN)
    if path is None:
        raise MissingExtra(f"{command[0]} is not installed", hint="install the system package e2fsprogs")
    # mke2fs and debugfs date what they write with this, where they support it
    environment = os.environ | {"E2FSPROGS_FAKE_TIME": str(int(story.times.at.timestamp()))}
    arguments = [path, *command[1:]]
    subprocess.run(arguments, check=True, capture_output=True, env=environment, timeout=60)  # noqa: S603 - our own
