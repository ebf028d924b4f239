"""The HTTP API: routes, authentication, problem documents."""
