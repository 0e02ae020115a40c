"""Files -> text. Whatever is more than text is read in a process of its own, which may die of it."""
