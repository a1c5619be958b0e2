"""AWS on this machine: moto's server in this process, with the queues of the template. It forgets when the process ends."""

import json
import logging
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from navplane_local.resolver import REGION
from navplane_local.sqs_queue import SqsQueue
from navplane_local.stack import Queue

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

HOST = "127.0.0.1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


class AwsEmulation:
    """SQS, KMS, Secrets Manager and SSM at one endpoint. It can be paused and started again at the same port without
    losing its state, which is how tests make AWS unreachable."""

    def __init__(self) -> None:
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._held: socket.socket | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self._port()}"

    def start(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        app = DomainDispatcherApplication(create_backend_app)
        # The server makes a descriptor of its own of the one that it is given.
        with self._bound(self._port()) as listening:
            listening.listen(128)
            fd = listening.fileno()
            self._server = make_server(HOST, self._port(), app, threaded=True, request_handler=MotoRequestHandler, fd=fd)
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws-emulation", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Until `start`, connections are refused."""
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join()

    def stop(self) -> None:
        self.pause()
        if self._held is not None:
            self._held.close()
            self._held = None

    def _port(self) -> int:
        """Held from first to last by a socket that never listens, so that nobody else gets it between a pause and a start."""
        if self._held is None:
            self._held = self._bound(0)
        port: int = self._held.getsockname()[1]
        return port

    def _bound(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # With it on both, two may be bound to one port as long as only one listens.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        return bound

    def variables(self) -> dict[str, str]:
        """What points a function's boto3 here, and nowhere else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            **CREDENTIALS,
        }

    def client(self, service: Any) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.session.Session(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10, max_pool_connections=20)
        return session.client(service, endpoint_url=self.endpoint, config=config)

    def create_key(self) -> dict[str, str]:
        """A KMS key; what Ref and GetAtt give for the template's KekKey."""
        key = self.client("kms").create_key()["KeyMetadata"]
        return {"KekKey": key["KeyId"], "KekKey.Arn": key["Arn"]}

    def create_queues(self, queues: Mapping[str, Queue]) -> dict[str, SqsQueue]:
        """By logical id. A queue comes after the one that takes its dead letters."""
        client = self.client("sqs")
        created: dict[str, SqsQueue] = {}
        for queue in _targets_first(queues.values()):
            attributes = _attributes(queue, queues)
            url = client.create_queue(QueueName=queue.name, Attributes=attributes)["QueueUrl"]
            created[queue.logical_id] = SqsQueue(client, url=url, arn=queue.arn)
        return created


def _targets_first(queues: Iterable[Queue]) -> list[Queue]:
    return sorted(queues, key=lambda queue: queue.dead_letter_queue is not None)


def _attributes(queue: Queue, queues: Mapping[str, Queue]) -> dict[str, str]:
    attributes = {
        "VisibilityTimeout": str(queue.visibility_seconds),
        "MessageRetentionPeriod": str(queue.retention_seconds),
    }
    if queue.dead_letter_queue is not None:
        target = queues[queue.dead_letter_queue].arn
        policy = {"deadLetterTargetArn": target, "maxReceiveCount": queue.max_receive_count}
        attributes["RedrivePolicy"] = json.dumps(policy)
    return attributes
