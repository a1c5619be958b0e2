"""`navplane prices`: what the price list of this release changes, what was agreed, and what was recorded weighed again."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from navplane.ingest import price_list

from navplane_cli.admin_api import AdminApi
from navplane_cli.jobs import AsJson, Every, Org, start

NANO = Decimal(10**9)
MILLION = Decimal(10**6)
Ceilings = tuple[Decimal, Decimal, Decimal]
Model = tuple[str, str]

app = typer.Typer(help="Prices: the list's, and those agreed.", no_args_is_help=True, add_completion=False)


@app.callback()
def prices() -> None:
    """Prices: the list's, those that organizations have agreed, and re-pricing."""


@app.command()
def diff(as_json: AsJson = False) -> None:
    """What this release's price list would change in the NavPlane that NAVPLANE_ADMIN_URL names: models that are new, gone, or
    dearer or cheaper. Recorded costs stay until `navplane prices reprice`."""
    deployed = AdminApi.from_env().get("/model-prices")
    changes = differences(_deployed(deployed["items"]), _installed(datetime.now(UTC)))
    if as_json:
        print(json.dumps({"deployed": deployed["source_version"], "installed": price_list.list_version(), "changes": changes}))
        return
    print(f"deployed {deployed['source_version']}, installed {price_list.list_version()}: {len(changes)} changes")
    for change in changes:
        print(f"{change['change']:8} {change['provider']}  {change['model']}  {change['before']} -> {change['after']}")


def differences(before: Mapping[Model, Ceilings], after: Mapping[Model, Ceilings]) -> list[dict[str, Any]]:
    """In USD per million input tokens, per million output tokens, and per request."""
    found = []
    for provider, model in sorted(before.keys() | after.keys()):
        was, is_now = before.get((provider, model)), after.get((provider, model))
        if was != is_now:
            kind = "new" if was is None else "gone" if is_now is None else "changed"
            told = {"before": _text(was), "after": _text(is_now)}
            found.append({"change": kind, "provider": provider, "model": model, **told})
    return found


@app.command()
def override(
    org: Annotated[str, typer.Option("--org", help="The organization's id.")],
    provider: Annotated[str, typer.Option(help="Such as openai.")],
    model: Annotated[str, typer.Option(help="The name that the provider answers with, or that is asked for.")],
    input_usd: Annotated[str, typer.Option("--input", help="USD per million input tokens.")],
    output_usd: Annotated[str, typer.Option("--output", help="USD per million output tokens.")],
    since: Annotated[str, typer.Option("--from", help="From when on it holds, such as 2026-12-01T00:00:00Z.")],
    until: Annotated[str | None, typer.Option("--to", help="When it no longer holds; absent: until further notice.")] = None,
    cached_input_usd: Annotated[str | None, typer.Option("--cached-input", help="USD per million cached tokens.")] = None,
    as_json: AsJson = False,
) -> None:
    """Agree a price. It holds for what is recorded from now on; `navplane prices reprice` applies it to what was recorded."""
    body = {
        "provider": provider,
        "model": model,
        "effective_from": since,
        "effective_to": until,
        "input_usd_per_million": input_usd,
        "output_usd_per_million": output_usd,
        "cached_input_usd_per_million": cached_input_usd,
    }
    made = AdminApi.from_env().post(f"/orgs/{org}/price-overrides", body)
    print(json.dumps(made) if as_json else _agreed(made))


@app.command()
def overrides(org: Annotated[str, typer.Option("--org", help="The organization's id.")], as_json: AsJson = False) -> None:
    """The prices that an organization has agreed, newest first."""
    found = list(AdminApi.from_env().items(f"/orgs/{org}/price-overrides"))
    print(json.dumps(found) if as_json else "\n".join(map(_agreed, found)))


@app.command()
def reprice(
    since: Annotated[str, typer.Option("--from", help="Requests from this moment on, such as 2026-11-01T00:00:00Z.")],
    until: Annotated[str | None, typer.Option("--to", help="Requests before this moment; absent: now.")] = None,
    org: Org = None,
    every: Every = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is done, and show how far it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Weigh what was recorded by today's prices. What costs something else gets an adjusting entry; nothing is overwritten. It
    may be stopped anywhere, and done again: what is done is done once."""
    api = AdminApi.from_env()
    body = {"kind": "reprice", "start": since, "end": until}
    start(api, api.organizations(org, every=every), body, wait=wait, as_json=as_json)


def _installed(now: datetime) -> dict[Model, Ceilings]:
    found: dict[Model, Ceilings] = {}
    for row in price_list.rows(now):
        per_million = (Decimal(row.input_nano_usd) / NANO * MILLION, Decimal(row.output_nano_usd) / NANO * MILLION)
        found.setdefault((row.provider, row.model), (*per_million, Decimal(row.request_nano_usd) / NANO))
    return found


def _deployed(items: Iterable[Mapping[str, Any]]) -> dict[Model, Ceilings]:
    names = ("input_usd_per_million", "output_usd_per_million", "request_usd")
    return {(item["provider"], item["model"]): _ceilings([Decimal(item[name]) for name in names]) for item in items}


def _ceilings(amounts: list[Decimal]) -> Ceilings:
    read, written, request = amounts
    return read, written, request


def _text(ceilings: Ceilings | None) -> str | None:
    return None if ceilings is None else " / ".join(f"{amount.normalize():f}" for amount in ceilings)


def _agreed(item: Mapping[str, Any]) -> str:
    rates = f"{item['input_usd_per_million']} / {item['output_usd_per_million']} USD per million"
    return (
        f"{item['id']}  {item['provider']}  {item['model']}  {rates}  {item['effective_from']} - {item['effective_to'] or ''}"
    )
