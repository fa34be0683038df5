# The documents are the JSON files beside this one, which the project's tests hold against the calls that are really made. Here their words in
# capitals become values; nothing else is said here.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition

  # File name without .json -> document, for this account, region and cluster.
  documents = {
    for name in fileset(path.module, "*.json") : trimsuffix(name, ".json") =>
    replace(replace(replace(replace(replace(replace(replace(replace(replace(
      file("${path.module}/${name}"),
      "arn:aws:", "arn:${local.partition}:"),
      "FUNCTION", var.rotation_function),
      "QUEUE", var.event_queue),
      "REPLICA_REGION", var.replica_region),
      "REGION", var.region),
      "ACCOUNT_ID", local.account),
      "PREFIX", var.prefix != "" ? var.prefix : "k8s/${var.cluster}"),
      "CLUSTER", var.cluster),
    "OIDC_PROVIDER", var.oidc_provider)
  }

  for_operator = {
    for name, document in local.documents : name =>
    replace(replace(document, "NAMESPACE", var.operator_namespace), "SERVICE_ACCOUNT", var.operator_service_account)
  }
}
