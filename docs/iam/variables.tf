variable "region" {
  description = "The region of the secrets; * for every one that --allowed-regions names."
  type        = string
}

variable "replica_region" {
  description = "The region of replicas; * for every one."
  type        = string
  default     = "*"
}

variable "rotation_function" {
  description = "The names of rotation functions (spec.rotation.lambda), with * as in IAM."
  type        = string
  default     = "*"
}

variable "event_queue" {
  description = "The name of the queue for --event-queue-url, and of its rule. Each operator needs one of its own."
  type        = string
  default     = "rotated-secrets-events"
}

variable "cluster" {
  description = "What the operator writes in the tag rotated-secrets.io/cluster: --cluster-id, or the uid of the namespace kube-system."
  type        = string
}

variable "prefix" {
  description = "The prefix of the names of AWS secrets (--name-prefix). Default: k8s/ and the cluster."
  type        = string
  default     = ""
}

variable "guard_targets" {
  description = "Organizational units or accounts to which guard-scp.json is attached. Requires the management account of the organization."
  type        = set(string)
  default     = []
}

variable "admin_role" {
  description = "Roles of administrators that guard-scp.json does not restrict, with * as in IAM."
  type        = string
  default     = "arn:aws:iam::*:role/rotated-secrets-admin"
}

variable "oidc_provider" {
  description = "The cluster's OIDC issuer without https://, as in aws eks describe-cluster --query cluster.identity.oidc.issuer; for IRSA."
  type        = string
  default     = ""
}

variable "operator_namespace" {
  description = "Where the operator runs."
  type        = string
  default     = "rotated-secrets"
}

variable "operator_service_account" {
  description = "As whom it runs."
  type        = string
  default     = "rotated-secrets"
}

variable "kms_keys" {
  description = "Ids of customer-managed keys that objects may name."
  type        = set(string)
  default     = []
}

variable "optional" {
  description = "Further rights of the operator, by the names of the files here: mirror, replicas, resource-policies, adoption, rotation, change-feed, event-queue"
  type        = set(string)
  default     = []
}

variable "namespaces" {
  description = "Namespaces with a role of their own, and the external id that is asked for (any text that is hard to guess)."
  type        = map(string)
  default     = {}
}
