"""The store in memory: the same protocol and the same rules as the databases, for tests and the deterministic world."""

from scheduler.store.memory.store import MemoryReader, MemoryStore, MemoryWriter

__all__ = ["MemoryReader", "MemoryStore", "MemoryWriter"]
