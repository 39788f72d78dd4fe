"""`python -m flows`: the same as `ddpm run`."""

if __name__ == "__main__":
    import sys

    from ddpm.cli import app

    app(["run", *sys.argv[1:]], prog_name="ddpm")
