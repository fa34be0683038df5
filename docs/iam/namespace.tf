# A role for each namespace that has one, below the path that assume-policy.json allows.

resource "aws_iam_role" "namespace" {
  for_each = var.namespaces
  name     = "${var.cluster}-${each.key}"
  path     = "/rotated-secrets/"
  assume_role_policy = replace(replace(replace(local.documents["namespace-trust"],
    "OPERATOR_ROLE", aws_iam_role.operator.arn),
    "NAMESPACE", each.key),
  "EXTERNAL_ID", each.value)
}

resource "aws_iam_role_policy" "namespace" {
  for_each = var.namespaces
  name     = "own-secrets"
  role     = aws_iam_role.namespace[each.key].name
  policy   = replace(local.documents["namespace-policy"], "NAMESPACE", each.key)
}

output "namespace_annotations" {
  description = "What to type for each namespace."
  value = {
    for name, role in aws_iam_role.namespace : name =>
    "kubectl annotate namespace ${name} rotated-secrets.io/role-arn=${role.arn} rotated-secrets.io/external-id=${var.namespaces[name]}"
  }
}
