"""Parts of the demo: who takes part, how it speaks to Dure, what it watches and what it reports."""
