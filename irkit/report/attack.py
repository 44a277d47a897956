"""Names of the MITRE ATT&CK techniques that irkit's questions and findings use, so that a reader need not look them up.

References:
    https://attack.mitre.org/matrices/enterprise/cloud/ (ATT&CK v17, © The MITRE Corporation, under its terms)
"""

from __future__ import annotations

from collections.abc import Iterable

_TACTICS: dict[str, dict[str, str]] = {
    "Initial Access": {
        "T1190": "Exploit Public-Facing Application",
        "T1199": "Trusted Relationship",
        "T1078": "Valid Accounts",
        "T1078.004": "Valid Accounts: Cloud Accounts",
    },
    "Execution": {
        "T1059": "Command and Scripting Interpreter",
        "T1059.004": "Unix Shell",
        "T1059.009": "Cloud API",
        "T1651": "Cloud Administration Command",
        "T1053.003": "Scheduled Task/Job: Cron",
    },
    "Persistence": {
        "T1098": "Account Manipulation",
        "T1098.001": "Additional Cloud Credentials",
        "T1098.003": "Additional Cloud Roles",
        "T1098.004": "SSH Authorized Keys",
        "T1136": "Create Account",
        "T1136.003": "Create Cloud Account",
        "T1505.003": "Web Shell",
        "T1543.002": "Systemd Service",
    },
    "Privilege Escalation": {
        "T1548": "Abuse Elevation Control Mechanism",
        "T1548.005": "Temporary Elevated Cloud Access",
    },
    "Defense Evasion": {
        "T1070": "Indicator Removal",
        "T1070.004": "File Deletion",
        "T1562": "Impair Defenses",
        "T1562.001": "Disable or Modify Tools",
        "T1562.008": "Disable or Modify Cloud Logs",
        "T1578": "Modify Cloud Compute Infrastructure",
        "T1578.001": "Create Snapshot",
        "T1036": "Masquerading",
    },
    "Credential Access": {
        "T1528": "Steal Application Access Token",
        "T1552": "Unsecured Credentials",
        "T1552.001": "Credentials In Files",
        "T1552.005": "Cloud Instance Metadata API",
        "T1555.006": "Cloud Secrets Management Stores",
    },
    "Discovery": {
        "T1087.004": "Account Discovery: Cloud Account",
        "T1069.003": "Permission Groups Discovery: Cloud Groups",
        "T1526": "Cloud Service Discovery",
        "T1580": "Cloud Infrastructure Discovery",
        "T1619": "Cloud Storage Object Discovery",
    },
    "Lateral Movement": {
        "T1021.007": "Remote Services: Cloud Services",
        "T1550.001": "Application Access Token",
    },
    "Collection": {"T1530": "Data from Cloud Storage", "T1005": "Data from Local System"},
    "Command and Control": {
        "T1071": "Application Layer Protocol",
        "T1071.001": "Web Protocols",
        "T1095": "Non-Application Layer Protocol",
        "T1105": "Ingress Tool Transfer",
        "T1571": "Non-Standard Port",
        "T1573": "Encrypted Channel",
    },
    "Exfiltration": {
        "T1041": "Exfiltration Over C2 Channel",
        "T1048": "Exfiltration Over Alternative Protocol",
        "T1537": "Transfer Data to Cloud Account",
        "T1567": "Exfiltration Over Web Service",
    },
    "Impact": {
        "T1485": "Data Destruction",
        "T1486": "Data Encrypted for Impact",
        "T1489": "Service Stop",
        "T1496": "Resource Hijacking",
        "T1496.001": "Compute Hijacking",
    },
}
_NAMES = {ident: (tactic, name) for tactic, names in _TACTICS.items() for ident, name in names.items()}
TACTICS: tuple[str, ...] = tuple(_TACTICS)


def technique(ident: str) -> tuple[str, str]:
    """Tactic and name of the technique `ident`; empty where irkit does not know it."""
    return _NAMES.get(ident, ("", ""))


def tactics(idents: Iterable[str]) -> tuple[str, ...]:
    """The tactics that `idents` belong to, in the order of an attack."""
    found = {technique(ident)[0] for ident in idents}
    return tuple(tactic for tactic in TACTICS if tactic in found)
