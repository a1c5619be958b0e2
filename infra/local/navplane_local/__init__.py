"""The cloud on your machine: functions, queues, Postgres, an issuer and a provider, from template.yaml."""
