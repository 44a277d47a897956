"""The rounds of questions that an investigation of one instance asks, each round led by what the walk has found.

`investigate_instance` draws findings from the same tables; a round is what a reader wants to see beside them: the rows.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from irkit.hunt.answer import Answer
from irkit.hunt.ask import ask
from irkit.hunt.intruder import Subject, follow
from irkit.tables import HasTables, Tables


def cloudtrail_round(where: Tables | HasTables | Path | str, subject: Subject) -> dict[str, Answer]:
    """Who held the credentials, from where, what they did, made, read and shared; by a name for each answer."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        intruder = follow(tables, subject)
        keys = (*intruder.stolen_keys, *intruder.issued_keys)
        answers = {
            "coverage": ask(tables, "coverage"),
            "credentials-used-elsewhere": ask(
                tables,
                "credentials_used_elsewhere",
                instance_id=subject.instance_id,
                addresses=subject.addresses,
            ),
            "created-credentials": ask(tables, "created_credentials"),
            "shared-snapshots": ask(tables, "shared_snapshots"),
            "log-tampering": ask(tables, "log_tampering"),
            "enumeration-bursts": ask(tables, "enumeration_bursts"),
            "responder-calls": ask(tables, "responder_calls"),
            "denied-calls": ask(tables, "denied_calls"),
        }
        for number, key in enumerate(keys, 1):
            answers[f"calls-of-key-{number}"] = ask(tables, "calls_of_access_key", access_key_id=key)
        for number, key in enumerate(intruder.stolen_keys, 1):
            answers[f"issued-keys-{number}"] = ask(tables, "issued_keys", access_key_id=key)
            answers[f"role-chain-{number}"] = ask(tables, "role_chain", access_key_id=key)
        if intruder.addresses:
            answers["keys-at-the-intruders-addresses"] = ask(
                tables, "keys_at_address", addresses=intruder.addresses
            )
        if keys:
            answers["objects-read-by-the-intruder"] = ask(tables, "objects_read", access_keys=keys)
            answers["secrets-read"] = ask(tables, "secrets_read")
    return answers


def network_round(where: Tables | HasTables | Path | str, subject: Subject) -> dict[str, Answer]:
    """What left the instance and where to, who came in, and what beats like a machine; by a name for each answer."""
    with nullcontext(where) if isinstance(where, Tables) else Tables.open(where) as tables:
        return {
            "flow-coverage": ask(tables, "flow_coverage"),
            "outbound-by-destination": ask(tables, "outbound_by_destination", addresses=subject.addresses),
            "inbound-to-instance": ask(tables, "inbound_to_instance", addresses=subject.addresses),
            "beacons": ask(tables, "beacons", addresses=subject.addresses),
            "top-talkers": ask(tables, "top_talkers"),
            "rejected-probes": ask(tables, "rejected_probes"),
        }
