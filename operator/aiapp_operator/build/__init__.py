"""Pure builders: from an AIApp and the facts to the objects it should have."""
