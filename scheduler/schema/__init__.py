"""Task files and API bodies: the shapes that cross the process boundary."""
