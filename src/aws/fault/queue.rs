//! Error codes of SQS. What is no letter and no digit is cut from a code, so the dots are not there.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>

use super::{Cause, Fault, bounded_code};
use crate::aws::operation::Operation;

impl Fault {
    /// Of one entry of a batch, which AWS answers apart from the others.
    pub(in crate::aws) fn of_entry(operation: Operation, code: &str, of_sender: bool) -> Self {
        let (code, status) = (bounded_code(code), if of_sender { 400 } else { 500 });
        let code = Some(code).filter(|code| !code.is_empty());
        let cause = Cause::of(code.as_deref(), "", status);
        Self { operation, code, cause, role: None, region: None, secret: None, key: None, request_id: None }
    }
}

impl Cause {
    /// By a code that only SQS has.
    pub(super) fn of_queue_code(code: &str) -> Option<Self> {
        Some(match code {
            "AWSSimpleQueueServiceNonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress" => Self::NoQueue,
            "OverLimit" => Self::Quota,
            "KMSThrottlingException" => Self::Throttled,
            // The key of an encrypted queue.
            "KMSAccessDeniedException"
            | "KMSDisabledException"
            | "KMSInvalidKeyUsageException"
            | "KMSInvalidStateException"
            | "KMSNotFoundException"
            | "KMSOptInRequired" => Self::Key,
            "InvalidSecurity"
            | "AWSSimpleQueueServiceUnsupportedOperation"
            | "AWSSimpleQueueServiceBatchEntryIdsNotDistinct"
            | "AWSSimpleQueueServiceEmptyBatchRequest"
            | "AWSSimpleQueueServiceInvalidBatchEntryId"
            | "AWSSimpleQueueServiceTooManyEntriesInBatchRequest" => Self::Defect,
            _ => return None,
        })
    }
}
