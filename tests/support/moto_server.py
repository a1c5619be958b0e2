"""moto's AWS over real HTTP, in this process, on a free loopback port."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from moto.moto_server.threaded_moto_server import ThreadedMotoServer


@contextmanager
def moto_server() -> Iterator[str]:
    """The server's URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def aws_environment(endpoint: str) -> Mapping[str, str]:
    """What points boto3 at `endpoint`, with credentials of no worth."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
