# The queue for --event-queue-url, in the region of the provider: the events of the default event bus for every AWS secret of the
# account and region whose AWSCURRENT label moved. They have names, ARNs and version IDs, and no values.

locals {
  event_queue = contains(var.optional, "event-queue") ? 1 : 0
}

resource "aws_sqs_queue" "events" {
  count                   = local.event_queue
  name                    = var.event_queue
  sqs_managed_sse_enabled = true
  # The operator deletes every message that it receives, whatever is in it, so there is no dead-letter queue. A new leader checks every
  # object, so older events are of no use to it.
  message_retention_seconds = 3600
  # An event has up to 1,500 bytes.
  max_message_size = 8192
}

resource "aws_cloudwatch_event_rule" "events" {
  count       = local.event_queue
  name        = var.event_queue
  description = "AWSCURRENT of a secret moved"
  # Without the label, the operator's own retention labels come as events too.
  event_pattern = jsonencode({
    source        = ["aws.secretsmanager"]
    "detail-type" = ["Secret Label Updated"]
    detail        = { labelUpdated = ["AWSCURRENT"] }
  })
}

resource "aws_cloudwatch_event_target" "events" {
  count = local.event_queue
  rule  = aws_cloudwatch_event_rule.events[0].name
  arn   = aws_sqs_queue.events[0].arn
}

resource "aws_sqs_queue_policy" "events" {
  count     = local.event_queue
  queue_url = aws_sqs_queue.events[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyTheRule"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.events[0].arn
      Condition = {
        ArnEquals    = { "aws:SourceArn" = aws_cloudwatch_event_rule.events[0].arn }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }]
  })
}

output "event_queue_url" {
  description = "For --event-queue-url."
  value       = one(aws_sqs_queue.events[*].url)
}
