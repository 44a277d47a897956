"""An instance's console: one text, shown as console output and drawn as the screenshot."""

from __future__ import annotations

import base64
import io

from irkit.sim.host import Host

OUTPUT_BYTES = 64 * 1024
_WIDTH, _HEIGHT = 1024, 768
_LINE = 15
_COLUMNS = 160


def text(instance_id: str, address: str | None, host: Host | None) -> str:
    """The console's text: the scenario's, or the end of an ordinary boot."""
    if host is not None and host.console:
        return host.console
    name = host.hostname if host is not None else f"ip-{(address or '0-0-0-0').replace('.', '-')}"
    return (
        "[    0.000000] Linux version 6.1.134-150.224.amzn2023.x86_64\n"
        "[    1.204518] systemd[1]: Detected virtualization amazon.\n"
        f"[    3.871022] cloud-init[1602]: instance-id {instance_id}\n"
        "\n"
        "Amazon Linux 2023\n"
        "Kernel 6.1.134-150.224.amzn2023.x86_64 on an x86_64 (ttyS0)\n"
        "\n"
        f"{name} login: "
    )


def screenshot(shown: str) -> str:
    """The last screenful of the text as a JPEG, base64."""
    from PIL import Image, ImageDraw

    lines = [
        line[i : i + _COLUMNS] for line in shown.splitlines() for i in range(0, max(len(line), 1), _COLUMNS)
    ]
    visible = "\n".join(lines[-((_HEIGHT - 16) // _LINE) :])
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "black")
    ImageDraw.Draw(image).multiline_text(
        (8, 8), visible.encode("latin-1", "replace").decode("latin-1"), fill=(200, 200, 200)
    )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return base64.b64encode(buffer.getvalue()).decode()
