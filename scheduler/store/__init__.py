"""Where records and facts are kept: SQLite, PostgreSQL or memory with the same rules; packages and logs as files."""
