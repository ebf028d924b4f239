"""Simulation: the deterministic world and policy replay."""
