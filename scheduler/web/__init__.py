"""Pages, rendered on the server: no script, no request to anybody else."""
