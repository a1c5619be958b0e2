"""`navplane audit`: the proof that nobody changed the audit, without asking the NavPlane that wrote it."""

import base64
import binascii
import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from navplane.crypto.audit_verify import ChainBroken, Verified, verify_exports
from navplane.crypto.certificate import verify_certificate
from navplane.crypto.signing import SignatureInvalid

app = typer.Typer(help="The audit and its proof.", no_args_is_help=True, add_completion=False)


@app.callback()
def audit() -> None:
    """The audit and its proof."""


@app.command()
def verify(
    files: Annotated[
        list[Path], typer.Argument(help="The JSON export of one organization; all its files, in their order.", exists=True)
    ],
    keys: Annotated[Path, typer.Option("--keys", help="What GET /admin/audit/keys answered, kept since before.", exists=True)],
    at_least: Annotated[
        int, typer.Option("--at-least", help="Fail if fewer entries are signed: what an earlier check reported.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check an export offline; exit with 1 and name the first entry that was altered, deleted, moved or cut off."""
    try:
        found = verify_exports([_document(file) for file in files], public_keys=_public_keys(_document(keys)))
        if found.signed < at_least:
            raise ChainBroken(found.signed + 1, f"missing: {at_least} entries were signed before")
    except ChainBroken as exc:
        _report({"verified": False, "entry": exc.sequence or None, "reason": exc.reason}, f"Not verified: {exc}", as_json)
        raise typer.Exit(1) from exc
    _report(_shown(found), _told(found), as_json)


@app.command()
def certificate(
    file: Annotated[Path, typer.Argument(help="What GET …/shredding-certificate answered.", exists=True)],
    keys: Annotated[Path, typer.Option("--keys", help="What GET /admin/audit/keys answered.", exists=True)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a certificate of shredding offline; exit with 1 if it was not signed by one of the keys."""
    try:
        said = verify_certificate(_document(file), public_keys=_public_keys(_document(keys)))
    except (ChainBroken, SignatureInvalid) as exc:
        reason = str(exc) or "the signature is not valid."
        _report({"verified": False, "reason": reason}, f"Not verified: {reason}", as_json)
        raise typer.Exit(1) from exc
    destroyed = len(said["values_destroyed"])
    told = f"Verified: {destroyed} sealed values of {said['organization']} were destroyed at {said['destroyed_at']}."
    _report({"verified": True, **said}, told, as_json)


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as exc:
        raise ChainBroken(0, f"{file} can't be read as JSON.") from exc
    if not isinstance(document, dict):
        raise ChainBroken(0, f"{file} is not a JSON object.")
    return document


def _public_keys(document: dict[str, Any]) -> dict[UUID, bytes]:
    try:
        return {UUID(item["id"]): base64.b64decode(item["public_key"], validate=True) for item in document["items"]}
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise ChainBroken(0, "The file of keys is not what GET /admin/audit/keys answers.") from exc


def _shown(found: Verified) -> dict[str, object]:
    return {
        "verified": True,
        "organization": str(found.organization),
        "entries": found.entries,
        "signed": found.signed,
        "signed_at": found.signed_at.isoformat(),
    }


def _told(found: Verified) -> str:
    unsigned = found.entries - found.signed
    tail = f" The last {unsigned} are not signed yet: nothing shows whether more followed them." if unsigned else ""
    return f"Verified: {found.entries} entries, {found.signed} of them signed at {found.signed_at.isoformat()}.{tail}"


def _report(shown: dict[str, object], told: str, as_json: bool) -> None:
    typer.echo(json.dumps(shown) if as_json else told, err=not shown["verified"] and not as_json)
