"""The tool `file_search`: run here, for any model that can call functions."""
