"""Who gets which GPUs, and why: decisions on a snapshot."""
