"""The walk over a whole account's logs: 28,000 records and 285,000 flows with look-alikes on purpose."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from irkit.hunt import Subject, investigate_instance
from irkit.logs import ingest
from irkit.sim.scenarios.web_to_role_theft.attack import attack
from irkit.sim.scenarios.web_to_role_theft.background import background
from irkit.sim.scenarios.web_to_role_theft.delivery import trail_files
from irkit.sim.scenarios.web_to_role_theft.flows import flows
from irkit.sim.scenarios.web_to_role_theft.story import tell
from irkit.sim.scenarios.web_to_role_theft.truth import truth

_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
# Kinds whose every value in a finding must be the intruder's; API names and times are not anyone's own.
_OWNED = ("access_key", "address", "session", "user", "bucket", "snapshot", "account", "pool", "bytes_out")


def test_every_fact_of_the_logs_is_found_and_nothing_of_the_background(tmp_path: Path) -> None:
    story = tell(seed=4711, at=_AT)
    intrusion, traffic = attack(story), flows(story)
    records = sorted([*background(story), *intrusion.records], key=lambda one: str(one["eventTime"]))
    for name, content in (*trail_files(story, records), *traffic.files):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    report = ingest(tmp_path / "raw", tmp_path / "tables")
    assert (report.records, report.flows) == (len(records), traffic.records)

    host = story.estate.suspect
    subject = Subject(
        instance_id=host.instance,
        account=story.estate.account,
        addresses=(host.private_ip, host.second_ip, host.public_ip),
    )
    findings = investigate_instance(tmp_path / "tables", subject)
    found = {(kind, value) for f in findings for kind, values in f.facts.items() for value in values}
    told = truth(story, intrusion, traffic)["facts"]
    known = {(fact["kind"], fact["value"]) for fact in told}
    missing = {(f["kind"], f["value"]) for f in told if f["how"] in ("cloudtrail", "flow")} - found
    # The pool's address is told by the pool's own fact.
    strange = {fact for fact in found - known if fact[0] in _OWNED} - {("address", story.intruder.pool_ip)}
    assert not missing
    assert not strange
