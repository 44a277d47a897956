"""Approvals: who must agree before a step runs, who did, and whether that is enough.

A playbook asks for them (`approval:` at a step), or the approvers file does for steps wherever they come from. An
approval is a signed statement about one step of one case, kept as a file and in the journal. The check guards against
haste and against one person alone; against somebody who holds the credentials and does not use irkit, IAM does.
"""

from __future__ import annotations
