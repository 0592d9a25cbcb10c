"""What a repository's rules ask of a change: tags that never change, and bytes within a quota.

The rules are checked inside the commit, as expectations beside the repository's revision, which
pins the rules that were read. Nobody is exempt: who may change the rules changes them first.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from frontend.domain.rule_faults import PatternsInvalid
from index.changes import DropPackage, Link, SetTag, Unlink
from index.expectations import Expectation, NoTagLike, TagKept, WithinQuota
from index.patterns import PatternInvalid, compile_pattern, matches
from index.records import Repository

MAX_PATTERNS: Final = 32  # of one repository: each is tried on every tag that is pushed

Rule = TagKept | NoTagLike | WithinQuota


def parse_patterns(texts: Sequence[str]) -> tuple[str, ...]:
    """The patterns of tags that must not change; the grammar is `index.patterns`'.

    Raises:
        PatternsInvalid: one is none, or there are too many.
    """
    patterns = tuple(dict.fromkeys(texts))
    if len(patterns) > MAX_PATTERNS:
        raise PatternsInvalid(f"a repository has at most {MAX_PATTERNS} tag patterns")
    for pattern in patterns:
        try:
            compile_pattern(pattern)
        except PatternInvalid as error:
            raise PatternsInvalid(str(error)) from None
    return patterns


def rule_of(patterns: Iterable[str], tag: str) -> str | None:
    """The first pattern that makes `tag` immutable; None: it may change."""
    return next((pattern for pattern in patterns if matches(pattern, tag)), None)


def rules_for(record: Repository, repository: str, changes: Iterable[object]) -> tuple[Rule, ...]:
    """What must hold for `changes` in a repository with the settings of `record`."""
    found: dict[Rule, None] = {}
    for change in changes:
        rule = _rule_for(record, repository, change)
        if rule is not None:
            found[rule] = None
    return tuple(found)


def _rule_for(record: Repository, repository: str, change: object) -> Rule | None:
    patterns = record.immutable_tags
    match change:
        case SetTag(image, tag, digest) if rule_of(patterns, tag) is not None:
            return TagKept(image, tag, digest)
        case DropPackage(image, tag) if rule_of(patterns, tag) is not None:
            return TagKept(image, tag, None)
        case Unlink(image, digest) if patterns:
            return NoTagLike(image, digest, patterns)
        case Link() if record.quota_bytes:
            return WithinQuota(repository)
    return None


def is_rule(expectation: Expectation) -> bool:
    """Whether only a repository's rules ask for this."""
    return isinstance(expectation, Rule)
