"""Workflows: routes, limits and a policy as one document, whose versions are reviewed before they are in force.

    draft ──submit──▶ in_review ──approve──▶ approved ──publish──▶ published ──▶ superseded | withdrawn
      ▲──────────── edit, reject ────────────────┘

What is published never changes. It is in force as rows of routes, limits and policies that name the version.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from navplane.errors import Conflict, Forbidden
from navplane.model.limit import Limit
from navplane.model.policy import Policy
from navplane.model.route import Route


class VersionState(StrEnum):
    """The values are stored: never rename one."""

    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


class Move(StrEnum):
    EDIT = "edit"
    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    PUBLISH = "publish"


OPEN = (VersionState.DRAFT, VersionState.IN_REVIEW, VersionState.APPROVED)
# From where each move may be made, where it leads, and what is to be done elsewhere.
_MOVES: dict[Move, tuple[tuple[VersionState, ...], VersionState, str]] = {
    Move.EDIT: (OPEN, VersionState.DRAFT, "make a new version"),
    Move.SUBMIT: ((VersionState.DRAFT,), VersionState.IN_REVIEW, "only a draft is submitted"),
    Move.APPROVE: ((VersionState.IN_REVIEW,), VersionState.APPROVED, "submit it for review first"),
    Move.REJECT: ((VersionState.IN_REVIEW, VersionState.APPROVED), VersionState.DRAFT, "only what is in review is rejected"),
    Move.PUBLISH: ((VersionState.APPROVED,), VersionState.PUBLISHED, "let somebody approve it first"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """`workspace_id` None: of the whole organization. `published` and `opened` are numbers of versions."""

    id: UUID
    org_id: UUID
    workspace_id: UUID | None
    name: str
    created_by: str
    created_at: datetime
    published: int | None = None
    opened: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowVersion:
    """`authors` made, changed or submitted it, themselves or by a service key. `equal_to`: what a rollback repeats."""

    id: UUID
    org_id: UUID
    workflow_id: UUID
    workspace_id: UUID | None
    number: int
    state: VersionState
    document: str
    sha256: str
    authors: tuple[str, ...]
    created_by: str
    created_at: datetime
    submitted_by: str | None = None
    submitted_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    published_by: str | None = None
    published_at: datetime | None = None
    ended_at: datetime | None = None
    equal_to: int | None = None

    def after(self, move: Move) -> VersionState:
        """Raise Conflict where the move can't be made."""
        begins, ends, advice = _MOVES[move]
        if self.state not in begins:
            raise Conflict(f"Version {self.number} is {self.state.value}: {advice}.")
        return ends

    def approvable_by(self, people: frozenset[str]) -> None:
        """Raise Forbidden for who had a hand in it."""
        if people & set(self.authors):
            raise Forbidden("You made, changed or submitted this version: somebody else must approve it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A version's document as the rows that it is in force by. `policy` is that of its workspace or organization."""

    routes: tuple[Route, ...]
    limits: tuple[Limit, ...]
    policy: Policy | None

    @property
    def widens(self) -> bool:
        """Whether its policy allows what a wider one might forbid."""
        policy = self.policy
        return policy is not None and bool(policy.allow_models or policy.enabled_providers or policy.allow_files)
