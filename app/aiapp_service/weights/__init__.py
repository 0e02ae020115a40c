"""Downloads of models to a volume that model servers share: whole, verified, resumed where they were broken off."""
