"""Prints what the proofs of cfn/ consist of: `python -m tests.policy.figures`, in the checkout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from irkit.policy import Policy, Reading, World, actions, read
from irkit.policy.cfn_yaml import parse
from tests.policy import golden, test_access, test_evidence, test_organization
from tests.policy.mutation import weaker

CFN = Path(__file__).parents[2] / "cfn"


def killed(
    policies: list[tuple[str, Policy]], noticed: Callable[[str, Policy], object], intruder: str
) -> str:
    """How many of the policies' weaker forms some promise notices."""
    outcomes = [
        bool(noticed(key, weak)) for key, one in policies for _, weak in weaker(one, intruder=intruder)
    ]
    return f"{sum(outcomes)} of {len(outcomes)} mutants noticed"


def main() -> None:
    for path in sorted(CFN.glob("*.yaml")):
        resources = parse(path.read_text(encoding="utf-8"), name=path.name)["Resources"]
        print(f"{path.name}: {len(resources)} resources")
    evidence = read([str(CFN / "evidence.yaml")])
    whole = read(
        [str(CFN)], Reading(parameters={"OrganizationId": test_organization.OURS, "Target": test_access.HOME})
    )
    policies = list(whole.every_policy())
    print(f"policies: {len(policies)}, statements: {sum(len(p.statements) for p in policies)}")

    def on_resource(arn: str, mutant: Policy) -> object:
        guard = evidence.guarded[arn]
        changed = replace(evidence, guarded={**evidence.guarded, arn: replace(guard, policy=mutant)})
        return test_evidence.broken(changed, about=arn)

    promises = len(test_evidence.YES) + len(test_evidence.NO)
    guarded = [(arn, guard.policy) for arn, guard in evidence.guarded.items()]
    print(
        f"evidence: {promises} promises, {killed(guarded, on_resource, test_evidence.role('Administrator'))}"
    )

    def of_organization(_: str, mutant: Policy) -> object:
        changed: World = whole
        scps = tuple(tuple(mutant if p.name == mutant.name else p for p in level) for level in changed.scps)
        rcps = tuple(tuple(mutant if p.name == mutant.name else p for p in level) for level in changed.rcps)
        return test_organization.broken(replace(changed, scps=scps, rcps=rcps))

    guards = [("", p) for level in (*whole.scps, *whole.rcps) for p in level if p.name != "FullAWSAccess"]
    of_them = killed(guards, of_organization, test_organization.ADMIN)
    print(f"organization: {of_them} (the rest change nothing; test_organization names them)")
    print(f"access: {len(test_access.MAY)} roles held to an exact list out of {len(actions.every())} actions")
    cases = list(golden.cases())
    differ = sum(golden.decide(case) != case["answer"] for case in cases)
    print(f"golden questions: {len(cases)}, differences: {differ}")


if __name__ == "__main__":
    main()
