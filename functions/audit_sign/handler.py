"""audit_sign: every minute, signs where the audit's chains end, and certificates. Its KEK rights are for its own key alone;
Postgres as navplane_signer."""

from datetime import UTC, datetime
from typing import Any

from navplane import wiring
from navplane.config import CustodySettings
from navplane.custody.sign_audit import AuditSigner

settings = CustodySettings.from_env()
signer = AuditSigner(database=wiring.database(settings.database, size=1), kek=wiring.kek(settings.kek), region=settings.region)


def handler(_event: dict[str, Any], _context: Any) -> dict[str, int]:
    """Answers how much was signed; fails, and so alarms, when entries are not as they were written."""
    now = datetime.now(UTC)
    return {"certificates_signed": signer.certify(now), "heads_signed": signer.sign(now)}
