"""The roles of NavPlane, in a database that it is given: run once by whoever made the database, and again at will."""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping

from pg8000.native import identifier, literal

from navplane.store.database import Connection

# Who connects, and nothing else about them: what each may do is in the migrations.
LOGIN_ROLES = (
    "navplane_owner",
    "navplane_admin",
    "navplane_reader",
    "navplane_writer",
    "navplane_gate",
    "navplane_rewrap",
    "navplane_signer",
    "navplane_probe",
    "navplane_notifier",
)
# Who owns functions that others may only call: those of the gate, and those that keep the audit and destroy secrets.
DEFINER_ROLES = ("navplane_gate_definer", "navplane_keeper")
# `navplane_platform_reader` is put on for one transaction.
OTHER_ROLES = (*DEFINER_ROLES, "navplane_platform_reader")
SCRAM_ITERATIONS = 4096


def bootstrap(connection: Connection, *, passwords: Mapping[str, str]) -> None:
    """Make the roles, give the connection's database to navplane_owner and close it to everybody else.

    `passwords` is by role; a role without one signs in with an IAM token where the server knows `rds_iam`, else not at all.
    The connection may be a superuser's, or that of a role with CREATEROLE and CREATEDB which owns the database (as on RDS).
    """
    existing = {row[0] for row in connection.run("SELECT rolname FROM pg_catalog.pg_roles")}
    connection.run("BEGIN")
    try:
        for role in (*LOGIN_ROLES, *OTHER_ROLES):
            if role not in existing:
                connection.run(f"CREATE ROLE {role} NOINHERIT")
        for role in LOGIN_ROLES:
            _allow_login(connection, role, password=passwords.get(role), iam="rds_iam" in existing)
        _grant_memberships(connection)
        open_database(connection)
        connection.run("COMMIT")
    except BaseException:
        connection.run("ROLLBACK")
        raise


def open_database(connection: Connection) -> None:
    """The grants on the connection's database itself, which a copy made from a template does not inherit."""
    name = identifier(connection.run("SELECT current_database()")[0][0])
    connection.run(f"ALTER DATABASE {name} OWNER TO navplane_owner")
    # As its owner, because the right to grant went with the ownership.
    connection.run("SET ROLE navplane_owner")
    connection.run(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    connection.run(f"GRANT CONNECT ON DATABASE {name} TO {', '.join(LOGIN_ROLES)}")
    connection.run("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    connection.run(f"GRANT USAGE ON SCHEMA public TO {', '.join((*LOGIN_ROLES, *OTHER_ROLES))}")
    connection.run("RESET ROLE")


def _allow_login(connection: Connection, role: str, *, password: str | None, iam: bool) -> None:
    if password is not None:
        connection.run(f"ALTER ROLE {role} LOGIN PASSWORD {literal(_scram_verifier(password))}")
    elif iam:
        connection.run(f"ALTER ROLE {role} LOGIN")
        connection.run(f"GRANT rds_iam TO {role}")


def _grant_memberships(connection: Connection) -> None:
    me = identifier(connection.run("SELECT current_user")[0][0])
    is_superuser = connection.run("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")[0][0]
    if not is_superuser:
        connection.run(f"GRANT navplane_owner TO {me} WITH INHERIT TRUE, SET TRUE")
    # The owner gives the functions to their definers; nobody inherits anything.
    for role in DEFINER_ROLES:
        connection.run(f"GRANT {role} TO navplane_owner WITH INHERIT FALSE, SET TRUE")
    for role in ("navplane_admin", "navplane_reader"):
        connection.run(f"GRANT navplane_platform_reader TO {role} WITH INHERIT FALSE, SET TRUE")


def _scram_verifier(password: str) -> str:
    """RFC 5803, as Postgres stores it. Made here, so that the password itself is in no statement and no server log.

    Passwords are ASCII, so that SASLprep has nothing to change.
    """
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(value).decode() for value in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{text[0]}${text[1]}:{text[2]}"
