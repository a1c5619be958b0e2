"""How mail leaves: through Amazon SES, or into a directory of this machine."""
