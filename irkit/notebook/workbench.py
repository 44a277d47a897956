"""JupyterLab for a case: its folder for work, irkit's notebooks as templates with the case filled in, no way out.

Lab's own news and update checks are off, so that nothing leaves the machine but what a notebook asks AWS for.
https://jupyterlab.readthedocs.io/en/stable/user/announcements.html
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irkit import durable
from irkit.errors import MissingExtra
from irkit.escape import for_markdown
from irkit.notebook.catalog import Notebook, notebooks

if TYPE_CHECKING:
    from irkit.case import Case

CARD = "CASE.md"
_NEEDS = ("jupyterlab", "jupyterlab_templates", "ipykernel")
# Defaults that a person's own settings still override. The names are Lab's.
_OVERRIDES: Mapping[str, Any] = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
}


def serve(case: Case, *, port: int | None = None, browser: bool = True) -> int:
    """Run JupyterLab for `case` until it is stopped (Ctrl-C); returns its exit code.

    It listens on the loopback address only, behind Jupyter's token. Raises `MissingExtra` where Lab is not installed.
    """
    for module in _NEEDS:
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(
                f"the workbench needs {module}", hint="pip install 'irkit-aws[workbench]' and run it again"
            )
    with tempfile.TemporaryDirectory(prefix="irkit-workbench-") as scratch:
        config = lay_out(case, Path(scratch), port=port, browser=browser)
        environment = os.environ | {"IRKIT_CASE": case.id, "IRKIT_CASES": str(case.root.parent)}
        command = [sys.executable, "-m", "jupyterlab", f"--config={config}"]
        if os.name == "posix" and os.geteuid() == 0:
            command.append("--allow-root")  # a container's only user; Lab would refuse
        server = subprocess.Popen(command, env=environment, cwd=case.active)  # noqa: S603  our own interpreter
        while True:
            with suppress(KeyboardInterrupt):  # Lab gets it too, and asks whether it is meant
                return server.wait()


def lay_out(case: Case, scratch: Path, *, port: int | None = None, browser: bool = True) -> Path:
    """Write what Lab starts with under `scratch`, and the case's card into its folder; returns the configuration."""
    templates = scratch / "irkit"
    for notebook in notebooks():
        target = templates / f"{notebook.name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(filled_in(notebook, case), indent=1), encoding="utf-8")
    settings = scratch / "settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(_OVERRIDES), encoding="utf-8")
    durable.replace(case.active / CARD, card(case).encode("utf-8"))
    config = scratch / "jupyter_config.json"
    config.write_text(json.dumps(_configuration(case, templates, settings, port, browser)), encoding="utf-8")
    return config


def filled_in(notebook: Notebook, case: Case) -> dict[str, Any]:
    """The notebook with the case's id and folder in its parameters cell; everything else as it ships."""
    document: dict[str, Any] = json.loads(notebook.path.read_bytes())
    values = {"case_id": case.id, "cases": str(case.root.parent)}
    for cell in document["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            cell["source"] = [_filled(line, values) for line in cell["source"]]
    return document


def _filled(line: str, values: Mapping[str, str]) -> str:
    declared = re.match(r'(?P<name>\w+): str = ""', line)
    if declared is None or declared["name"] not in values:
        return line
    return f"{declared['name']}: str = {json.dumps(values[declared['name']])}{line[declared.end() :]}"


def card(case: Case) -> str:
    """What stands at the top of the workbench, in Markdown: which case this is, and how to go on."""
    facts = case.facts
    where = (
        "a **simulated account**: nothing here touches AWS"
        if facts.simulated
        else f"AWS account {facts.account}"
        if facts.account
        else "the AWS account of the credentials in use"
    )
    rows = [
        ("title", facts.title),
        ("responder", facts.responder),
        ("region", facts.region),
        ("role", facts.role or "none: the credentials in use"),
        ("posture", facts.posture),
        ("opened", facts.opened_at),
        ("evidence", f"{len(case.evidence.items())} items"),
    ]
    return "\n".join(
        [
            f"# Case {for_markdown(case.id)}",
            "",
            f"This is {where}.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {for_markdown(value)} |" for name, value in rows),
            "",
            "**Plan first.** Every notebook shows what it would do and stops; set `mode` to `apply` in its first cell",
            "to do it. What changes AWS is in the journal before it happens: `irkit case undo` takes it back.",
            "",
            "Open the launcher and choose *Template*: irkit's notebooks, by phase, with this case filled in.",
            "In code, begin with",
            "",
            "```python",
            "import irkit",
            f"case = irkit.Case.load({json.dumps(case.id)}, cases={json.dumps(str(case.root.parent))})",
            "```",
            "",
        ]
    )


def _configuration(
    case: Case, templates: Path, settings: Path, port: int | None, browser: bool
) -> Mapping[str, Any]:
    server: dict[str, Any] = {
        "ip": "127.0.0.1",
        "open_browser": browser,
        "root_dir": str(case.active),
    }
    if port is not None:
        server |= {"port": port, "port_retries": 0}
    return {
        "ServerApp": server,
        "LabApp": {
            "default_url": f"/lab/tree/{CARD}",
            "app_settings_dir": str(settings),
            "news_url": None,
            "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
            "extension_manager": "readonly",
        },
        "JupyterLabTemplates": {
            "template_dirs": [str(templates)],
            "include_default": False,
            "include_core_paths": False,
            "template_label": "Template",
        },
    }
