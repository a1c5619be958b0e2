"""What the NavPlane that runs on this machine (`make up`) lends to a function that is invoked beside it: database and key."""

import json
import shlex
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


def variables(state: Path, *, user: str) -> dict[str, str]:
    """DATABASE_* for this database user, and ENCRYPTION_KEY; nothing when none runs."""
    try:
        url = _dev_env(state / "dev.env")["NAVPLANE_DATABASE_URL"]
        passwords = json.loads((state / "secrets.json").read_text())["passwords"]
        key = (state / "kek.key").read_text().strip()
    except (FileNotFoundError, KeyError):
        return {}
    return {**_address(url), "DATABASE_USER": user, "DATABASE_PASSWORD": passwords[user], "ENCRYPTION_KEY": key}


def _dev_env(path: Path) -> dict[str, str]:
    pairs = (part.partition("=") for part in shlex.split(path.read_text(), comments=True))
    return {name: value for name, _, value in pairs}


def _address(url: str) -> dict[str, str]:
    """A socket's directory stands in the query, because it can't be a host name."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "DATABASE_HOST": query.get("host") or parts.hostname or "",
        "DATABASE_PORT": query.get("port") or str(parts.port or 5432),
        "DATABASE_NAME": unquote(parts.path.lstrip("/")),
        "DATABASE_TLS": "require" if query.get("sslmode") == "require" else "off",
    }
