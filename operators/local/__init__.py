"""The local backend: Ray on this machine."""
