"""What the local cloud puts in the place of AWS: values for the template's parameters, and variables for its functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from navplane.config import CONSOLE_PATH

from navplane_local.stack import Function

ADMIN_SUBJECT = "local|admin"
AUDIENCE = "navplane"
# These speak to providers, so only they are told where providers are.
CONSOLE = "ConsoleFunction"
SPEAKS_TO_PROVIDERS = ("ProxyFunction", "AdminProviderKeysFunction", "ProviderProbeFunction")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalValues:
    """`base_url` is the one local port's. `database` and `aws` are variables; `overrides` maps a provider's name to a loopback
    URL; `lambda_url` is where functions invoke each other."""

    base_url: str
    database: Mapping[str, str]
    aws: Mapping[str, str]
    issuer_url: str
    demo_upstream_url: str
    lambda_url: str
    kek_provider: str
    mail_outbox: str
    api_key_prefixes: str
    admin_calls_per_minute: int
    overrides: Mapping[str, str]
    passwords: Mapping[str, str] = field(repr=False)
    kek: str = field(repr=False)
    console_session_key: str = field(repr=False)

    @property
    def console_url(self) -> str:
        return f"{self.base_url}{CONSOLE_PATH}"

    def parameters(self) -> dict[str, str]:
        return {
            "NavplaneMode": "local",
            "DatabaseHost": self.database["DATABASE_HOST"],
            "DatabasePort": self.database["DATABASE_PORT"],
            "DatabaseName": self.database["DATABASE_NAME"],
            "DatabaseResourceId": "local",
            "OidcIssuer": self.issuer_url,
            "OidcAudience": AUDIENCE,
            "PlatformAdminSubjects": ADMIN_SUBJECT,
            "KekProvider": self.kek_provider,
            "ApiKeyPrefixes": self.api_key_prefixes,
            "ConsoleUrl": self.console_url,
            "AdminReadsPerMinute": str(self.admin_calls_per_minute),
            "AdminWritesPerMinute": str(self.admin_calls_per_minute),
        }

    def variables(self, function: Function) -> dict[str, str]:
        """What a function has here besides what the template gives it: a password and a key only where it needs them."""
        if function.logical_id == CONSOLE:
            return {**self.aws, "ADMIN_API_URL": self.base_url, "CONSOLE_SESSION_KEY": self.console_session_key}
        password = self.passwords[function.environment["DATABASE_USER"]]
        variables = {"DATABASE_AUTH": "password", "DATABASE_TLS": "off", "DATABASE_PASSWORD": password}
        variables |= {**self.database, **self.aws, "AWS_ENDPOINT_URL_LAMBDA": self.lambda_url}
        if function.environment.get("KEK_PROVIDER") == "local":
            variables["ENCRYPTION_KEY"] = self.kek
        if "MAIL_SENDER" in function.environment:
            variables["MAIL_OUTBOX"] = self.mail_outbox
        if function.logical_id in SPEAKS_TO_PROVIDERS:
            variables["NAVPLANE_DEMO_UPSTREAM"] = self.demo_upstream_url
            variables |= {f"NAVPLANE_UPSTREAM_OVERRIDE_{name.upper()}": url for name, url in self.overrides.items()}
        return variables
