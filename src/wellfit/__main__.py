"""``python -m wellfit``."""

from wellfit.commands.program import main

if __name__ == "__main__":
    main()
