"""Reads a key from AWS Secrets Manager, once, when a function starts."""

from navplane.errors import ConfigurationError, DependencyUnavailable
from navplane.model.provider_key import Secret


def key_from_secrets_manager(secret_id: str, *, what: str = "encryption key") -> Secret:
    """The secret's string, as it is stored. Raise DependencyUnavailable, which says `what` it is, when it can't be read."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3, "mode": "standard"})
    try:
        answer = boto3.session.Session().client("secretsmanager", config=config).get_secret_value(SecretId=secret_id)
    except (ClientError, BotoCoreError) as exc:
        raise DependencyUnavailable(f"The {what} could not be read from Secrets Manager.") from exc
    if not answer.get("SecretString"):
        raise ConfigurationError(f"The {what}'s secret holds no string: store the key as text, an encryption key as base64.")
    return Secret(answer["SecretString"].encode())
