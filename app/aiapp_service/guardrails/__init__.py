"""What is looked at in requests and answers, and kept back, replaced or only counted."""
