# The service control policy that reserves the tags rotated-secrets.io/* and the names below the prefix for the operator.

resource "aws_organizations_policy" "guard" {
  count   = length(var.guard_targets) == 0 ? 0 : 1
  name    = "rotated-secrets-${var.cluster}"
  type    = "SERVICE_CONTROL_POLICY"
  content = replace(replace(local.documents["guard-scp"], "OPERATOR_ROLE", aws_iam_role.operator.arn), "ADMIN_ROLE", var.admin_role)
}

resource "aws_organizations_policy_attachment" "guard" {
  for_each  = var.guard_targets
  policy_id = aws_organizations_policy.guard[0].id
  target_id = each.value
}
