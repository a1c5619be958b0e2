"""Signs where the audit's chains end, and certificates, with a key of its own that the KEK seals."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from navplane.crypto.audit_chain import PLATFORM, Head, entry_hash
from navplane.crypto.certificate import signed_bytes
from navplane.crypto.envelope import kek_id_of, open_sealed, seal
from navplane.crypto.kek import Kek
from navplane.crypto.signing import new_signing_key, public_key_of, sign
from navplane.errors import NavPlaneError
from navplane.model.ids import new_id
from navplane.model.provider_key import SealedFor, SealingContext, Secret
from navplane.model.tenancy import Region
from navplane.store import audit, audit_heads, shredding
from navplane.store.audit_heads import AuditKey, KeptHead, Unsigned
from navplane.store.database import Connection, Database
from navplane.telemetry import logger

# A chain that does not grow is signed again after this: an old head is then a sign that somebody put an old state back.
SIGNED_AGAIN = timedelta(days=1)
CHAINS_AT_ONCE = 500
LINKS_AT_ONCE = 1000


class AuditBroken(NavPlaneError):
    """Entries are not as they were written, or are gone: their chain is not signed any more."""

    code = "audit_broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSigner:
    database: Database
    kek: Kek
    region: Region

    def sign(self, now: datetime) -> int:
        """Sign every chain that has grown, and return how many heads were signed. Raise AuditBroken when one does not follow
        its last signed head; all others are signed nevertheless."""
        broken: list[Unsigned] = []
        with self.database.transaction() as db:
            audit_heads.alone(db)
            key = self._key(db, now)
            chains = audit_heads.unsigned(db, signed_before=now - SIGNED_AGAIN, limit=CHAINS_AT_ONCE)
            secret = self._open(key) if chains else Secret(b"")
            for chain in chains:
                if follows(db, chain):
                    audit_heads.insert_head(db, signed_head(chain, key=key, secret=secret, now=now))
                else:
                    broken.append(chain)
        return _told(broken, signed=len(chains) - len(broken))

    def certify(self, now: datetime) -> int:
        """Sign the certificates of shredding that wait for it, and return how many."""
        with self.database.transaction() as db:
            audit_heads.alone(db)
            waiting = shredding.unsigned(db, limit=CHAINS_AT_ONCE)
            if not waiting:
                return 0
            key = self._key(db, now)
            secret = self._open(key)
            for one in waiting:
                signature = sign(signed_bytes(one.statement), key=secret)
                shredding.sign(db, certificate_id=one.id, key_id=key.id, signature=signature, now=now)
        return len(waiting)

    def _key(self, db: Connection, now: datetime) -> AuditKey:
        """The key that signs, made if there is none."""
        kept = audit_heads.keys(db, region=self.region.value)
        if kept:
            return kept[0]
        secret, key_id = new_signing_key(), new_id()
        sealed = seal(secret, context=sealing_context(key_id=key_id, region=self.region.value), kek=self.kek)
        key = AuditKey(
            id=key_id,
            public_key=public_key_of(secret),
            region=self.region.value,
            sealed=sealed,
            kek_id=kek_id_of(sealed),
            created_at=now,
        )
        audit_heads.insert_key(db, key)
        return key

    def _open(self, key: AuditKey) -> Secret:
        return open_sealed(key.sealed, context=sealing_context(key_id=key.id, region=key.region), kek=self.kek)


def sealing_context(*, key_id: UUID, region: str) -> SealingContext:
    """An audit key belongs to no organization and no provider."""
    return SealingContext(org_id=PLATFORM, provider_key_id=key_id, provider="none", region=region, kind=SealedFor.AUDIT_KEY)


def follows(db: Connection, chain: Unsigned) -> bool:
    """Whether the chain's entries lead from its last signed head to its end, each as it was hashed."""
    place, last = chain.signed, chain.signed_hash
    org_id = None if chain.org_id == PLATFORM else chain.org_id
    while place < chain.sequence:
        # No further than to the end that is to be signed: more may have been added since that was read.
        links = audit.links(db, org_id=org_id, first=place + 1, limit=min(LINKS_AT_ONCE, chain.sequence - place))
        for link in links:
            place += 1
            if (link.sequence, link.previous_hash) != (place, last):
                return False
            last = entry_hash(org_id=chain.org_id, sequence=place, previous=last, entry=link.entry)
            if last != link.hash:
                return False
        if not links:
            return False
    return (place, last) == (chain.sequence, chain.hash)


def signed_head(chain: Unsigned, *, key: AuditKey, secret: Secret, now: datetime) -> KeptHead:
    head = Head(org_id=chain.org_id, sequence=chain.sequence, hash=chain.hash, signed_at=now, key_id=key.id)
    # A second witness, outside the database: whoever rewrites the chain and its heads does not rewrite the logs.
    logger.info("audit.signed", extra={"organization": str(chain.org_id), "sequence": chain.sequence, "hash": chain.hash.hex()})
    return KeptHead(
        org_id=head.org_id,
        sequence=head.sequence,
        hash=head.hash,
        signed_at=now,
        key_id=key.id,
        signature=sign(head.statement(), key=secret),
    )


def _told(broken: list[Unsigned], *, signed: int) -> int:
    for chain in broken:
        logger.error("audit.broken", extra={"organization": str(chain.org_id), "signed": chain.signed})
    if broken:
        raise AuditBroken(f"{len(broken)} chains of the audit don't follow their last signed head; the log names them.")
    return signed
