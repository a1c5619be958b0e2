"""The web console: people sign in with the identity provider, and see through the admin API what their roles let them see."""
