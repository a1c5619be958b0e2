"""The key-encryption key: its halves, its successor, and what moves sealed values from one to the other."""

from typing import TYPE_CHECKING

from navplane.config import CustodySettings, KekProvider, KekSettings
from navplane.errors import ConfigurationError
from navplane.wiring.dependencies import database

if TYPE_CHECKING:
    from navplane.crypto.kek import Kek, KekUnwrapper, KekWrapper
    from navplane.crypto.kek_aws_kms import AwsKmsKek
    from navplane.crypto.kek_local import LocalKek
    from navplane.custody.rewrap import Rewrapper
    from navplane.model.provider_key import Secret


def kek_wrapper(settings: KekSettings) -> "KekWrapper":
    return _kek(settings)


def successor_wrapper(settings: KekSettings) -> "KekWrapper | None":
    """What seals once the KEK is being retired."""
    return _kek(settings.successor) if settings.successor else None


def kek(settings: KekSettings) -> "Kek":
    """Both halves, for what keeps a sealed key of its own. While a KEK is being replaced, what either sealed opens."""
    if settings.successor is None:
        return _kek(settings)
    from navplane.crypto.kek_ring import KekRing

    return KekRing(current=_kek(settings), successor=_kek(settings.successor))


def kek_unwrapper(settings: KekSettings) -> "KekUnwrapper":
    """Data keys are kept unwrapped for up to five minutes."""
    from navplane.crypto.kek_cache import CachingKek

    return CachingKek(kek(settings))


def rewrapper(settings: CustodySettings) -> "Rewrapper":
    """Raise ConfigurationError where no new KEK is set."""
    from navplane.custody.rewrap import Rewrapper

    if settings.kek.successor is None:
        raise ConfigurationError(
            "There is no new KEK: set ENCRYPTION_KEY_NEW, ENCRYPTION_KEY_NEW_SECRET_ID or KMS_KEY_ID_NEW here and in everything"
            " else that uses the KEK, and begin then."
        )
    db = database(settings.database, size=1)
    return Rewrapper(database=db, old=_kek(settings.kek), new=_kek(settings.kek.successor))


def _kek(settings: KekSettings) -> "AwsKmsKek | LocalKek":
    if settings.provider is KekProvider.AWS_KMS:
        from navplane.crypto.kek_aws_kms import AwsKmsKek

        assert settings.kms_key_id is not None
        return AwsKmsKek(settings.kms_key_id)
    from navplane.crypto.kek_local import LocalKek

    return LocalKek.from_base64(settings.encryption_key or _stored_encryption_key(settings))


def _stored_encryption_key(settings: KekSettings) -> "Secret":
    from navplane.crypto.secrets_manager import key_from_secrets_manager

    assert settings.encryption_key_secret_id is not None
    return key_from_secrets_manager(settings.encryption_key_secret_id)
