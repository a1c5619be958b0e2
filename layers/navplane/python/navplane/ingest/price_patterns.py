"""How genai-prices recognizes a model, said as Postgres regular expressions; a differential test compares the two."""

import re
from collections.abc import Callable

from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    MatchLogic,
)

# genai-prices reads a compact date as a dashed one where the name as it stands is unknown: `-20251211` as `-2025-12-11`.
DASHED_DATE = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)(?!\d)")
COMPACT_DATE = r"-\1\2\3"
DASHED_DATES = r"-\d{4}-\d{2}-\d{2}"
COMPACT_DATES = r"-20\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
DATE_ENDS = r"(?=-|:|$)"


def pattern(match: MatchLogic) -> str:
    """For `~`: matches the whole name of a model, in whatever case, if `match` does."""
    return _anchored(_translated(match))


def compact_pattern(match: MatchLogic) -> str | None:
    """The same for names with a compact date where `match` knows a dashed one; None where it knows none."""
    translated = _compacted(match)
    return None if translated is None else _anchored(translated)


def _anchored(translated: str) -> str:
    return f"(?i)^(?:{translated})"


def _translated(match: MatchLogic) -> str:
    """An expression for the beginning of a name."""
    if isinstance(match, ClauseOr):
        return "|".join(f"(?:{_translated(clause)})" for clause in match.or_)
    if isinstance(match, ClauseAnd):
        return "".join(f"(?={_translated(clause)})" for clause in match.and_)
    if isinstance(match, ClauseRegex):
        return _from_the_beginning(match.regex)
    return _literal(match, _escaped)


def _compacted(match: MatchLogic) -> str | None:
    if isinstance(match, ClauseOr):
        parts = [part for clause in match.or_ if (part := _compacted(clause)) is not None]
        return "|".join(f"(?:{part})" for part in parts) or None
    if isinstance(match, ClauseAnd):
        return None
    if isinstance(match, ClauseRegex):
        return _from_the_beginning(match.regex.replace(DASHED_DATES, COMPACT_DATES)) if DASHED_DATES in match.regex else None
    compact = _literal(match, _escaped_compact)
    return compact if compact != _literal(match, _escaped) else None


def _literal(match: ClauseEquals | ClauseStartsWith | ClauseContains | ClauseEndsWith, escape: Callable[[str], str]) -> str:
    if isinstance(match, ClauseEquals):
        return f"{escape(match.equals)}$"
    if isinstance(match, ClauseStartsWith):
        return escape(match.starts_with)
    if isinstance(match, ClauseContains):
        return f".*{escape(match.contains)}"
    return f".*{escape(match.ends_with)}$"


def _from_the_beginning(regex: str) -> str:
    """genai-prices searches; we match from the beginning."""
    return f"(?:{regex[1:]})" if regex.startswith("^") else f".*(?:{regex})"


def _escaped(text: str) -> str:
    """In Postgres a backslash before what is no letter and no digit is that character."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: "\\" + found.group(), text)


def _escaped_compact(text: str) -> str:
    if DASHED_DATE.search(text) is None:
        return _escaped(text)
    compact = DASHED_DATE.sub(lambda found: found.expand(COMPACT_DATE) + "\0", text)
    return DATE_ENDS.join(_escaped(part) for part in compact.split("\0"))
