"""The canonical persistent trie: equal contents have equal roots. One operation a module, all of it pure."""
