"""Pure status: from observed children to facts, conditions and the status of the AIApp."""
