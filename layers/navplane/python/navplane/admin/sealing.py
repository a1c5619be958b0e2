"""Sealing what is to be stored, under the KEK that is in force when it is."""

from collections.abc import Callable

from navplane.crypto.envelope import seal
from navplane.crypto.kek import KekWrapper
from navplane.errors import KekRetired
from navplane.model.provider_key import SealingContext, Secret


def store_sealed(
    store: Callable[[bytes], None],
    secret: Secret,
    *,
    context: SealingContext,
    kek: KekWrapper,
    successor: KekWrapper | None = None,
) -> None:
    """`store` writes the sealed value in a transaction of its own, and is called once more when the database says that `kek` is
    being retired. The KEK is asked outside of it. Raise KekRetired where this process knows no successor."""
    try:
        store(seal(secret, context=context, kek=kek))
    except KekRetired:
        if successor is None:
            raise
        store(seal(secret, context=context, kek=successor))
