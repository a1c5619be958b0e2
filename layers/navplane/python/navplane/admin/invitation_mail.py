"""What an invitation's mail says, and the token in it."""

import hashlib
import secrets

from navplane.model.mail import Mail
from navplane.store.invitations import Invitation

PREFIX = "npi_"
TOKEN_PATTERN = r"^npi_[A-Za-z0-9_-]{43}$"  # noqa: S105 - the shape of one, not one


def new_token() -> str:
    """256 bits: nobody guesses one, so a digest without salt is enough to store."""
    return PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def invitation_mail(invitation: Invitation, *, organization: str, token: str) -> Mail:
    roles = ", ".join(sorted({one.role for one in invitation.roles})) or "none beside it"
    text = f"""{invitation.invited_by} invites you to the organization {organization} on NavPlane.

Membership: {invitation.membership}
Roles: {roles}
Until: {invitation.expires_at:%Y-%m-%d %H:%M} UTC

To accept, sign in as {invitation.email}, and send this token, which is good once:

    {token}

with POST /admin/invitations/accept and the body {{"token": "…"}}.
If you did not expect this, leave it: without the token nothing happens.
"""
    return Mail(to=invitation.email, subject=f"Invitation to {organization} on NavPlane", text=text)
