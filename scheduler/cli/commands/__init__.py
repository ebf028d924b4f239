"""The commands, one module for each noun or group of verbs; imported when they are run."""
