"""A rotation function as the common tutorials show it: the user name stays, the password is new.

FAIL_AT (createSecret, setSecret, testSecret, finishSecret) makes that step fail.
"""

import json
import os

import boto3


def lambda_handler(event, context):
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    client = boto3.client("secretsmanager")

    metadata = client.describe_secret(SecretId=arn)
    if not metadata.get("RotationEnabled"):
        raise ValueError("rotation is not enabled")
    versions = metadata["VersionIdsToStages"]
    if token not in versions:
        raise ValueError("the version has no stage for rotation")
    if "AWSCURRENT" in versions[token]:
        return
    if "AWSPENDING" not in versions[token]:
        raise ValueError("the version is not set as AWSPENDING for rotation")

    if step == os.environ.get("FAIL_AT"):
        raise RuntimeError("told to fail")
    if step == "createSecret":
        create_secret(client, arn, token)
    elif step == "setSecret":
        pending(client, arn, token)  # here a database would be told
    elif step == "testSecret":
        test_secret(client, arn, token)
    elif step == "finishSecret":
        finish_secret(client, arn, token, versions)
    else:
        raise ValueError("an unknown step")


def current(client, arn):
    return json.loads(client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"])


def pending(client, arn, token):
    return json.loads(client.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")["SecretString"])


def create_secret(client, arn, token):
    value = current(client, arn)
    try:
        pending(client, arn, token)
    except client.exceptions.ResourceNotFoundException:
        value["password"] = client.get_random_password(ExcludeCharacters="/@\"'\\")["RandomPassword"]
        client.put_secret_value(
            SecretId=arn, ClientRequestToken=token, SecretString=json.dumps(value), VersionStages=["AWSPENDING"]
        )


def test_secret(client, arn, token):
    old, new = current(client, arn), pending(client, arn, token)
    if new.get("username") != old.get("username") or not new.get("password"):
        raise ValueError("the new value does not fit")


def finish_secret(client, arn, token, versions):
    holder = next(version for version, stages in versions.items() if "AWSCURRENT" in stages)
    client.update_secret_version_stage(
        SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=holder
    )
