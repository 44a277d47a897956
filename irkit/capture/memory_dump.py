"""The acquisition tool at work on the host: begun once, waited for, also by a run that comes after a kill."""

from __future__ import annotations

from dataclasses import dataclass

from irkit.capture import memory_host as host
from irkit.capture.instance import Instance
from irkit.capture.memory_tool import Tool
from irkit.capture.memory_transfer import Transfer
from irkit.capture.run_command import (
    POWERSHELL,
    SHELL,
    NotRun,
    Unfinished,
    node,
    outcome,
    send,
    sent_before,
)
from irkit.errors import WrongState
from irkit.escape import for_terminal
from irkit.plan import Running

# The script ends by itself this long before Systems Manager kills it, and then says its hash.
SECONDS_TO_END = 60


@dataclass(frozen=True, slots=True)
class Dump:
    """The tool on the host: begun once, waited for, also by a run that comes after the one that began it."""

    running: Running
    instance: Instance
    tool: Tool
    transfer: Transfer
    limit: int
    after: int

    @property
    def mark(self) -> str:
        """What names the command as this step's; a comment may have 100 characters."""
        return f"irkit {self.running.step_id} memory case {self.running.case.id}"[:100]

    @property
    def document(self) -> str:
        """The Systems Manager document that runs a script on the instance's platform."""
        return POWERSHELL if self.instance.windows else SHELL

    def earlier(self) -> str | None:
        """The command of an earlier run: one that goes on or has succeeded, else one that failed."""
        going = sent_before(self.running, self.instance.id, self.mark)
        return going or sent_before(self.running, self.instance.id, self.mark, failed=True)

    def taken(self, earlier: str | None, data: bytes) -> tuple[str, host.Said, str | None]:
        """The command that dumped the memory, what the host said, and what is lacking; raises when nothing arrived."""
        going = self.transfer.upload is not None and sent_before(self.running, self.instance.id, self.mark)
        command = earlier if earlier and (going or self.transfer.parts()) else self.begun(data)
        said, gap = self.heard(command)
        if not self.transfer.parts():
            self.transfer.give_up()
            self.transfer.clean_up()
            raise WrongState(f"the memory of {self.instance.id} was not dumped: {for_terminal(gap or 'it is empty')}",
                             hint="disks, host facts and everything else are not affected")  # fmt: skip
        return command, said, gap

    def begun(self, data: bytes) -> str:
        """A new command that dumps the memory, once the tool and the first links are there for it."""
        known = node(self.running.case, self.instance.id)
        if not known.online:
            raise WrongState(f"no command reaches {self.instance.id}: {known.why}",
                             hint="memory cannot be had without the agent; disks and metadata can")  # fmt: skip
        if self.transfer.upload is None:
            self.transfer.begin()
        self.transfer.send_tool(data)
        self.transfer.keep_ahead()
        settings: dict[str, str | int] = {
            "IRKIT_LINKS": self.transfer.first_link(),
            "IRKIT_SHA256": self.tool.sha256,
            "IRKIT_ARGS": self.tool.arguments,
            "IRKIT_COMPRESS": "none" if self.tool.compresses else "gzip",
            "IRKIT_PART_BYTES": self.transfer.part_bytes,
            "IRKIT_SECONDS": self.limit - SECONDS_TO_END,
        }
        text = host.with_settings(host.WINDOWS if self.instance.windows else host.LINUX, settings)
        return send(self.running, self.instance.id, text, mark=self.mark, seconds=self.limit, bucket=None,
                    document=self.document)  # fmt: skip

    def heard(self, command: str) -> tuple[host.Said, str | None]:
        """What the host said when the command ended, and what is lacking; links are kept ahead of it meanwhile."""
        watched = self.transfer.keep_ahead if self.transfer.upload else lambda: None
        try:
            ran = outcome(
                self.running, self.instance.id, command, bucket=None, meanwhile=watched, reserve=self.after
            )
        except (NotRun, Unfinished) as error:
            return host.Said(values={}), str(error)
        said = host.Said.heard(ran.stdout)
        if not said.values:
            return said, f"the script said nothing (exit code {ran.exit_code}): {ran.stderr[:300]}"
        return said, said.gap
