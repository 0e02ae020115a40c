"""Write the golden files again: `python -m tests.golden`."""

from tests.golden import write

if __name__ == "__main__":
    write()
