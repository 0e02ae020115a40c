"""Fine-tuning, with real processes, stores and SDK."""
