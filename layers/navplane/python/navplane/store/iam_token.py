"""A short-lived password for RDS: a presigned request that says who wants to connect.

docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html: valid for 15 minutes, checked at connect only.
"""

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from navplane.errors import DependencyUnavailable

VALID_SECONDS = 900
KEPT_SECONDS = 600.0


class IamToken:
    """Call it for the password; it signs a new one every ten minutes. Raise DependencyUnavailable without credentials."""

    def __init__(self, *, host: str, port: int, user: str, clock: Callable[[], float] = time.time) -> None:
        self._host, self._port, self._user = host, port, user
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._signed_at = float("-inf")

    def __call__(self) -> str:
        with self._lock:
            if self._clock() - self._signed_at >= KEPT_SECONDS:
                self._signed_at, self._token = self._clock(), self._sign()
            return self._token

    def _sign(self) -> str:
        # Late, because only functions on AWS need it; and the signer alone, because a client loads all of RDS's API.
        from botocore.exceptions import BotoCoreError
        from botocore.model import ServiceId
        from botocore.session import get_session
        from botocore.signers import RequestSigner

        session = get_session()
        try:
            region, credentials = session.get_config_variable("region"), session.get_credentials()
            if credentials is None or region is None:
                raise DependencyUnavailable("No AWS credentials or region to sign in to the database with.")
            events = session.get_component("event_emitter")
            signer = RequestSigner(ServiceId("rds-db"), region, "rds-db", "v4", credentials, events)
            url = signer.generate_presigned_url(
                self._request(), operation_name="connect", region_name=region, expires_in=VALID_SECONDS, signing_name="rds-db"
            )
        except BotoCoreError as exc:
            raise DependencyUnavailable("The AWS credentials to sign in to the database with can't be had.") from exc
        return str(url).removeprefix("https://")

    def _request(self) -> dict[str, Any]:
        query = urlencode({"Action": "connect", "DBUser": self._user})
        url = f"https://{self._host}:{self._port}/?{query}"
        return {"method": "GET", "url": url, "body": {}, "headers": {}, "context": {}}
