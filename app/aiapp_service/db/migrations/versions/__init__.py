"""The migrations, each building on the one before."""
