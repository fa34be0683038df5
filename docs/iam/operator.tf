# The operator's own role, for IRSA where an OIDC provider is given, for EKS Pod Identity otherwise.

resource "aws_iam_role" "operator" {
  name               = "rotated-secrets-${var.cluster}"
  assume_role_policy = local.for_operator[var.oidc_provider == "" ? "pod-identity-trust" : "irsa-trust"]
}

resource "aws_iam_role_policy" "operator" {
  for_each = setunion(["operator"], var.optional, length(var.namespaces) == 0 ? [] : ["assume"])
  name     = each.key
  role     = aws_iam_role.operator.name
  policy   = local.documents["${each.key}-policy"]
}

resource "aws_iam_role_policy" "kms" {
  for_each = var.kms_keys
  name     = "kms-${each.key}"
  role     = aws_iam_role.operator.name
  policy   = replace(local.documents["kms-policy"], "KMS_KEY", each.key)
}

output "operator_role_arn" {
  description = "For the ServiceAccount's annotation eks.amazonaws.com/role-arn, or for aws eks create-pod-identity-association --role-arn."
  value       = aws_iam_role.operator.arn
}
