"""The ledger: what rows cost, entry by entry; and the prices that organizations have agreed. Parts of the one statement that
records rows (request_logs), where `given`, `owners`, `priced` and `changed` are made."""

# The agreed price of one of `given`, by the time of the request itself; the name that answered goes before the one that was
# asked for. A kind of token without a rate of its own costs what the kind does that it is a part of. What is not counted in
# tokens has no such kind: without its rate, or a price per request, nothing was agreed about it. Pictures may be counted in
# both ways.
AGREED = """
SELECT o.id, round(
           (given.input_tokens - given.cached_input_tokens - given.cache_write_5m_tokens - given.cache_write_1h_tokens
            - given.audio_input_tokens) * o.input_usd
           + (given.output_tokens - given.audio_output_tokens) * o.output_usd
           + given.cached_input_tokens * coalesce(o.cached_input_usd, o.input_usd)
           + given.cache_write_5m_tokens * coalesce(o.cache_write_5m_usd, o.input_usd)
           + given.cache_write_1h_tokens * coalesce(o.cache_write_1h_usd, o.cache_write_5m_usd, o.input_usd)
           + given.audio_input_tokens * coalesce(o.audio_input_usd, o.input_usd)
           + given.audio_output_tokens * coalesce(o.audio_output_usd, o.output_usd)
           + given.web_searches * o.web_search_usd
           + given.audio_seconds * coalesce(o.audio_second_usd, 0)
           + given.characters * coalesce(o.character_usd, 0)
           + given.images * coalesce(o.image_usd, 0)
           + o.request_usd, 9) AS cost_usd
  FROM public.price_overrides AS o
 WHERE o.org_id = owners.org_id AND o.provider = given.provider AND o.model IN (given.response_model, given.model)
   AND o.effective_from <= uuid_extract_timestamp(given.request_id)
   AND (o.effective_to IS NULL OR uuid_extract_timestamp(given.request_id) < o.effective_to)
   AND (o.request_usd > 0
        OR ((given.audio_seconds = 0 OR o.audio_second_usd IS NOT NULL)
            AND (given.characters = 0 OR o.character_usd IS NOT NULL)
            AND (given.images = 0 OR o.image_usd IS NOT NULL OR given.input_tokens + given.output_tokens > 0)))
 ORDER BY o.model IS NOT DISTINCT FROM given.response_model DESC, o.effective_from DESC
 LIMIT 1
"""

# Of one request the amounts add up to what its row costs: what costs nothing, and what stays as dear as it was, has no entry.
ENTER = """
INSERT INTO public.ledger_entries (request_id, revision, org_id, workspace_id, key_id, kind, amount_usd,
                                   price_source, price_version)
SELECT request_id, changed.revision, changed.org_id, changed.workspace_id, changed.key_id,
       CASE WHEN changed.revision = 1 THEN 'charge' ELSE 'adjustment' END,
       coalesce(changed.cost_usd, 0) - coalesce(was_cost_usd, 0), priced.price_source, priced.price_version
  FROM changed JOIN priced USING (request_id)
 WHERE coalesce(changed.cost_usd, 0) <> coalesce(was_cost_usd, 0)
"""
