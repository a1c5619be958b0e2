"""`navplane jobs`: long work on the ledger, listed and watched."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from navplane_cli.admin_api import AdminApi

OPEN = ("waiting", "running")
POLL_SECONDS = 2.0

Org = Annotated[str | None, typer.Option("--org", help="The organization's id.")]
Every = Annotated[bool, typer.Option("--all", help="Every organization.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

app = typer.Typer(help="Long work on the ledger.", no_args_is_help=True, add_completion=False)


@app.callback()
def jobs() -> None:
    """Long work on the ledger: re-pricing, and making sums anew."""


@app.command("list")
def list_jobs(org: Org = None, every: Every = False, as_json: AsJson = False) -> None:
    """The latest jobs, and how far they are."""
    api = AdminApi.from_env()
    found = [(o, job) for o in api.organizations(org, every=every) for job in api.get(f"/orgs/{o}/ledger-jobs")["items"]]
    if as_json:
        print(json.dumps([{"org_id": org_id, **job} for org_id, job in found]))
        return
    for org_id, job in found:
        print(f"{org_id}  {job['id']}  {line(job)}")


@app.command()
def watch(org: Org = None, every: Every = False, as_json: AsJson = False) -> None:
    """Wait until every open job has ended. The status is 1 if one of them failed."""
    api = AdminApi.from_env()
    open_jobs = [
        (o, job["id"])
        for o in api.organizations(org, every=every)
        for job in api.get(f"/orgs/{o}/ledger-jobs")["items"]
        if job["state"] in OPEN
    ]
    finish(api, open_jobs, as_json=as_json)


def start(api: AdminApi, organizations: Sequence[str], body: Mapping[str, Any], *, wait: bool, as_json: bool) -> None:
    """Start a job for each organization; with `wait`, stay until the last has ended."""
    started = [(org, api.post(f"/orgs/{org}/ledger-jobs", body)) for org in organizations]
    if wait:
        finish(api, [(org, job["id"]) for org, job in started], as_json=as_json)
    elif as_json:
        print(json.dumps([{"org_id": org, **job} for org, job in started]))
    else:
        for org, job in started:
            print(f"{org}  {job['id']}  started; `navplane jobs watch --org {org}` follows it")


def finish(api: AdminApi, watched: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    ended: list[dict[str, Any]] = []
    # The bars go to standard error: what is printed can be piped.
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json) as bars:
        for org, job_id in watched:
            bar = bars.add_task(job_id, total=1.0)
            while (job := api.get(f"/orgs/{org}/ledger-jobs/{job_id}"))["state"] in OPEN:
                bars.update(bar, completed=job["progress"])
                time.sleep(POLL_SECONDS)
            bars.update(bar, completed=job["progress"])
            ended.append({"org_id": org, **job})
    if as_json:
        print(json.dumps(ended))
    else:
        for job in ended:
            print(f"{job['org_id']}  {job['id']}  {line(job)}")
    if any(job["state"] == "failed" for job in ended):
        raise typer.Exit(1)


def line(job: Mapping[str, Any]) -> str:
    counted = f"{job['requests_changed']} of {job['requests_seen']} requests, {job['cost_change_usd']} USD"
    return f"{job['kind']}  {job['state']}  {job['progress']:.0%}  {counted}  {job['failure'] or ''}".rstrip()
