"""`python -m deepinside`, which is the command `deepinside`."""

from deepinside.cli import main

if __name__ == "__main__":
    main()
