"""`irkit case approve`: see which steps wait, and approve or deny them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from irkit.case import Case
from irkit.cli.shared import cases_option, enter_world, json_option, print_json, print_table
from irkit.errors import BadInput, NotFound, Refused
from irkit.escape import for_terminal

if TYPE_CHECKING:
    from irkit.approvals.gate import Waiting


@click.command()
@click.argument("case_id")
@click.option("--step", "named", help="The step: its verb or id. Without it, what waits is shown.")
@click.option("--as", "by", metavar="NAME", help="Who you are, as the approvers file has it.")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="Your Ed25519 private key, in PEM."
)
@click.option("--kms", "kms_key", help="Your asymmetric KMS key (ECC_NIST_P256): id, ARN or alias.")
@click.option("--deny", is_flag=True, help="Say no: one denial is enough.")
@click.option(
    "--break-glass", is_flag=True, help="Let it run without the others. Needs --reason; the report shows it."
)
@click.option("--reason", default="", help="Why.")
@click.option("--minutes", type=int, default=240, show_default=True, help="How long the approval counts.")
@cases_option
@json_option
def approve(
    case_id: str,
    named: str | None,
    by: str | None,
    key: Path | None,
    kms_key: str | None,
    deny: bool,
    break_glass: bool,
    reason: str,
    minutes: int,
    cases: Path | None,
    as_json: bool,
) -> None:
    """Approve, or deny, a step that waits in CASE_ID; signed, into the journal. Without --step: what waits."""
    from irkit.approvals import gate, registry, votes
    from irkit.approvals.rules import REASON_LETTERS, Verb

    case = Case.load(case_id, cases=cases)
    waiting = gate.asked(case)
    if named is None:
        _show(case, waiting, as_json=as_json)
        return
    if deny and break_glass:
        raise BadInput("--deny and --break-glass are opposites", hint="give one of them")
    if break_glass and sum(c.isalpha() for c in reason) < REASON_LETTERS:
        raise BadInput(
            "--break-glass needs a reason", hint='such as --reason "data is leaving, nobody answers"'
        )
    if by is None:
        raise BadInput("a vote is somebody's", hint="give --as NAME, as the approvers file has it")
    held = _found(case, waiting, named)
    known = registry.of_case(case)
    if known is None:
        raise Refused(f"case {case.id} names no approvers", hint="open a case with --source approvers=FILE")
    if known[0].person(by) is None:
        raise NotFound(
            f"the approvers file knows no {for_terminal(by)}", hint="ask its owner to add the name"
        )
    if kms_key is not None:
        enter_world(case)
    verb = Verb.DENY if deny else Verb.BREAK_GLASS if break_glass else Verb.APPROVE
    path = votes.cast(
        case,
        step=held.step,
        what=held.verb,
        by=by,
        verb=verb,
        reason=reason,
        minutes=minutes,
        key=key,
        kms_key=kms_key,
    )
    after = next(w for w in gate.asked(case) if w.step == held.step)
    case.close()
    if as_json:
        print_json({"file": path, "allowed": after.decision.allowed, **after.to_dict()})
    else:
        click.echo(f"{held.verb}: {for_terminal(after.decision.why)}")
        for line in after.decision.passed_over:
            click.echo(f"does not count: {for_terminal(line)}")
        if after.decision.allowed:
            click.echo(f"`irkit case resume {case.id}` goes on")
    mine = [line for line in after.decision.passed_over if line.startswith(f"{by}:")]
    raise SystemExit(4 if mine and by not in after.decision.by else 0)


def _show(case: Case, waiting: list[Waiting], *, as_json: bool) -> None:
    if as_json:
        print_json([w.to_dict() | {"allowed": w.decision.allowed} for w in waiting])
    elif not waiting:
        click.echo(f"case {case.id}: no step waits for approval")
    else:
        rows = [
            (w.step[:8], w.verb, w.target, "may run" if w.decision.allowed else "waits", w.decision.why)
            for w in waiting
        ]
        print_table(("step", "verb", "on", "state", "why"), rows)


def _found(case: Case, waiting: list[Waiting], named: str) -> Waiting:
    """The step that waits and is called so; `NotFound` where none is, `BadInput` where several are."""
    fit = [w for w in waiting if named == w.verb or (len(named) >= 8 and w.step.startswith(named))]
    if not fit:
        raise NotFound(
            f"no step {for_terminal(named)} of case {case.id} waits for approval",
            hint=f"`irkit case approve {case.id}` shows those that do",
        )
    if len(fit) > 1:
        raise BadInput(
            f"{len(fit)} steps are called {for_terminal(named)}", hint="give the id instead of the verb"
        )
    return fit[0]
