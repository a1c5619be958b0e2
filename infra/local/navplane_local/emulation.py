"""AWS on this machine: moto's server in this process, with the queues of the template. It forgets when the process ends."""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from navplane_local.resolver import REGION
from navplane_local.sqs_queue import SqsQueue
from navplane_local.stack import Queue

if TYPE_CHECKING:
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


class AwsEmulation:
    """SQS, KMS, Secrets Manager and SSM at one endpoint. It can be stopped and started again at the same port without
    losing its state, which is how tests make AWS unreachable."""

    def __init__(self) -> None:
        self._server: ThreadedMotoServer | None = None
        self._port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        from moto.moto_server.threaded_moto_server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()

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
