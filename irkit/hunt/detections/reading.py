"""Sigma files into rules. pySigma reads the YAML's meaning; what our tables cannot ask is refused with its reason.

References:
    https://sigmahq.io/docs/basics/rules.html and https://sigmahq.io/docs/meta/correlations.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

from irkit.errors import BadInput, NotFound
from irkit.escape import for_terminal
from irkit.findings import SEVERITIES, Severity
from irkit.hunt.detections.condition import Condition, Known, Leaf, SameAs, leaves, simplified
from irkit.hunt.detections.dictionary import repetitive_column
from irkit.hunt.detections.fields import place
from irkit.hunt.detections.policy import policy
from irkit.hunt.detections.predicate import predicate
from irkit.hunt.detections.rule import About, Correlation, CorrelationKind, RefusedRule, Rule, RuleSet
from irkit.hunt.detections.translation import translated

_MOST_BYTES = 1024 * 1024
_MOST_VALUES = 20_000
_TECHNIQUE = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)", re.IGNORECASE)
_OPERATORS = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">=", "EQ": "=", "NEQ": "<>"}
_FALSE_ALARMS = frozenset({"", "unknown", "none"})


def shipped_rules() -> Path:
    """The folder of the rules that come with irkit."""
    return Path(__file__).parent.parent / "rules"


def read_rules(paths: Iterable[Path | str]) -> RuleSet:
    """The rules in files and folders (`*.yml`, `*.yaml`, at any depth), each folder in the order of names.

    A correlation may refer to rules in any of the files. Raises `NotFound` for a path that is not there and `BadInput`
    where no rule file is; what is wrong inside a file is told by `RuleSet.refused`.
    """
    policy()  # without pySigma no rule can be read, which is not the rules' fault
    rules: list[Rule] = []
    refused: list[RefusedRule] = []
    pending: list[tuple[str, Any]] = []
    elsewhere = 0
    for name, path in _files(paths):
        try:
            documents = _documents(path)
        except (ValueError, OSError, RecursionError) as error:
            refused.append(_refusal(name, "", error))
            continue
        for document in documents:
            title = str(document.get("title", ""))
            try:
                parsed = _parsed(document)
                if "correlation" in document:
                    pending.append((name, parsed))
                elif not _for_cloudtrail(parsed.logsource):
                    elsewhere += 1
                else:
                    rules.append(_rule(name, parsed))
            except Exception as error:  # noqa: BLE001 - pySigma raises many kinds; a bad rule never stops the others
                refused.append(_refusal(name, title, error))
    known = {one: rule for rule in rules for one in rule.names}
    correlations: list[Correlation] = []
    hidden: set[str] = set()
    for name, parsed in pending:
        try:
            made = _correlation(name, parsed, known)
        except Exception as error:  # noqa: BLE001 - as above
            refused.append(_refusal(name, str(parsed.title), error))
            continue
        correlations.append(made)
        if not parsed.generate:
            hidden |= {rule.about.key for rule in made.rules}
    shown = tuple(
        rule if rule.about.key not in hidden else _hidden(rule) for rule in _distinct(rules, refused)
    )
    return RuleSet(rules=shown, correlations=tuple(correlations), refused=tuple(refused), elsewhere=elsewhere)


def _files(paths: Iterable[Path | str]) -> Iterator[tuple[str, Path]]:
    for given in paths:
        root = Path(given)
        if not root.exists():
            raise NotFound(
                f"there is no file or folder {for_terminal(given)}", hint="check the path of the rules"
            )
        if root.is_file():
            yield root.name, root
            continue
        found = sorted(p for p in root.rglob("*") if p.suffix in {".yml", ".yaml"} and p.is_file())
        if not found:
            raise BadInput(
                f"there is no rule (*.yml) in {for_terminal(given)}", hint="name a folder of Sigma rules"
            )
        yield from ((str(p.relative_to(root)), p) for p in found)


def _documents(path: Path) -> list[dict[str, Any]]:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"larger than {_MOST_BYTES:,} bytes")
    try:
        loaded = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error
    documents = [one for one in loaded if one is not None]
    if not documents:
        raise ValueError("empty")
    if not all(isinstance(one, dict) for one in documents):
        raise ValueError("not a rule: no mapping at the top")
    if _size(documents, _MOST_VALUES) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES:,} values")
    return documents


def _size(value: Any, most: int) -> int:
    """How many values there are, counted to a little over `most`: a few aliases in YAML can stand for billions."""
    counted = 1
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        if counted > most:
            break
        counted += _size(part, most - counted)
    return counted


def _parsed(document: dict[str, Any]) -> Any:
    from sigma.correlations import SigmaCorrelationRule
    from sigma.rule import SigmaRule

    if "action" in document:
        raise ValueError("rule collections (action: …) are not read; give each rule a document of its own")
    if "filter" in document:
        raise ValueError("Sigma filters are not applied; put the exclusion into the rule")
    kind = SigmaCorrelationRule if "correlation" in document else SigmaRule
    return kind.from_dict(document, policy=policy())


def _for_cloudtrail(source: Any) -> bool:
    return source.product == "aws" and source.service in {None, "cloudtrail"} and source.category is None


def _rule(file: str, parsed: Any) -> Rule:
    about = _about(file, parsed)
    condition = translated(parsed)
    predicate(
        simplified(condition, _by_column)
    )  # what our tables cannot ask is refused here, before any scan
    used = {leaf.field for leaf in leaves(condition) if leaf.field}
    used |= {leaf.test.field for leaf in leaves(condition) if isinstance(leaf.test, SameAs)}
    strange = tuple(sorted(name for name in used if place(name).column is None))
    names = (about.key, *([str(parsed.name)] if parsed.name else []))
    return Rule(about=about, condition=condition, strange=strange, names=names)


def _by_column(leaf: Leaf) -> Condition:
    """Nothing of a leaf that is decided by the values of its column, whatever it tests."""
    return Known(False) if repetitive_column(leaf) else leaf


def _about(file: str, parsed: Any) -> About:
    level = str(parsed.level.name).lower() if parsed.level else "medium"
    techniques = (_TECHNIQUE.fullmatch(str(tag)) for tag in parsed.tags)
    return About(
        key=str(parsed.id or parsed.name or f"{Path(file).stem}:{parsed.title}"),
        title=str(parsed.title),
        file=file,
        level=_severity(level),
        status=str(parsed.status.name).lower() if parsed.status else "",
        description=" ".join(str(parsed.description or "").split()),
        attack=tuple(dict.fromkeys(found[1].upper() for found in techniques if found)),
        references=tuple(str(one) for one in parsed.references or ()),
        false_positives=tuple(
            str(one) for one in parsed.falsepositives or () if str(one).strip().lower() not in _FALSE_ALARMS
        ),
    )


def _severity(level: str) -> Severity:
    return next((known for known in SEVERITIES if known == level), "medium")


def _correlation(file: str, parsed: Any, known: Mapping[str, Rule]) -> Correlation:
    kind = str(parsed.type.name).lower()
    if kind not in get_args(CorrelationKind):
        raise ValueError(f"correlations of type {kind} are not supported")
    chosen: list[Rule] = []
    for reference in parsed.rules or ():
        if reference.reference not in known:
            raise ValueError(f"the rule {reference.reference!r} that it refers to was not read")
        chosen.append(known[reference.reference])
    if not chosen:
        raise ValueError("it refers to no rule")
    condition = parsed.condition
    operator, count, counted = ">=", len(chosen), ""
    if hasattr(condition, "expression"):
        raise ValueError("conditions that combine rules by and, or and not are not supported")
    if kind != "temporal_ordered":
        operator, count = _OPERATORS[condition.op.name], condition.count
        counted = _one_field(condition.fieldref) if kind == "value_count" else ""
        if operator in {"<", "<=", "="} and count <= 0:
            raise ValueError("an absence of events has no event to show")
    fields = {
        (alias.alias, known[reference.reference].about.key): str(field)
        for alias in parsed.aliases
        for reference, field in alias.mapping.items()
        if reference.reference in known
    }
    for name in (*(parsed.group_by or ()), *fields.values(), *([counted] if counted else [])):
        place(str(name))
    return Correlation(
        about=_about(file, parsed),
        kind=next(one for one in get_args(CorrelationKind) if one == kind),
        rules=tuple(chosen),
        group_by=tuple(str(name) for name in parsed.group_by or ()),
        seconds=int(parsed.timespan.seconds),
        operator=operator,
        count=count,
        counted=counted,
        fields=fields,
    )


def _one_field(reference: Any) -> str:
    names = [reference] if isinstance(reference, str) else list(reference or ())
    if len(names) != 1:
        raise ValueError("value_count counts one field")
    return str(names[0])


def _distinct(rules: list[Rule], refused: list[RefusedRule]) -> Iterator[Rule]:
    """The rules without those that repeat the id of one before; a folder given twice is no reason to count twice."""
    seen: dict[str, Rule] = {}
    for rule in rules:
        first = seen.setdefault(rule.about.key, rule)
        if first is rule:
            yield rule
        elif first.condition != rule.condition:
            reason = f"its id is that of {first.about.file}, which says something else"
            refused.append(RefusedRule(file=rule.about.file, title=rule.about.title, reason=reason))


def _hidden(rule: Rule) -> Rule:
    return Rule(
        about=rule.about, condition=rule.condition, strange=rule.strange, names=rule.names, silent=True
    )


def _refusal(file: str, title: str, error: BaseException) -> RefusedRule:
    reason = " ".join(str(error).split()) or type(error).__name__
    return RefusedRule(file=file, title=title, reason=reason[:300])
