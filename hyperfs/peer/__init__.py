"""The cloud peer: what it keeps of drives that it cannot read, and what it decides. No network, no key of any drive."""
