"""org_provider_settings: which providers and models an organization may use. No row means: all of them."""

import json
from uuid import UUID

from navplane.model.policy import ProviderSettings
from navplane.store.database import Connection


def find(db: Connection, *, org_id: UUID) -> ProviderSettings:
    rows = db.run(
        "SELECT disabled_providers, allow_models, block_models FROM public.org_provider_settings WHERE org_id = :org_id",
        org_id=org_id,
    )
    if not rows:
        return ProviderSettings()
    disabled, allow, block = rows[0]
    return ProviderSettings(disabled_providers=frozenset(disabled), allow_models=tuple(allow), block_models=tuple(block))


def save(db: Connection, settings: ProviderSettings, *, org_id: UUID) -> None:
    # As JSON, because pg8000 writes the text 'null' into an array as NULL.
    db.run(
        """
        INSERT INTO public.org_provider_settings (org_id, disabled_providers, allow_models, block_models)
        VALUES (
            :org_id,
            ARRAY(SELECT jsonb_array_elements_text(:disabled::jsonb)),
            ARRAY(SELECT jsonb_array_elements_text(:allow::jsonb)),
            ARRAY(SELECT jsonb_array_elements_text(:block::jsonb))
        )
        ON CONFLICT (org_id) DO UPDATE SET disabled_providers = excluded.disabled_providers,
            allow_models = excluded.allow_models, block_models = excluded.block_models
        """,
        org_id=org_id,
        disabled=json.dumps(sorted(settings.disabled_providers)),
        allow=json.dumps(settings.allow_models),
        block=json.dumps(settings.block_models),
    )
