"""The pure part: values in, values out; no clock, randomness, I/O or floats."""
