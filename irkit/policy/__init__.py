"""Who can do what, answered offline from policies: IAM's evaluation, and an error where irkit would have to guess."""

from __future__ import annotations

from irkit.policy.document import Kind, Policy
from irkit.policy.evaluation import Applicable, Decision, Request, Verdict, evaluate
from irkit.policy.principals import Requester

__all__ = ["Applicable", "Decision", "Kind", "Policy", "Request", "Requester", "Verdict", "evaluate"]
