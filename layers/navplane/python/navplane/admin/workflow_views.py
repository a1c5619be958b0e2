"""Workflows and their versions, as they are shown."""

import hashlib
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from navplane.admin.fields import Body, Name, View
from navplane.admin.workflow_yaml import MAX_BYTES
from navplane.model.workflow import VersionState, Workflow, WorkflowVersion

EXAMPLE = "format: navplane-workflow/1\naliases:\n  fast: {provider: openai, model: gpt-5-mini}\n"
Document = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_BYTES),
    Field(description="YAML, as docs/reference/workflow.schema.json describes it.", examples=[EXAMPLE]),
]


class DocumentBody(Body):
    document: Document


class NewWorkflow(DocumentBody):
    name: Name = Field(examples=["support"])
    workspace_id: Annotated[UUID, Field(strict=False)] | None = Field(
        default=None, description="Whose routes, limits and policy it is; null: the organization's."
    )


class Approval(Body):
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="The `sha256` of the version that was read: what is approved is what was seen.", examples=["0" * 64]
    )


class WorkflowView(View):
    id: UUID
    workspace_id: UUID | None
    name: str
    published: int | None = Field(description="The number of the version that is in force.")
    opened: int | None = Field(description="The number of the version that is a draft, in review or approved.")
    created_by: str
    created_at: datetime


class WorkflowPage(View):
    items: list[WorkflowView]
    next_cursor: str | None


class VersionView(View):
    id: UUID = Field(description="What rows of requests, routes, limits and policies name as their workflow version.")
    workflow_id: UUID
    workspace_id: UUID | None
    number: int
    state: VersionState
    document: str
    sha256: str = Field(description="Of the document, in hex.")
    authors: list[str] = Field(description="Who made, changed or submitted it; none of them may approve it.")
    created_by: str
    created_at: datetime
    submitted_by: str | None
    submitted_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    published_by: str | None
    published_at: datetime | None
    ended_at: datetime | None = Field(description="When it was superseded or withdrawn.")
    equal_to: int | None = Field(description="The number of the version that this one repeats, after a rollback.")


class VersionPage(View):
    items: list[VersionView]
    next_cursor: str | None


def digest_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


def view(workflow: Workflow) -> WorkflowView:
    return WorkflowView.model_validate(workflow)


def view_of_version(version: WorkflowVersion) -> VersionView:
    return VersionView.model_validate(
        {name: getattr(version, name) for name in VersionView.model_fields} | {"authors": list(version.authors)}
    )


def shown(version: WorkflowVersion | None) -> dict[str, Any] | None:
    """For the audit: the hash says which document it was."""
    return view_of_version(version).model_dump(mode="json", exclude={"created_at", "document"}) if version else None
