"""`navplane demo`: an application on the unmodified OpenAI SDK, shown at work through a NavPlane of its own."""

import importlib.util
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from navplane_cli.demo_admin import Admin
from navplane_cli.demo_cloud import DemoCloud, DemoFailed, demo_cloud

if TYPE_CHECKING:
    from openai import OpenAI

ROWS_SECONDS = 10.0
QUESTION = "Hello"


def demo() -> None:
    """Run the demo application: a call, a stream, a key rotation, the kill switch, and the rows that came of it.

    It starts a NavPlane of its own in a temporary directory, so nothing of yours changes, and the demo upstream answers.
    """
    if importlib.util.find_spec("openai") is None:
        typer.echo("navplane demo needs the openai package: run `make demo`, or `pip install openai`.", err=True)
        raise typer.Exit(2)
    # The SDK obeys the environment's proxies, which are for other hosts than this machine.
    os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1")))
    console = Console(highlight=False)
    try:
        with ExitStack() as stack:
            with console.status("Starting a NavPlane for the demo"):
                cloud = stack.enter_context(demo_cloud())
            console.print("A NavPlane for the demo runs at", cloud.base_url)
            Demo(console, cloud).run()
    except DemoFailed as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from exc


class Demo:
    """The steps in order. `_calls` counts what must show up as rows."""

    def __init__(self, console: Console, cloud: DemoCloud) -> None:
        self._console = console
        self._cloud = cloud
        self._admin = Admin.of_the_only_organization(url=cloud.admin_url, token=cloud.admin_token)
        self._calls = 0
        # NavPlane's own self-test has left a row.
        self._earlier = {row["request_id"] for row in self._admin.requests()}

    def run(self) -> None:
        client = self._client(self._cloud.api_key)
        self._call(client)
        self._stream(client)
        client = self._rotate(client)
        self._kill_switch(client)
        self._rows()

    def _client(self, api_key: str) -> "OpenAI":
        """The whole integration: these two settings, which could be OPENAI_BASE_URL and OPENAI_API_KEY as well."""
        from openai import OpenAI

        return OpenAI(base_url=f"{self._cloud.base_url}/v1", api_key=api_key)

    def _call(self, client: "OpenAI") -> None:
        self._title("A call", f'OpenAI(base_url="{self._cloud.base_url}/v1", api_key="{_shortened(client.api_key)}")')
        answer = self._ask(client)
        usage = answer.usage
        self._console.print(f"  {answer.choices[0].message.content}")
        self._console.print(f"  [dim]{usage.prompt_tokens} tokens in, {usage.completion_tokens} out[/dim]")

    def _stream(self, client: "OpenAI") -> None:
        self._title("A stream", 'client.chat.completions.create(model="demo-long-24", …, stream=True)')
        self._console.print("  ", end="")
        self._calls += 1
        for chunk in client.chat.completions.create(model="demo-long-24", messages=_messages(), stream=True):
            self._console.out(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", highlight=False)
        self._console.print()

    def _rotate(self, old: "OpenAI") -> "OpenAI":
        self._title("A key rotation", f"POST /admin/orgs/{self._admin.org_id}/rotate-key")
        new = self._client(self._admin.rotate_key())
        self._refused("the old key", old)
        self._answered(f"the new key {_shortened(new.api_key)}", new)
        return new

    def _kill_switch(self, client: "OpenAI") -> None:
        self._title("The kill switch", f"PUT /admin/orgs/{self._admin.org_id}/enabled")
        self._admin.set_enabled(False)
        self._refused("switched off", client)
        self._admin.set_enabled(True)
        self._answered("switched on again", client)

    def _rows(self) -> None:
        self._title("What was written down", f"GET /admin/orgs/{self._admin.org_id}/requests")
        rows = _until(self._new_rows, lambda found: len(found) >= self._calls)
        self._console.print(_table(rows))

    def _new_rows(self) -> list[dict[str, Any]]:
        return [row for row in self._admin.requests() if row["request_id"] not in self._earlier]

    def _ask(self, client: "OpenAI") -> Any:
        self._calls += 1
        return client.chat.completions.create(model="demo-cached", messages=_messages())

    def _answered(self, what: str, client: "OpenAI") -> None:
        self._ask(client)
        self._console.print(f"  {what}: [green]200[/green]")

    def _refused(self, what: str, client: "OpenAI") -> None:
        from openai import APIStatusError

        self._calls += 1
        try:
            client.chat.completions.create(model="demo", messages=_messages())
        except APIStatusError as error:
            self._console.print(f"  {what}: [yellow]{error.status_code}[/yellow] {error.code}")
        else:
            raise DemoFailed(f"{what}: the call was answered, but it should have been refused")

    def _title(self, title: str, detail: str) -> None:
        self._console.print()
        self._console.print(Panel(detail, title=title, title_align="left", expand=False))


def _messages() -> Any:
    return [{"role": "user", "content": QUESTION}]


def _shortened(api_key: str) -> str:
    return f"{api_key[:6]}…{api_key[-4:]}"


def _until(read: Callable[[], list[dict[str, Any]]], enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Rows come through a queue, a moment after the answer."""
    deadline = time.monotonic() + ROWS_SECONDS
    while not enough(rows := read()):
        if time.monotonic() > deadline:
            raise DemoFailed(f"only {len(rows)} rows arrived within {ROWS_SECONDS:.0f} seconds")
        time.sleep(0.2)
    return rows


# They fit into 80 characters.
_COLUMNS = {
    "model": "model",
    "stream": "stream",
    "status": "status",
    "outcome": "outcome",
    "in": "input_tokens",
    "cached": "cached_input_tokens",
    "out": "output_tokens",
    "usage": "usage_quality",
    "ms": "duration_ms",
}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for title, name in _COLUMNS.items():
        table.add_column(title, justify="right" if name.endswith(("_tokens", "_ms")) else "left", no_wrap=True)
    for row in reversed(rows):
        table.add_row(*(_cell(row[name]) for name in _COLUMNS.values()))
    return table


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)
