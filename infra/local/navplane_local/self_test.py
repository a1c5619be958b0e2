"""The last step of a start: a streamed call of the demo organization whose row shows up through the admin API."""

from collections.abc import Callable

from navplane_local import demo_organization
from navplane_local.demo_organization import Admin, DemoOrganization, SelfTestFailed

Remember = Callable[[DemoOrganization], None]


def prove(base_url: str, token: str, known: DemoOrganization, remember: Remember) -> tuple[DemoOrganization, str]:
    """Return the demo organization and a sentence on what was seen. A second start finds its key at work at once; otherwise
    the organization is made or mended first. Raise SelfTestFailed."""
    kept = known.api_key
    if kept:
        status, request_id, events = demo_organization.streamed_call(base_url, known)
        if status == 403:
            return known, "left out: the demo organization is switched off"
    with Admin(base_url, token) as admin:
        if not kept or status != 200:
            # Somebody may have rotated the key, or deleted the organization or its provider keys.
            rotated = kept and status == 401
            known = demo_organization.ensure(admin, DemoOrganization(org_id=known.org_id, api_key="") if rotated else known)
            remember(known)
            status, request_id, events = demo_organization.streamed_call(base_url, known)
        if status != 200:
            raise SelfTestFailed(f"a streamed call was answered with {status}")
        row = demo_organization.await_row(admin, known, request_id)
    seen = f"{events} events streamed; its row has {row['input_tokens']} + {row['output_tokens']} tokens"
    replaced = kept and kept != known.api_key
    return known, f"{seen}. The demo key of the last run was rotated or deleted: there is a new one" if replaced else seen
