"""Operators: they make a cluster's attempts match what the control plane assigned."""
