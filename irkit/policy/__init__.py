"""Who can do what, answered offline from policies: IAM's evaluation, and an error where irkit would have to guess.

from irkit import policy

world = policy.read(["cfn/"])
policy.can(world, "Investigator", "s3:GetObject", "arn:aws:s3:::evidence/x").decision.allowed
[access.name for access in policy.who_can(world, "kms:Decrypt", "*") if access.witness]
"""

from __future__ import annotations

from irkit.policy.allowances import Allowed, what_can
from irkit.policy.asking import Access, Answer, can, who_can
from irkit.policy.checks import Checked, Finding, access_not_granted, no_new_access
from irkit.policy.document import Kind, Policy
from irkit.policy.evaluation import Applicable, Decision, Request, Verdict, evaluate
from irkit.policy.principals import Requester
from irkit.policy.sources import Reading, read
from irkit.policy.witness import Witness
from irkit.policy.world import World

__all__ = [
    "Access",
    "Allowed",
    "Answer",
    "Applicable",
    "Checked",
    "Decision",
    "Finding",
    "Kind",
    "Policy",
    "Reading",
    "Request",
    "Requester",
    "Verdict",
    "Witness",
    "World",
    "access_not_granted",
    "can",
    "evaluate",
    "no_new_access",
    "read",
    "what_can",
    "who_can",
]
