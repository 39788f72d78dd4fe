"""Make the buckets that are named on the command line, where they are missing: `python buckets.py mlflow dvc`.

The store and its keys are named as everywhere else: AWS_ENDPOINT_URL and AWS_SHARED_CREDENTIALS_FILE.
"""

import argparse

import boto3


def main() -> None:
    """Create what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="BUCKET", nargs="*")
    names = parser.parse_args().names
    store = boto3.client("s3")
    there = {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}
    for name in names:
        if name not in there:
            store.create_bucket(Bucket=name)
        print(f"bucket {name}: {'there' if name in there else 'made'}")


if __name__ == "__main__":
    main()
