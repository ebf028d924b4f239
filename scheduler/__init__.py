"""Dure's control plane: policy, allocation, metering and money."""
