//! Error codes of SQS. What is no letter and no digit is cut from a code, so the dots are not there.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>

use super::Cause;

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
