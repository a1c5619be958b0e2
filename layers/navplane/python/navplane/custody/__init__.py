"""What keeps keys and proofs: signs the audit, rotates the KEK, destroys an organization's secrets."""
